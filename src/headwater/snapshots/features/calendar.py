"""Calendar: on which days of the week the user comes."""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature, formula, total

__all__ = ["Calendar"]


class Calendar:
    """Share of active days on Saturday or Sunday (app days; 1970-01-01 was a Thursday)."""

    about: ClassVar[str] = "share of active days on a weekend"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """0 to 1."""
        del spec
        share = formula(
            "CAST({weekend} AS DOUBLE) / {days}",
            weekend=total(sql("1"), when=sql("(app_day + 3) % 7 >= 5")),
            days=total(sql("1")),
        )
        return (
            feature("weekend_share", share, about="share of active days on Saturday or Sunday", unit="share"),
        )
