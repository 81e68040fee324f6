"""Weighted absolute percentage error over deciles of the prediction."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_few_users, refuse_no_positive_total
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, decile_sums, ratio, resampled

__all__ = ["DecileWape"]


class DecileWape:
    """Sum over predicted deciles of |predicted - actual|, over the actual total.

    Refunds are netted within deciles and in the total. Not MAPE: a decile in which nobody bought would
    divide by zero, and MAPE punishes predicting too much more than predicting too little.
    """

    about: ClassVar[str] = "Error of the level, decile by decile, as a share of the actual total."
    better: ClassVar[Better] = Better.LOWER
    unit: ClassVar[str] = "share of actual total"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_positive_actual``, ``score.too_few_users``."""
        return refuse_no_positive_total(sample) or refuse_few_users(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The error on each resample, shape (resamples,)."""
        return resampled(sample, weights=weights, one=_wape)


def _wape(sample: ScoredUsers, weights: Floats) -> Floats:
    predicted, actual = decile_sums(sample, weights)
    return ratio(np.abs(predicted - actual).sum(axis=1), actual.sum(axis=1))
