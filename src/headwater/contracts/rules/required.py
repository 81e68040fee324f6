"""Required: a value must be there."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, known_column, refuse_settings
from headwater.core.contract import RuleSpec
from headwater.engine.sql import sql

__all__ = ["Required"]


class Required:
    """Rows where a named column is missing or blank."""

    about: ClassVar[str] = "the column must have a value"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check a column."""
        refuse_settings(spec, set())
        guests = {columns.user: "; a guest without an id stays out of all user numbers"}
        return tuple(
            BrokenWhen(
                code=f"required({column})",
                about=f"{column} is missing",
                condition=sql("NOT ({there})", there=columns.there[known_column(column, spec, columns)]),
                proposal=f"Find where {column} is lost{guests.get(column, '')}.",
            )
            for column in spec.columns
        )
