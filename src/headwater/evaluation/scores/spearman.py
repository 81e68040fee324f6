"""Spearman's rank correlation of predictions and outcomes."""

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
    actual_ranks,
    predicted_ranks,
    ratio,
    resampled,
)

__all__ = ["Spearman"]


class Spearman:
    """Pearson correlation of average ranks. Signs and sizes of outcomes, refunds included, only order."""

    about: ClassVar[str] = "Whether users predicted higher came out higher, every user counting the same."
    better: ClassVar[Better] = Better.HIGHER
    unit: ClassVar[str] = "rank correlation"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.constant_actual``, ``score.constant_predicted``."""
        if sample.predicted.min() < sample.predicted.max():
            return refuse_constant_actual(sample)
        return Finding(
            code="score.constant_predicted",
            severity=Severity.BLOCK,
            what=f"All {sample.n_users:,} users have the same prediction.",
            why="A correlation with a constant does not exist; it is not zero.",
            do="Compare this model on level (total_bias, mae), not on ranking.",
            numbers={"n_users": sample.n_users},
        )

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """Rank correlation on each resample, shape (resamples,)."""
        return resampled(sample, weights=weights, one=_spearman)


def _spearman(sample: ScoredUsers, weights: Floats) -> Floats:
    x, x_weight = predicted_ranks(sample, weights)
    y, y_weight = actual_ranks(sample, weights)
    joint = np.take(x, sample.by_predicted.block, axis=1)
    joint *= weights
    joint *= np.take(y, sample.by_actual.block, axis=1)
    spread = np.einsum("bi,bi,bi->b", x_weight, x, x) * np.einsum("bi,bi,bi->b", y_weight, y, y)
    return np.clip(ratio(joint.sum(axis=1), np.sqrt(spread)), -1.0, 1.0)
