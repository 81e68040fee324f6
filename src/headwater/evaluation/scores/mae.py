"""Mean absolute error per user."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, weighted_means

__all__ = ["Mae"]


class Mae:
    """Mean of |predicted - actual|; refunds are outcomes like others.

    The median minimizes it, and where most users buy nothing the median is zero: never choose on it alone.
    """

    about: ClassVar[str] = "Mean distance of a user's prediction from the outcome; rewards predicting zero."
    better: ClassVar[Better] = Better.LOWER
    unit: ClassVar[str] = "unit of the target"

    def refuse(self, sample: ScoredUsers) -> Finding | None:  # noqa: ARG002  known for any users
        """Never: it is defined for every sample."""
        return None

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The error on each resample, shape (resamples,)."""
        errors = sample.kept("absolute error", lambda: np.abs(sample.predicted - sample.actual))
        return weighted_means(sample, weights=weights, of=errors)
