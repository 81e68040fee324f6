"""Mean absolute error in logs: by what factor a prediction is off, zeros included."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_no_positive_total
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, resampled

__all__ = ["LogMae"]


class LogMae:
    """Mean of |log((m + predicted) / (m + actual))|, m the mean outcome; below zero counts as zero.

    Adding the mean makes zeros finite and the score free of the currency: a user ten times the mean
    predicted at twice the mean is off by log(11 / 3).
    """

    about: ClassVar[str] = (
        "By how many times a prediction is off, large and small users alike, nothing counting as little."
    )
    better: ClassVar[Better] = Better.LOWER
    unit: ClassVar[str] = "log of a factor"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_positive_actual``."""
        return refuse_no_positive_total(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The error on each resample, shape (resamples,)."""
        return resampled(sample, weights=weights, one=_error)


def _error(sample: ScoredUsers, weights: Floats) -> Floats:
    n_users = weights.sum(axis=1)
    mean = weights @ sample.actual / np.maximum(n_users, 1e-300)
    known = mean > 0
    scale = np.where(known, mean, 1.0)[:, None]
    predicted, actual = (np.maximum(v, 0.0) for v in (sample.predicted, sample.actual))
    factors = np.abs(np.log((scale + predicted) / (scale + actual)))
    return np.where(known, np.einsum("bi,bi->b", weights, factors) / np.maximum(n_users, 1e-300), np.nan)
