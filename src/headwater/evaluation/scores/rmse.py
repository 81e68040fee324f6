"""Root mean squared error per user."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, weighted_means

__all__ = ["Rmse"]


class Rmse:
    """Root of the mean of (predicted - actual) squared; refunds are outcomes like others."""

    about: ClassVar[str] = "Root mean squared error of a user's prediction; a few large users decide it."
    better: ClassVar[Better] = Better.LOWER
    unit: ClassVar[str] = "unit of the target"

    def refuse(self, sample: ScoredUsers) -> Finding | None:  # noqa: ARG002  known for any users
        """Never: it is defined for every sample."""
        return None

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The error on each resample, shape (resamples,)."""
        squared = sample.kept("squared error", lambda: (sample.predicted - sample.actual) ** 2)
        return np.sqrt(weighted_means(sample, weights=weights, of=squared))
