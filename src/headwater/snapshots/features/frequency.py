"""Frequency: how often the user was active and did each counted thing."""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature, measured, total

__all__ = ["Frequency"]


class Frequency:
    """Active days and counted measures, over all time and over each window."""

    about: ClassVar[str] = "active days and counts, over all time and over each window"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """Zero where nothing happened in a window."""
        active = [
            feature("active_days_total", total(sql("1")), about="days with any event", unit="days"),
            *(
                feature(
                    f"active_days_last_{w}d",
                    total(sql("1"), last=w),
                    about=f"days with any event in the last {w} days",
                    unit="days",
                )
                for w in spec.windows
            ),
        ]
        counts = [feature(f"{m.name}_total", measured(m), about=f"{m.name} so far") for m in spec.counted]
        counts += [
            feature(f"{m.name}_last_{w}d", measured(m, last=w), about=f"{m.name} in the last {w} days")
            for m in spec.counted
            for w in spec.windows
        ]
        return (*active, *counts)
