"""Calendar: on which days of the week the user comes."""

from __future__ import annotations

from typing import ClassVar

from headwater.engine.sql import sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature

__all__ = ["Calendar"]


class Calendar:
    """Share of active days on Saturday or Sunday (app days; 1970-01-01 was a Thursday)."""

    about: ClassVar[str] = "share of active days on a weekend"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """0 to 1."""
        del spec
        weekend = sql("(CAST(count(*) FILTER (WHERE (app_day + 3) % 7 >= 5) AS DOUBLE) / count(*))")
        return (
            feature(
                "weekend_share",
                about="share of active days on Saturday or Sunday",
                unit="share",
                aggregate=weekend,
            ),
        )
