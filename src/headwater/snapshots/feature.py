"""What a feature is: aggregates over one user's past, and columns derived from them.

An aggregate sees the relation of past user-days only: ``user_id, cutoff, app_day, age`` (days before the
cutoff, at least 1), ``n_events`` and every measure. A derived column sees the aggregates and ``cutoff``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from headwater.core.ledger import LedgerMeasure
from headwater.core.table import Column, Kind, Purpose
from headwater.engine.sql import Sql, name, sql

__all__ = ["Feature", "FeatureColumn", "FeatureSpec", "feature", "in_units", "windowed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """What features are made of: the measures and the look-back windows in days."""

    measures: tuple[LedgerMeasure, ...]
    windows: tuple[int, ...] = (7, 28, 90)

    @property
    def counted(self) -> tuple[LedgerMeasure, ...]:
        """Measures that count things; their days are occasions."""
        return tuple(m for m in self.measures if m.counts)

    @property
    def summed(self) -> tuple[LedgerMeasure, ...]:
        """Measures that add amounts."""
        return tuple(m for m in self.measures if not m.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureColumn:
    """A column with either the aggregate or the derivation that makes it."""

    column: Column
    aggregate: Sql | None = None
    derive: Sql | None = None


class Feature(Protocol):
    """A group of features on the shelf."""

    about: ClassVar[str]

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """The columns for these measures and windows."""
        ...


def feature(
    label: str,
    *,
    about: str,
    unit: str = "",
    aggregate: Sql | None = None,
    derive: Sql | None = None,
    kind: Kind = Kind.NUMBER,
) -> FeatureColumn:
    """A column a model may learn from."""
    column = Column(name=label, kind=kind, unit=unit, purpose=Purpose.FEATURE, about=about)
    return FeatureColumn(column=column, aggregate=aggregate, derive=derive)


def in_units(measure: LedgerMeasure, total: Sql) -> Sql:
    """A sum of whole numbers as a double in the measure's own unit."""
    return (
        sql("(CAST({t} AS DOUBLE) / {s})", t=total, s=float(measure.scale))
        if measure.scale > 1
        else sql("CAST({t} AS DOUBLE)", t=total)
    )


def windowed(measure: LedgerMeasure, days: int | None, *, offset: int = 0) -> Sql:
    """The sum of a measure over the last ``days`` days, ``offset`` days back; over all time for None."""
    value = name(measure.name)
    if days is None:
        return in_units(measure, sql("sum({v})", v=value))
    inside = sql("age > {a} AND age <= {b}", a=offset, b=offset + days)
    return in_units(measure, sql("coalesce(sum({v}) FILTER (WHERE {i}), 0)", v=value, i=inside))
