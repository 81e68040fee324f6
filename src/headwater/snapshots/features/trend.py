"""Trend: is the user doing more or less than four weeks before?"""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature, formula, measured, total

__all__ = ["Trend"]

_DAYS = 28


class Trend:
    """The last 28 days minus the 28 before, in active days and in each measure."""

    about: ClassVar[str] = "the last 28 days minus the 28 before"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """Differences, in the measure's unit."""
        one = sql("1")
        days = formula(
            "{now} - {then}", now=total(one, last=_DAYS), then=total(one, last=_DAYS, before=_DAYS)
        )
        about = "last 28 days minus the 28 before"
        changes = (
            feature(
                f"{m.label}_trend",
                formula(
                    "{now} - {then}",
                    now=measured(m, last=_DAYS),
                    then=measured(m, last=_DAYS, before=_DAYS),
                ),
                about=f"{m.name}, {about}",
                unit=m.unit,
            )
            for m in spec.measures
        )
        return (feature("active_days_trend", days, about=f"active days, {about}", unit="days"), *changes)
