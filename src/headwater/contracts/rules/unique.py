"""Unique: a row, or a key, may stand once."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, known_column, list_setting, refuse_settings
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError
from headwater.engine.sql import Sql, commas, sql

__all__ = ["Unique"]


class Unique:
    """Rows that repeat an earlier row in all columns, or in the named key; the first one stays."""

    about: ClassVar[str] = "a row (or key) may stand once; repeats beyond the first break the rule"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check over the named columns, or over all."""
        refuse_settings(spec, {"events"})
        events = list_setting("events", spec)
        key = tuple(known_column(c, spec, columns) for c in spec.columns) or tuple(columns.raw)
        whole = not spec.columns
        named = "row" if whole else ", ".join(key)
        return (
            BrokenWhen(
                code=f"unique({named} of {', '.join(events)})" if events else f"unique({named})",
                about="repeats an earlier row exactly" if whole else f"repeats an earlier {', '.join(key)}",
                duplicate_of=key,
                of_whole_row=whole,
                among=_one_of_events(spec, columns, events) if events else None,
                certainty="likely" if whole else "certain",
                doubt="two honest events can be equal in every column" if whole else "",
                proposal='Load each file once, and send each event with an id: columns = ["event_id"].',
            ),
        )


def _one_of_events(spec: RuleSpec, columns: Columns, events: tuple[str, ...]) -> Sql:
    if columns.event is None:
        raise ConfigError(
            "rule.no_event",
            what=f"The rule '{spec.rule}' names events, and the source has no event column.",
            why="Which rows it is about cannot be told.",
            do='Name the column under [[sources]] (event = "event"), or leave events out of the rule.',
        )
    options = commas([sql("{v}", v=e) for e in events])
    return sql("CAST({e} AS STRING) IN ({options})", e=columns.event, options=options)
