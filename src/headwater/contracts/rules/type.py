"""Type: values that cannot be read as their declared type, with a share that may be so."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, known_column, refuse_settings
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError

__all__ = ["Type"]


class Type:
    """Rows whose value is there but is not of the type declared under ``types``; the check is always made, this rule gates it."""

    about: ClassVar[str] = "the value must be of its declared type; max_share says how many may not be"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check a column, the same as is always made."""
        refuse_settings(spec, set())
        return tuple(_check(known_column(c, spec, columns), columns) for c in spec.columns)


def _check(column: str, columns: Columns) -> BrokenWhen:
    if column not in columns.unreadable:
        raise ConfigError(
            "rule.type",
            what=f"The type rule names '{column}', which is kept as text or typed by the file.",
            why="Any value would pass.",
            do=f'Declare it: types = {{ {column} = "number" }}, or leave the rule out.',
        )
    return BrokenWhen(
        code=f"type({column})",
        about=f"{column} is not of its declared type",
        condition=columns.unreadable[column],
        proposal=f'[[repairs]] repair = "parse_number", columns = ["{column}"], where people wrote the numbers.',
    )
