"""Normalized Gini: how much of the best possible ordering of users by value the predictions achieve."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.evaluation.scored import (
    Better,
    Floats,
    ScoredUsers,
    Weights,
    midranks,
    ratio,
    refuse_constant_actual,
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
    order = sample.by_predicted
    ranks, _ = midranks(order, weights)
    worth = (weights * sample.actual)[:, order.rows]
    if order.has_ties:
        worth = np.add.reduceat(worth, np.append(0, order.ends[:-1] + 1), axis=1)
    found = np.einsum("bi,bi->b", worth, ranks)
    best_ranks, block = midranks(sample.by_actual, weights)
    distinct = sample.actual[sample.by_actual.rows[sample.by_actual.ends]]
    best = np.einsum("bi,bi,i->b", block, best_ranks, distinct)
    return np.clip(ratio(found, best), -1.0, 1.0)
