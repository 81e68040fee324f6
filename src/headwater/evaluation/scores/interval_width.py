"""Interval width: how wide the intervals are beside the mean outcome."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_no_intervals, refuse_no_positive_total
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, ratio, resampled

__all__ = ["IntervalWidth"]


class IntervalWidth:
    """Mean of ``high - low`` over the mean outcome (net of refunds). Compare only at equal coverage."""

    about: ClassVar[str] = "Mean interval width over the mean outcome; narrow is good only if coverage holds."
    better: ClassVar[Better] = Better.LOWER
    unit: ClassVar[str] = "times the mean outcome"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_intervals``, ``score.no_positive_actual``."""
        return refuse_no_intervals(sample) or refuse_no_positive_total(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The relative width on each resample, shape (resamples,)."""
        if sample.low is None or sample.high is None:
            return np.full(1 if weights is None else len(weights), np.nan)
        width = sample.high - sample.low
        return resampled(sample, weights=weights, one=lambda s, w: ratio(w @ width, w @ s.actual))
