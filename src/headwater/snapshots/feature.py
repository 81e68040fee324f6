"""What a feature is: a formula over partials, and a partial is one aggregate of one user's past days.

A partial reads user-days: ``app_day``, ``age`` (days before the cutoff; the day before it is 1), ``n_events``
and every measure, whole numbers. It never sees the cutoff's own day or a later one. Formulas are
composed of partials and numbers; each distinct partial is worked out once, however many formulas use it.

>>> from headwater.engine.sql import sql
>>> ratio = formula("({a} / {b})", a=total(sql("n_events"), last=7), b=total(sql("n_events"), last=28))
>>> len(ratio.partials)
2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from string import Formatter
from typing import ClassVar, LiteralString, Protocol

from headwater.core.ledger import LedgerMeasure
from headwater.core.table import Column, Kind, Purpose
from headwater.engine.sql import Part, Sql, conjunction, name, sql

__all__ = [
    "DEFAULT_WINDOWS",
    "Feature",
    "FeatureColumn",
    "FeatureSpec",
    "Formula",
    "Partial",
    "ahead",
    "earliest",
    "feature",
    "formula",
    "greatest",
    "in_units",
    "least",
    "measured",
    "total",
]

DEFAULT_WINDOWS = (7, 28, 90)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """What features are made of: the measures and the look-back windows in days."""

    measures: tuple[LedgerMeasure, ...]
    windows: tuple[int, ...] = DEFAULT_WINDOWS

    @property
    def counted(self) -> tuple[LedgerMeasure, ...]:
        """Measures that count things; their days are occasions."""
        return tuple(m for m in self.measures if m.counts)

    @property
    def summed(self) -> tuple[LedgerMeasure, ...]:
        """Measures that add amounts."""
        return tuple(m for m in self.measures if not m.counts)


class _Fold(StrEnum):
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    EARLIEST = "earliest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """One aggregate over the days of a user with ``after < age <= upto`` (no bound for None) and ``when``."""

    fold: _Fold
    value: Sql
    after: int
    upto: int | None
    when: Sql | None

    @property
    def aggregate(self) -> Sql:
        """Its SQL over the user-days: a BIGINT sum, or the value itself.

        A condition is a CASE and not a FILTER: DuckDB's time for filtered aggregates grows with the square
        of their number (72 of them took three times as long).
        """
        bounds = [sql("age > {a}", a=self.after)]
        bounds += [] if self.upto is None else [sql("age <= {b}", b=self.upto)]
        bounds += [] if self.when is None else [sql("({w})", w=self.when)]
        inside = conjunction(bounds)
        match self.fold:
            case _Fold.SUM:
                return sql("CAST(sum(CASE WHEN {i} THEN {v} ELSE 0 END) AS BIGINT)", i=inside, v=self.value)
            case _Fold.MIN:
                return sql("min(CASE WHEN {i} THEN {v} END)", i=inside, v=self.value)
            case _Fold.MAX:
                return sql("max(CASE WHEN {i} THEN {v} END)", i=inside, v=self.value)
            case _Fold.EARLIEST:
                return sql("max_by({v}, CASE WHEN {i} THEN age END)", i=inside, v=self.value)


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression over partials."""

    pieces: tuple[Sql | Partial, ...]

    @property
    def partials(self) -> tuple[Partial, ...]:
        """The partials it needs."""
        return tuple(p for p in self.pieces if isinstance(p, Partial))

    def sql(self, names: Mapping[Partial, Sql]) -> Sql:
        """The expression, each partial under its name."""
        parts = (names[p] if isinstance(p, Partial) else p for p in self.pieces)
        return Sql(tuple(piece for part in parts for piece in part.pieces))


def formula(template: LiteralString, /, **parts: Formula | Part) -> Formula:
    """Compose formulas as ``sql`` composes SQL: a literal template whose ``{x}`` takes a part."""
    pieces: list[Sql | Partial] = []
    for literal, field, _, _ in Formatter().parse(template):
        if literal:
            pieces.append(Sql((literal,)))
        if field is not None:
            part = parts[field]
            pieces.extend(part.pieces if isinstance(part, Formula) else (sql("{p}", p=part),))
    return Formula(tuple(pieces))


def total(value: Sql, *, last: int | None = None, before: int = 0, when: Sql | None = None) -> Formula:
    """The sum over the last ``last`` days (all time for None), ``before`` days back; 0 where there is none."""
    return _past(_Fold.SUM, value, last, before, when)


def least(value: Sql, *, last: int | None = None, before: int = 0, when: Sql | None = None) -> Formula:
    """The smallest value; NULL where there is none."""
    return _past(_Fold.MIN, value, last, before, when)


def greatest(value: Sql, *, last: int | None = None, before: int = 0, when: Sql | None = None) -> Formula:
    """The largest value; NULL where there is none."""
    return _past(_Fold.MAX, value, last, before, when)


def earliest(value: Sql, *, last: int | None = None, before: int = 0, when: Sql | None = None) -> Formula:
    """The value on the first such day; NULL where there is none."""
    return _past(_Fold.EARLIEST, value, last, before, when)


def ahead(value: Sql, *, days: int) -> Formula:
    """The sum over the ``days`` days from the cutoff on: for targets, never for features."""
    return Formula((Partial(fold=_Fold.SUM, value=value, after=-days, upto=0, when=None),))


def _past(fold: _Fold, value: Sql, last: int | None, before: int, when: Sql | None) -> Formula:
    if before < 0 or (last is not None and last < 1):
        raise ValueError("a feature looks back: before is at least 0 and last at least 1")
    upto = None if last is None else before + last
    return Formula((Partial(fold=fold, value=value, after=before, upto=upto, when=when),))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureColumn:
    """A column with the formula that makes it."""

    column: Column
    formula: Formula


class Feature(Protocol):
    """A group of features on the shelf."""

    about: ClassVar[str]

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """The columns for these measures and windows."""
        ...


def feature(
    label: str, made: Formula, *, about: str, unit: str = "", kind: Kind = Kind.NUMBER
) -> FeatureColumn:
    """A column a model may learn from; a number is a double."""
    column = Column(name=label, kind=kind, unit=unit, purpose=Purpose.FEATURE, about=about)
    whole = formula("CAST({f} AS DOUBLE)", f=made) if kind is Kind.NUMBER else made
    return FeatureColumn(column=column, formula=whole)


def in_units(measure: LedgerMeasure, amount: Formula) -> Formula:
    """A sum of whole numbers as a double in the measure's own unit."""
    if measure.scale > 1:
        return formula("(CAST({t} AS DOUBLE) / {s})", t=amount, s=float(measure.scale))
    return formula("CAST({t} AS DOUBLE)", t=amount)


def measured(measure: LedgerMeasure, *, last: int | None = None, before: int = 0) -> Formula:
    """The sum of a measure in its own unit over the last ``last`` days, ``before`` days back; 0 where there is none."""
    return in_units(measure, total(name(measure.name), last=last, before=before))
