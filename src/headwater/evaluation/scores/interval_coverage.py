"""Interval coverage: the share of users whose outcome fell inside the interval."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_no_intervals
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, weighted_means

__all__ = ["IntervalCoverage"]


class IntervalCoverage:
    """Share of users with ``low <= actual <= high``; best at the level that the intervals promise."""

    about: ClassVar[str] = "How often outcomes fell inside the interval; best at the promised level."
    better: ClassVar[Better] = Better.NOMINAL
    unit: ClassVar[str] = "share of users"

    def nominal(self, sample: ScoredUsers) -> float:
        """The level of the intervals; ask only where ``refuse`` is None."""
        return float("nan") if sample.level is None else sample.level

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_intervals``."""
        return refuse_no_intervals(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The share on each resample, shape (resamples,)."""
        if sample.low is None or sample.high is None:
            return np.full(1 if weights is None else len(weights), np.nan)
        low, high = sample.low, sample.high
        inside = sample.kept(
            "inside", lambda: ((low <= sample.actual) & (sample.actual <= high)).astype(np.float64)
        )
        return weighted_means(sample, weights=weights, of=inside)
