"""Rhythm: how regularly the user comes, and whether the next visit is overdue."""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import sql
from headwater.snapshots.feature import (
    FeatureColumn,
    FeatureSpec,
    feature,
    formula,
    greatest,
    least,
    total,
)

__all__ = ["Rhythm"]


class Rhythm:
    """Mean gap between active days, how overdue the user is by it, and the share of days active."""

    about: ClassVar[str] = "mean gap between active days, how overdue the next one is, share of days active"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """The gap is NULL for a user seen on one day only."""
        del spec
        days = formula("CAST({n} AS DOUBLE)", n=total(sql("1")))
        first, last = greatest(sql("age")), least(sql("age"))
        gap = formula("CASE WHEN {n} > 1 THEN ({f} - {s}) / ({n} - 1) END", n=days, f=first, s=last)
        overdue = formula("CASE WHEN {n} > 1 THEN {s} * ({n} - 1) / ({f} - {s}) END", n=days, f=first, s=last)
        return (
            feature("mean_gap_days", gap, about="mean days between active days", unit="days"),
            feature("overdue_ratio", overdue, about="days since active over the mean gap"),
            feature(
                "active_share",
                formula("{n} / {f}", n=days, f=first),
                about="share of days active since first seen",
                unit="share",
            ),
        )
