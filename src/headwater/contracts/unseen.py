"""Rules and repairs compiled before any data are seen: what is wrong with their settings comes out at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from headwater.contracts.repairs import REPAIRS
from headwater.contracts.rule import Columns
from headwater.contracts.rules import RULES
from headwater.core.contract import App, RepairSpec, RuleSpec
from headwater.core.errors import ConfigError
from headwater.core.table import Kind
from headwater.engine.sql import Sql, name, sql

__all__ = ["require_repair", "require_rule"]

T = TypeVar("T")
_MAY_BE = (Kind.NUMBER, Kind.TIMESTAMP, Kind.TEXT)


class _Any(Mapping[str, T]):
    """A mapping that has every column: those named in ``known`` as they are, all others alike."""

    def __init__(self, known: Mapping[str, T], *, others: T | None = None) -> None:
        self._known = known
        self._others = others

    def __getitem__(self, column: str) -> T:
        found = self._known.get(column, self._others)
        if found is None:
            raise KeyError(column)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _Named(_Any[Sql]):
    """Every column as its quoted name."""

    def __getitem__(self, column: str) -> Sql:
        return name(column)


def require_rule(spec: RuleSpec, *, app: App, types: Mapping[str, Kind], is_known: bool) -> None:
    """Raise ``ConfigError`` (``rule.*``) where no data could make sense of a rule's settings.

    ``types`` are the declared types; a column without one may be of any. ``is_known`` says whether the source
    has ``known_at``. Whether a named column is there is seen when the data are read.
    """
    rule = RULES.load(spec.rule)()
    refused: list[ConfigError] = []
    for kind in _MAY_BE:
        try:
            rule.compile(spec, _columns(app, types, kind, is_known=is_known))
        except ConfigError as error:
            refused.append(error)
        else:
            return
    raise refused[0]


def require_repair(spec: RepairSpec) -> None:
    """Raise ``ConfigError`` (``repair.*``) where a repair's settings are wrong."""
    REPAIRS.load(spec.repair)().compile(spec, sql("value"))


def _columns(app: App, types: Mapping[str, Kind], kind: Kind, *, is_known: bool) -> Columns:
    names = _Named({c: name(c) for c in types})
    return Columns(
        typed=_Any(types, others=kind),
        raw=names,
        there=names,
        app=app,
        at=sql("at_us"),
        event=sql("event"),
        known=sql("known_us") if is_known else None,
        unreadable=names,
        ids=names,
        zone=app.time_zone,
    )
