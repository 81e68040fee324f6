"""Range: a number must lie within bounds."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import (
    BrokenWhen,
    Columns,
    in_column_units,
    number_setting,
    one_column,
    refuse_settings,
)
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError
from headwater.core.table import Kind
from headwater.engine.sql import Sql, sql

__all__ = ["Range"]

_SETTINGS = {"above", "below", "at_least", "at_most"}


class Range:
    """Rows whose number is outside ``above`` / ``below`` (exclusive) or ``at_least`` / ``at_most``."""

    about: ClassVar[str] = "the number must lie within the bounds given"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check a bound. A missing value breaks no bound; require it by its own rule."""
        refuse_settings(spec, _SETTINGS)
        column = one_column(spec, columns)
        kind = columns.typed.get(column, Kind.TEXT)
        if kind not in {Kind.INTEGER, Kind.NUMBER, Kind.MONEY} or not spec.settings:
            raise ConfigError(
                "rule.range",
                what=f"The range rule on '{column}' ({kind}) has {len(spec.settings)} bounds.",
                why="It compares a number with at least one bound.",
                do=f"Declare {column} under types as integer, number or money, and give above, below, at_least or at_most.",
            )
        value = in_column_units(column, kind)
        return tuple(
            BrokenWhen(
                code=f"range({column} {bound} {limit:g})",
                about=f"{column} is not {bound.replace('_', ' ')} {limit:g}",
                condition=_outside(bound, value, limit),
                proposal=f"Check the unit of {column} and how refunds are written; change {bound} if such values are right.",
            )
            for bound, limit in ((b, number_setting(v, spec)) for b, v in spec.settings.items())
        )


def _outside(bound: str, value: Sql, limit: float) -> Sql:
    match bound:
        case "above":
            return sql("({v} <= {x})", v=value, x=limit)
        case "below":
            return sql("({v} >= {x})", v=value, x=limit)
        case "at_least":
            return sql("({v} < {x})", v=value, x=limit)
        case _:
            return sql("({v} > {x})", v=value, x=limit)
