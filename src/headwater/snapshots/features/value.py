"""Value: what the user has been worth, when, and how much was given back."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import LedgerMeasure
from headwater.engine.sql import name, sql
from headwater.snapshots.feature import (
    FeatureColumn,
    FeatureSpec,
    Formula,
    feature,
    formula,
    greatest,
    in_units,
    measured,
    total,
)

__all__ = ["Value"]


class Value:
    """Summed measures over all time and each window, the best day, and what was refunded."""

    about: ClassVar[str] = "amounts over all time and over each window, the best day, refunds"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """Amounts in the measure's unit, net of refunds; refunds are counted as a positive amount."""
        return tuple(c for m in spec.summed for c in _of(m, spec.windows))


def _of(m: LedgerMeasure, windows: tuple[int, ...]) -> list[FeatureColumn]:
    value = name(m.name)
    back = formula("(-{t})", t=total(value, when=sql("{v} < 0", v=value)))
    per_day = formula("{t} / {n}", t=measured(m), n=total(sql("1")))
    made: list[tuple[str, Formula, str]] = [
        ("total", measured(m), f"{m.name} so far, net"),
        *((f"last_{w}d", measured(m, last=w), f"{m.name} in the last {w} days, net") for w in windows),
        ("best_day", in_units(m, greatest(value)), f"{m.name} on the best day"),
        ("given_back", in_units(m, back), f"net loss on days where {m.name} was negative"),
        ("per_active_day", per_day, f"{m.name} per active day"),
    ]
    return [feature(f"{m.label}_{what}", how, about=about, unit=m.unit) for what, how, about in made]
