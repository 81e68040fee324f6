"""Pinball loss of the upper quantiles: what a plan for the good case rests on."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.evaluation.refusals import refuse_no_quantiles
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, weighted_means

__all__ = ["Pinball"]

_UPPER = 0.75


class Pinball:
    """Mean over users and over the levels above 75% of the loss whose best answer is the quantile.

    Lower quantiles of outcomes that are mostly zero are zero for every model; the upper ones tell models apart.
    """

    about: ClassVar[str] = (
        "How well quantiles above 75% fit, missing above costing as many times more as the level says."
    )
    better: ClassVar[Better] = Better.LOWER
    unit: ClassVar[str] = "unit of the target"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_quantiles``; ``score.no_upper_quantiles`` where none is above 75%."""
        return refuse_no_quantiles(sample) or _refuse_no_upper(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The mean loss on each resample, shape (resamples,)."""
        if sample.quantiles is None or sample.levels is None:
            return np.full(1 if weights is None else len(weights), np.nan)
        upper = sample.levels > _UPPER
        q, at = sample.quantiles[upper], sample.levels[upper]
        return weighted_means(
            sample, weights=weights, of=sample.kept("pinball", lambda: _losses(sample.actual, q, at))
        )


def _losses(actual: Floats, quantiles: Floats, levels: Floats) -> Floats:
    total = np.zeros_like(actual)
    for quantile, level in zip(quantiles, levels, strict=True):
        over = quantile - actual
        total += ((over > 0) - level) * over
    return total / levels.size


def _refuse_no_upper(sample: ScoredUsers) -> Finding | None:
    if sample.levels is not None and sample.levels[-1] > _UPPER:
        return None
    return Finding(
        code="score.no_upper_quantiles",
        severity=Severity.BLOCK,
        what=f"No quantile above {_UPPER:.0%} was given.",
        why="Most users bring nothing: lower quantiles are zero and say little.",
        do="Pass quantiles above that level, or read crps.",
    )
