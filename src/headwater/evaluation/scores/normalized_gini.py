"""Normalized Gini: how much of the best possible ordering of users by value the predictions achieve."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.evaluation.refusals import refuse_constant_actual
from headwater.evaluation.scored import (
    Better,
    Floats,
    ScoredUsers,
    Weights,
    actual_curves,
    actual_ranks,
    gain_curves,
    predicted_ranks,
    ratio,
    resampled,
)

__all__ = ["NormalizedGini"]


class NormalizedGini:
    """Area of the gain chart over the area of the perfect one: 1 perfect, 0 no order, -1 reversed.

    It equals ``cov(actual, rank of predicted) / cov(actual, rank of actual)`` with average ranks, so equal
    predictions form a straight line of gain. Negative outcomes (refunds) stay as they are: in this form
    the total cancels and the value stays within -1 and 1 (Schechtman and Yitzhaki, 1987).
    """

    about: ClassVar[str] = "How much of the best possible ordering of users by value was achieved."
    better: ClassVar[Better] = Better.HIGHER
    unit: ClassVar[str] = "share of the perfect ordering"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_positive_actual`` without any positive outcome; ``score.constant_actual``."""
        if (sample.actual > 0).any():
            return refuse_constant_actual(sample)
        return Finding(
            code="score.no_positive_actual",
            severity=Severity.BLOCK,
            what=f"None of {sample.n_users:,} users has a positive outcome.",
            why="There is no value to rank users by.",
            do="Take a longer horizon or more users.",
            numbers={"n_users": sample.n_users},
        )

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """Normalized Gini on each resample, shape (resamples,)."""
        return resampled(sample, weights=weights, one=_gini)


def _gini(sample: ScoredUsers, weights: Floats) -> Floats:
    ranks, _ = predicted_ranks(sample, weights)
    worth = np.diff(gain_curves(sample, weights)[2], axis=1, prepend=0.0)
    best_ranks, _ = actual_ranks(sample, weights)
    best_worth = np.diff(actual_curves(sample, weights)[1], axis=1, prepend=0.0)
    found, best = np.einsum("bi,bi->b", worth, ranks), np.einsum("bi,bi->b", best_worth, best_ranks)
    return np.clip(ratio(found, best), -1.0, 1.0)
