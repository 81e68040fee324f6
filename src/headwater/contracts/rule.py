"""What a data rule is: it turns its settings into one SQL condition that is true where a row breaks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Protocol

from headwater.core.contract import App, RuleSpec, RuleValue
from headwater.core.errors import ConfigError, near_miss
from headwater.core.table import Kind
from headwater.engine.expression import MICROS
from headwater.engine.sql import Sql, name, sql

__all__ = [
    "BrokenWhen",
    "Columns",
    "Lookup",
    "Near",
    "Rule",
    "flag_setting",
    "in_column_units",
    "known_column",
    "known_time",
    "list_setting",
    "number_setting",
    "one_column",
    "refuse_settings",
    "span_setting",
    "text_setting",
]

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a rule may refer to: the typed columns, the raw columns (before typing), and the app.

    ``typed`` maps a source column to its type; its SQL is the quoted name. ``raw`` gives the SQL of the
    value after repairs and before typing, ``there`` the condition that there is one, ``unreadable`` the
    condition that it is there but is not of its type. ``at`` and ``known`` are instants in microseconds;
    ``known`` is None where the source does not say when it learned of an event. ``ids`` gives a value as
    an id: trimmed text, without the ``.0`` of a number that passed through a float.
    """

    typed: Mapping[str, Kind]
    raw: Mapping[str, Sql]
    there: Mapping[str, Sql]
    app: App
    at: Sql
    known: Sql | None = None
    event: Sql | None = None
    user: str = ""
    zone: str = "UTC"
    unreadable: Mapping[str, Sql] = field(default_factory=dict[str, Sql])
    ids: Mapping[str, Sql] = field(default_factory=dict[str, Sql])


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A check against the row just before, of the same user and the same ``alike`` values, in order of time.

    A row breaks it where ``value`` is at most ``most`` above that row's value. Rows of one instant are
    ordered by ``value``, then by their place. A row whose ``value`` is NULL is passed over. With ``below``
    it breaks the check only where it is less than that.
    """

    alike: tuple[Sql, ...]
    value: Sql
    most: int
    below: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A value looked up in another file: ``value`` of the row in its column ``column``, with the time ``at`` found there.

    ``there`` and ``found_at`` are the SQL a condition may use: the value that was found (NULL where none
    was) and the earliest time beside it.
    """

    path: str
    column: str
    value: Sql
    at: str | None = None
    label: str

    @property
    def there(self) -> Sql:
        """The value that was found."""
        return name(f"{self.label} there")

    @property
    def found_at(self) -> Sql:
        """The earliest time beside it, in microseconds."""
        return name(f"{self.label} at")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenWhen:
    """One check: its code (stands in quarantine), a line for people, and the condition that breaks it.

    ``condition`` is None for exact duplicates over ``duplicate_of`` columns and for ``near``, which need
    other rows; ``among`` says which rows can repeat one another (None: all). ``needs`` are named values worked out once, which the condition may use; equal names
    have equal SQL. ``certainty`` is ``"likely"`` with its ``doubt`` where a row that breaks it may be right.
    """

    code: str
    about: str
    condition: Sql | None = None
    duplicate_of: tuple[str, ...] = ()
    of_whole_row: bool = False
    among: Sql | None = None
    near: Near | None = None
    lookup: Lookup | None = None
    needs: tuple[tuple[str, Sql], ...] = ()
    certainty: str = "certain"
    doubt: str = ""
    proposal: str = ""


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


def known_time(spec: RuleSpec, columns: Columns) -> Sql:
    """The instant a row became known. Raises ``ConfigError`` where the source does not say."""
    if columns.known is None:
        raise ConfigError(
            "rule.known_at",
            what=f"The rule '{spec.rule}' compares with the time a row became known, and the source has no known_at.",
            why="There is nothing to compare with.",
            do='Write known_at = "received_at" under [[sources]].',
        )
    return columns.known


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
        raise _wrong_type(spec, value, "a number", "Write a number without quotes.")
    return float(value)


def text_setting(setting: str, spec: RuleSpec, *, example: str) -> str:
    """A setting that must be there and be text."""
    value = spec.settings.get(setting)
    if not isinstance(value, str) or not value:
        raise _wrong_type(spec, value, f"{setting} as text", f'Write {setting} = "{example}".')
    return value


def flag_setting(setting: str, spec: RuleSpec, *, default: bool) -> bool:
    """A setting that must be true or false where it is given."""
    value = spec.settings.get(setting, default)
    if not isinstance(value, bool):
        raise _wrong_type(spec, value, f"{setting} as true or false", f"Write {setting} = true.")
    return value


def list_setting(setting: str, spec: RuleSpec) -> tuple[str, ...]:
    """A setting that must be a list of texts where it is given; empty where it is not."""
    value = spec.settings.get(setting, ())
    if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
        raise _wrong_type(spec, value, f"{setting} as a list of texts", f'Write {setting} = ["a", "b"].')
    return tuple(str(v) for v in value)


def span_setting(setting: str, spec: RuleSpec, *, default: str | None = None) -> tuple[str, int]:
    """A duration such as ``"5s"`` as written and in microseconds. Raises ``ConfigError`` (``rule.span``)."""
    value = spec.settings.get(setting, default)
    match = re.fullmatch(r"(\d{1,9})(ms|s|min|h|d|w)", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(
            "rule.span",
            what=f"The rule '{spec.rule}' was given {setting} = {value!r}, which is not a duration.",
            why="A bare number could mean seconds or days.",
            do=f'Write {setting} as a whole number and ms, s, min, h, d or w, such as "5s" or "2d".',
        )
    return match[0], int(match[1]) * (_UNITS[match[2]] // timedelta(microseconds=1))


def in_column_units(column: str, kind: Kind) -> Sql:
    """A numeric column as a double in its own unit (money in whole currency, not micro-units)."""
    value = sql("CAST({c} AS DOUBLE)", c=name(column))
    return sql("({v} / {m})", v=value, m=float(MICROS)) if kind is Kind.MONEY else value


def _wrong_type(spec: RuleSpec, value: RuleValue, wanted: str, do: str) -> ConfigError:
    return ConfigError(
        "rule.setting_type",
        what=f"The rule '{spec.rule}' was given {value!r} where {wanted} belongs.",
        why="The comparison would not mean anything.",
        do=do,
    )
