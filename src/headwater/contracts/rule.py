"""What a data rule is: it turns its settings into one SQL condition that is true where a row breaks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from headwater.core.contract import App, RuleSpec, RuleValue
from headwater.core.errors import ConfigError, near_miss
from headwater.core.table import Kind
from headwater.engine.expression import MICROS
from headwater.engine.sql import Sql, name, sql

__all__ = [
    "BrokenWhen",
    "Columns",
    "Rule",
    "in_column_units",
    "known_column",
    "number_setting",
    "one_column",
    "refuse_settings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a rule may refer to: the typed columns, the raw columns (before typing), and the app.

    ``typed`` maps a source column to its type; its SQL is the quoted name. ``raw`` gives the SQL of the
    value as it came, ``there`` the condition that there is one.
    """

    typed: Mapping[str, Kind]
    raw: Mapping[str, Sql]
    there: Mapping[str, Sql]
    app: App
    at: Sql


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenWhen:
    """One check: its code (stands in quarantine), a line for people, and the condition that breaks it.

    ``condition`` is None for exact duplicates over ``duplicate_of`` columns, which need the whole table.
    """

    code: str
    about: str
    condition: Sql | None = None
    duplicate_of: tuple[str, ...] = ()


class Rule(Protocol):
    """A data rule on the shelf."""

    about: ClassVar[str]

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """The checks this rule makes. Raises ``ConfigError`` where the settings are wrong."""
        ...


def one_column(spec: RuleSpec, columns: Columns) -> str:
    """The single column a rule is about."""
    if len(spec.columns) != 1:
        raise ConfigError(
            "rule.columns",
            what=f"The rule '{spec.rule}' names {len(spec.columns)} columns.",
            why="It checks one.",
            do='Write columns = ["UnitPrice"], one rule for each column.',
        )
    return known_column(spec.columns[0], spec, columns)


def known_column(column: str, spec: RuleSpec, columns: Columns) -> str:
    """A column the source has."""
    if column not in columns.raw:
        raise ConfigError(
            "rule.unknown_column",
            what=f"The rule '{spec.rule}' names the column '{column}', which the source does not have.",
            why="The rule would check nothing.",
            do=near_miss(column, columns.raw),
        )
    return column


def refuse_settings(spec: RuleSpec, known: set[str]) -> None:
    """Refuse settings a rule does not have."""
    for setting in spec.settings:
        if setting not in known:
            raise ConfigError(
                "rule.unknown_setting",
                what=f"The rule '{spec.rule}' has no setting '{setting}'.",
                why="A setting that is not read would be a check that is not made.",
                do=near_miss(setting, known | {"columns", "max_share"}),
            )


def number_setting(value: RuleValue, spec: RuleSpec) -> float:
    """A setting that must be a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(
            "rule.setting_type",
            what=f"The rule '{spec.rule}' was given {value!r} where a number belongs.",
            why="The comparison would not mean anything.",
            do="Write a number without quotes.",
        )
    return float(value)


def in_column_units(column: str, kind: Kind) -> Sql:
    """A numeric column as a double in its own unit (money in whole currency, not micro-units)."""
    value = sql("CAST({c} AS DOUBLE)", c=name(column))
    return sql("({v} / {m})", v=value, m=float(MICROS)) if kind is Kind.MONEY else value
