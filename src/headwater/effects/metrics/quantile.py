"""A quantile of the outcome."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.errors import UsageError
from headwater.effects.metric import Metric

__all__ = ["Quantile"]


class Quantile:
    """The value below which a share of users (or of their rows) lies, such as the 90th percentile of waiting times."""

    about: ClassVar[str] = "the value below which a share of the outcomes lies"
    method: ClassVar[str] = "order_statistics"

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """The outcome, of which order statistics are taken."""
        if metric.share is None or not 0 < metric.share < 1:
            raise UsageError(
                "metric.incomplete",
                what=f"The metric {metric.name} is a quantile and its share is {metric.share}.",
                why="A quantile is of a share between 0 and 1.",
                do="Say it, such as share = 0.9.",
            )
        return (metric.outcome,)
