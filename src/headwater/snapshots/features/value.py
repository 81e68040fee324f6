"""Value: what the user has been worth, when, and how much was given back."""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import name, sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature, in_units, windowed

__all__ = ["Value"]


class Value:
    """Summed measures over all time and each window, the best day, and what was refunded."""

    about: ClassVar[str] = "amounts over all time and over each window, the best day, refunds"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """Amounts in the measure's unit, net of refunds; refunds are counted as a positive amount."""
        made: list[FeatureColumn] = []
        for m in spec.summed:
            made.append(
                feature(
                    f"{m.label}_total",
                    about=f"{m.name} so far, net",
                    unit=m.unit,
                    aggregate=windowed(m, None),
                )
            )
            made += [
                feature(
                    f"{m.label}_last_{w}d",
                    about=f"{m.name} in the last {w} days, net",
                    unit=m.unit,
                    aggregate=windowed(m, w),
                )
                for w in spec.windows
            ]
            best = in_units(m, sql("max({v})", v=name(m.name)))
            back = in_units(m, sql("coalesce(-sum({v}) FILTER (WHERE {v} < 0), 0)", v=name(m.name)))
            made.append(
                feature(f"{m.label}_best_day", about=f"{m.name} on the best day", unit=m.unit, aggregate=best)
            )
            made.append(
                feature(
                    f"{m.label}_given_back",
                    about=f"net loss on days where {m.name} was negative",
                    unit=m.unit,
                    aggregate=back,
                )
            )
            per_day = sql("({t} / active_days_total)", t=name(f"{m.label}_total"))
            made.append(
                feature(
                    f"{m.label}_per_active_day", about=f"{m.name} per active day", unit=m.unit, derive=per_day
                )
            )
        return tuple(made)
