"""The mean over users."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding
from headwater.effects.kind import findings_on_size
from headwater.effects.metric import Metric
from headwater.numerics.moments import Moments

__all__ = ["Mean"]


class Mean:
    """The mean of the outcome over users."""

    about: ClassVar[str] = "the mean of the outcome over users"
    method: ClassVar[str] = "welch"

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """The outcome."""
        return (metric.outcome,)

    def value(self, means: NDArray[np.float64]) -> float:
        """The mean itself."""
        return float(means[0])

    def gradient(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """One."""
        return np.ones_like(means)

    def findings(self, metric: Metric, moments: Moments, *, arm: str) -> tuple[Finding, ...]:
        """Too few users."""
        return findings_on_size(metric, moments, arm=arm)
