"""The share of users who came back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding
from headwater.effects.kind import findings_on_size
from headwater.effects.metric import Metric
from headwater.numerics.moments import Moments

__all__ = ["Retention"]


class Retention:
    """The share of users with an outcome above zero on the days asked for, whoever they are: all exposed count."""

    about: ClassVar[str] = "the share of exposed users who were back on a day, or on any of several days"
    method: ClassVar[str] = "welch"

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """Whether the total of these days is above zero; unknown while the days are not over."""
        return (f"({metric.outcome}) > 0",)

    def value(self, means: NDArray[np.float64]) -> float:
        """The share."""
        return float(means[0])

    def gradient(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """One."""
        return np.ones_like(means)

    def findings(self, metric: Metric, moments: Moments, *, arm: str) -> tuple[Finding, ...]:
        """Too few users whose days are over."""
        return findings_on_size(metric, moments, arm=arm)
