"""Recency: how long ago the user was last seen, and last did each thing."""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import name, sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature, least

__all__ = ["Recency"]


class Recency:
    """Days from the last active day, and from the last day of each counted measure, to the cutoff."""

    about: ClassVar[str] = "days since the last activity and the last occasion of each kind"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """NULL where the thing never happened."""
        age = sql("age")
        last = feature("days_since_active", least(age), about="days since the last active day", unit="days")
        each = (
            feature(
                f"days_since_{m.name}",
                least(age, when=sql("{m} > 0", m=name(m.name))),
                about=f"days since the last day with {m.name}",
                unit="days",
            )
            for m in spec.counted
        )
        return (last, *each)
