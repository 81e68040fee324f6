"""Calibration slope over deciles of the prediction."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.evaluation.refusals import refuse_few_users
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, decile_sums, ratio, resampled

__all__ = ["DecileCalibration"]


class DecileCalibration:
    """Slope of actual on predicted decile means, with intercept, deciles weighted by their users.

    1 is best; below 1 predictions are spread too far apart, above 1 not far enough. The intercept takes
    up the level, which ``total_bias`` judges. Refunds count in the means. Deciles hold equal weight of
    users by construction, so weighting by users is ordinary least squares over ten points.
    """

    about: ClassVar[str] = "Whether differences between predicted deciles are as large as actual ones."
    better: ClassVar[Better] = Better.NOMINAL
    unit: ClassVar[str] = "slope"

    def nominal(self, sample: ScoredUsers) -> float:  # noqa: ARG002  the same for all users
        """1: a predicted difference of one unit is an actual difference of one unit."""
        return 1.0

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.constant_predicted``, ``score.too_few_users``."""
        if sample.predicted.min() < sample.predicted.max():
            return refuse_few_users(sample)
        return Finding(
            code="score.constant_predicted",
            severity=Severity.BLOCK,
            what=f"All {sample.n_users:,} users have the same prediction.",
            why="A slope needs predictions that differ.",
            do="Compare this model on level (total_bias, mae).",
            numbers={"n_users": sample.n_users},
        )

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The slope on each resample, shape (resamples,)."""
        return resampled(sample, weights=weights, one=_slope)


def _slope(sample: ScoredUsers, weights: Floats) -> Floats:
    predicted, actual = decile_sums(sample, weights)
    apart = predicted - predicted.mean(axis=1, keepdims=True)
    spread = (apart * apart).sum(axis=1)
    noise = 1e-20 * (predicted * predicted).sum(axis=1)
    return ratio((apart * actual).sum(axis=1), np.where(spread > noise, spread, 0.0))
