"""How long users take to the first event, those who have not seen it yet among them."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.errors import UsageError
from headwater.effects.metric import Metric

__all__ = ["TimeToEvent"]


class TimeToEvent:
    """The mean of the days to the first event, cut at the window's end, of users observed for different times."""

    about: ClassVar[str] = (
        "the mean number of days to the first event within the window, with users who have not seen it yet"
    )
    method: ClassVar[str] = "restricted_mean"

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """For how many days users have been observed; the days to events are counted beside the moments."""
        if metric.over is None or metric.days is None:
            raise UsageError(
                "metric.incomplete",
                what=f"The metric {metric.name} is a time to an event and does not say for how many days users were observed and count.",
                why="Who has not seen the event yet is known to have waited for so long only.",
                do='Say it, such as over = "observed_days", days = [0, 29].',
            )
        return (metric.over,)
