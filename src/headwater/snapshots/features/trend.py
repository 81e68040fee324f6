"""Trend: is the user doing more or less than four weeks before?"""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature, windowed

__all__ = ["Trend"]

_DAYS = 28


class Trend:
    """The last 28 days minus the 28 before, in active days and in each measure."""

    about: ClassVar[str] = "the last 28 days minus the 28 before"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """Differences, in the measure's unit."""
        days = sql(
            "CAST(count(*) FILTER (WHERE age <= {w}) - count(*) FILTER (WHERE age > {w} AND age <= {v}) AS DOUBLE)",
            w=_DAYS,
            v=2 * _DAYS,
        )
        about = "last 28 days minus the 28 before"
        changes = (
            feature(
                f"{m.label}_trend",
                about=f"{m.name}, {about}",
                unit=m.unit,
                aggregate=sql("({a} - {b})", a=windowed(m, _DAYS), b=windowed(m, _DAYS, offset=_DAYS)),
            )
            for m in spec.measures
        )
        return (
            feature("active_days_trend", about=f"active days, {about}", unit="days", aggregate=days),
            *changes,
        )
