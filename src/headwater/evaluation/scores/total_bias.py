"""Total bias: how far the sum of predictions is from the sum of outcomes."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_no_positive_total
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, ratio, resampled

__all__ = ["TotalBias"]


class TotalBias:
    """Sum of predictions over sum of outcomes, less 1. Refunds count in the net sum."""

    about: ClassVar[str] = "How far the predicted total is above (+) or below (-) what came."
    better: ClassVar[Better] = Better.ZERO
    unit: ClassVar[str] = "share of actual total"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_positive_actual``."""
        return refuse_no_positive_total(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """Relative error of the total on each resample, shape (resamples,)."""
        return resampled(sample, weights=weights, one=_bias)


def _bias(sample: ScoredUsers, weights: Floats) -> Floats:
    return ratio(weights @ sample.predicted, weights @ sample.actual) - 1
