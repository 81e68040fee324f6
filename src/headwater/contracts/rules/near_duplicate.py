"""Near duplicate: the same thing again within seconds."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, Near, known_column, refuse_settings, span_setting
from headwater.core.contract import RuleSpec
from headwater.engine.sql import Sql, name

__all__ = ["NearDuplicate"]


class NearDuplicate:
    """Rows at most ``within`` after an earlier row of the same user, event and named columns; the first stays.

    The earlier row may itself be a near-duplicate, so a burst is one event however long it lasts.
    """

    about: ClassVar[str] = "the same user, event and columns may not come again within a moment"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check over the rows of a user in order of time."""
        refuse_settings(spec, {"within"})
        alike = tuple(known_column(c, spec, columns) for c in spec.columns)
        written, within = span_setting("within", spec, default="5s")
        values = tuple(_value(c, columns) for c in alike)
        event = (columns.event,) if columns.event is not None else ()
        return (
            BrokenWhen(
                code=f"near_duplicate({', '.join((*alike, written))})",
                about=f"comes at most {written} after the same {', '.join(('user', 'event', *alike))}",
                near=Near(alike=(*event, *values), value=columns.at, most=within),
                certainty="likely",
                doubt="two honest events may follow each other so fast",
                proposal='Send each event with an id, and use: rule = "unique", columns = ["event_id"].',
            ),
        )


def _value(column: str, columns: Columns) -> Sql:
    """The typed value where there is one: 4.5 and 4.50 are alike."""
    return name(column) if column in columns.typed else columns.raw[column]
