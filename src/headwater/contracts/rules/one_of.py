"""One of: a value must be on a list."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, one_column, refuse_settings
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError
from headwater.engine.sql import commas, sql

__all__ = ["OneOf"]


class OneOf:
    """Rows whose value is not on the list ``values`` (currencies, platforms, event names)."""

    about: ClassVar[str] = "the value must be on the list"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check. A missing value breaks nothing; require it by its own rule."""
        refuse_settings(spec, {"values"})
        column = one_column(spec, columns)
        values = spec.settings.get("values")
        if not isinstance(values, tuple) or not values:
            raise ConfigError(
                "rule.one_of",
                what=f"The one_of rule on '{column}' has no list of values.",
                why="Every row would break it.",
                do='Write values = ["GBP", "EUR"].',
            )
        options = commas([sql("{v}", v=str(v)) for v in values])
        condition = sql("(CAST({c} AS STRING) NOT IN ({options}))", c=columns.raw[column], options=options)
        return (
            BrokenWhen(
                code=f"one_of({column})",
                about=f"{column} is not one of {len(values)} allowed values",
                condition=condition,
                proposal=f'Add new values to the list; map spellings: [[repairs]] repair = "aliases", columns = ["{column}"].',
            ),
        )
