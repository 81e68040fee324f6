"""Ordered: a counter must grow with time."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import (
    BrokenWhen,
    Columns,
    Near,
    flag_setting,
    known_column,
    list_setting,
    one_column,
    refuse_settings,
)
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError
from headwater.core.table import Kind
from headwater.engine.sql import Sql, name, sql

__all__ = ["Ordered"]

_COUNTS = {Kind.INTEGER, Kind.MONEY, Kind.NUMBER, Kind.TIMESTAMP, Kind.DAY}


class Ordered:
    """Rows whose counter is not above that of the same user's row just before in time.

    ``per`` names columns that begin a count of their own, such as a session; with ``repeats = true`` an
    equal counter is allowed. Rows of one instant are taken in the order of the counter.
    """

    about: ClassVar[str] = "a counter must grow with time, user by user"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check over the rows of a user in order of time. A missing counter is passed over."""
        refuse_settings(spec, {"per", "repeats"})
        column = one_column(spec, columns)
        kind = columns.typed.get(column, Kind.TEXT)
        if kind not in _COUNTS:
            raise ConfigError(
                "rule.ordered",
                what=f"The ordered rule names '{column}', which is kept as {kind}.",
                why="As text, 10 comes before 9.",
                do=f'Declare it: types = {{ {column} = "integer" }}.',
            )
        per = tuple(known_column(c, spec, columns) for c in list_setting("per", spec))
        return (
            BrokenWhen(
                code=f"ordered({', '.join((column, *per))})",
                about=f"{column} does not grow with time",
                near=Near(
                    alike=tuple(columns.raw[c] for c in per),
                    value=_exact(column, kind),
                    most=0,
                    below=flag_setting("repeats", spec, default=False),
                ),
                certainty="likely",
                doubt="the row named comes after the fall; the row before it may be the wrong one",
                proposal="Check the clock and the counter of the sender; an app that was installed again begins at 1: use per.",
            ),
        )


def _exact(column: str, kind: Kind) -> Sql:
    """A value whose difference cannot overflow."""
    return name(column) if kind is Kind.NUMBER else sql("CAST({c} AS DECIMAL(38, 0))", c=name(column))
