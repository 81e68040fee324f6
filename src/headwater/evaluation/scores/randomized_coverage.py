"""Coverage of the randomized intervals: exact, however many outcomes tie."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_no_chances
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, weighted_means

__all__ = ["RandomizedCoverage"]


class RandomizedCoverage:
    """Mean chance that a user's randomized interval holds the outcome; best at the level it promises.

    Beside ``interval_coverage`` it tells a wrong model from the excess that zeros force on fixed intervals.
    """

    about: ClassVar[str] = (
        "How often outcomes fall inside intervals whose bounds are drawn where outcomes tie; best at the promised level."
    )
    better: ClassVar[Better] = Better.NOMINAL
    unit: ClassVar[str] = "share of users"

    def nominal(self, sample: ScoredUsers) -> float:
        """The level of the intervals; ask only where ``refuse`` is None."""
        return float("nan") if sample.level is None else sample.level

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_chances``."""
        return refuse_no_chances(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The share on each resample, shape (resamples,)."""
        if sample.chances is None:
            return np.full(1 if weights is None else len(weights), np.nan)
        return weighted_means(sample, weights=weights, of=sample.chances)
