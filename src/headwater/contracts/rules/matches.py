"""Matches: a value must have the shape of a regular expression."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.patterns import safe_pattern
from headwater.contracts.rule import BrokenWhen, Columns, one_column, refuse_settings, text_setting
from headwater.core.contract import RuleSpec
from headwater.engine.sql import shim, sql

__all__ = ["Matches"]


class Matches:
    """Rows whose value, as it came but for repairs, is not matched from end to end by ``pattern``."""

    about: ClassVar[str] = "the whole value must match the pattern"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check. A missing value breaks nothing; require it by its own rule."""
        refuse_settings(spec, {"pattern"})
        column = one_column(spec, columns)
        pattern = text_setting("pattern", spec, example="[A-Z]{2}-[0-9]+")
        value = sql("CAST({c} AS STRING)", c=columns.raw[column])
        condition = sql(
            "({there} AND NOT ({m}))",
            there=columns.there[column],
            m=shim("matches", value, safe_pattern(pattern)),
        )
        return (
            BrokenWhen(
                code=f"matches({column})",
                about=f"{column} does not match {pattern}",
                condition=condition,
                proposal=f'Widen the pattern, or take junk off: [[repairs]] repair = "strip_trailing", columns = ["{column}"].',
            ),
        )
