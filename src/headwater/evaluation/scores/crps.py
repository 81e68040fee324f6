"""Continuous ranked probability score of the predicted distribution."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_no_quantiles
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, weighted_means

__all__ = ["Crps"]


class Crps:
    """Mean over users of the integral of (predicted distribution function - step at the outcome) squared.

    The distribution is the one with the quantiles as its values, each weighing the levels nearest to it: the
    score is exact for that distribution, and proper.
    """

    about: ClassVar[str] = (
        "How far the whole predicted distribution is from the outcome; of a single number it is the MAE."
    )
    better: ClassVar[Better] = Better.LOWER
    unit: ClassVar[str] = "unit of the target"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_quantiles``."""
        return refuse_no_quantiles(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The mean score on each resample, shape (resamples,)."""
        if sample.quantiles is None or sample.levels is None:
            return np.full(1 if weights is None else len(weights), np.nan)
        q, at = sample.quantiles, sample.levels
        return weighted_means(
            sample, weights=weights, of=sample.kept("crps", lambda: _scores(sample.actual, q, at))
        )


def _scores(actual: Floats, quantiles: Floats, levels: Floats) -> Floats:
    """Twice the integral over levels of the pinball loss, the quantile function a staircase."""
    borders = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    total = np.zeros_like(actual)
    for quantile, low, high in zip(quantiles, borders[:-1], borders[1:], strict=True):
        over = quantile - actual
        total += 2 * (high - low) * ((over > 0) - (low + high) / 2) * over
    return total
