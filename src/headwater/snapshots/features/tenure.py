"""Tenure: how long the user has been known."""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature, greatest

__all__ = ["Tenure"]


class Tenure:
    """Days from the first active day in the log to the cutoff."""

    about: ClassVar[str] = "days since the first active day in the log"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """At least one day."""
        del spec
        return (
            feature(
                "tenure_days",
                greatest(sql("age")),
                about="days since first seen in the log",
                unit="days",
            ),
        )
