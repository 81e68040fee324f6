"""Rhythm: how regularly the user comes, and whether the next visit is overdue."""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature

__all__ = ["Rhythm"]


class Rhythm:
    """Mean gap between active days, how overdue the user is by it, and the share of days active."""

    about: ClassVar[str] = "mean gap between active days, how overdue the next one is, share of days active"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """The gap is NULL for a user seen on one day only."""
        del spec
        gap = sql(
            "CASE WHEN active_days_total > 1 THEN (tenure_days - days_since_active) / (active_days_total - 1) END"
        )
        overdue = sql(
            "CASE WHEN active_days_total > 1 THEN days_since_active * (active_days_total - 1) / (tenure_days - days_since_active) END"
        )
        return (
            feature("mean_gap_days", about="mean days between active days", unit="days", derive=gap),
            feature("overdue_ratio", about="days since active over the mean gap", derive=overdue),
            feature(
                "active_share",
                about="share of days active since first seen",
                unit="share",
                derive=sql("(active_days_total / tenure_days)"),
            ),
        )
