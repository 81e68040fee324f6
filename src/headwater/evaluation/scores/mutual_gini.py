"""Mutual Gini: the area between the Lorenz curves of predictions and of outcomes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.evaluation.refusals import refuse_no_positive_total
from headwater.evaluation.scored import (
    Better,
    Floats,
    ScoredUsers,
    Weights,
    actual_curves,
    gain_curves,
    ratio,
    resampled,
    share_below,
)

__all__ = ["MutualGini"]

_PLACES: Floats = 1 - np.linspace(1, 0, 513) ** 2


class MutualGini:
    """Integral over shares of users of the distance between the two Lorenz curves.

    0 where the predictions are as unequal as the outcomes in every part of the distribution. Each curve
    orders users by itself, so this is no ranking. Curves are read at 513 shares of users, densest at the top.
    """

    about: ClassVar[str] = (
        "How differently value is spread over users in the predictions and in truth, whoever they are."
    )
    better: ClassVar[Better] = Better.LOWER
    unit: ClassVar[str] = "area (0 to 1)"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_positive_actual``, ``score.no_positive_predicted``."""
        return refuse_no_positive_total(sample) or _refuse_no_positive_predicted(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The area on each resample, shape (resamples,)."""
        return resampled(sample, weights=weights, one=_area)


def _refuse_no_positive_predicted(sample: ScoredUsers) -> Finding | None:
    total = float(sample.predicted.sum())
    if total > 0:
        return None
    return Finding(
        code="score.no_positive_predicted",
        severity=Severity.BLOCK,
        what=f"The predictions for {sample.n_users:,} users sum to {total:g}.",
        why="How a total is spread over users cannot be said of nothing.",
        do="Look at total_bias first: this model expects nothing, or net refunds.",
        numbers={"n_users": sample.n_users, "total": total},
    )


def _area(sample: ScoredUsers, weights: Floats) -> Floats:
    users, predicted, _ = gain_curves(sample, weights)
    apart = _lorenz(users, predicted) - _lorenz(*actual_curves(sample, weights))
    left, right = apart[:, :-1], apart[:, 1:]
    size, crosses = np.abs(left) + np.abs(right), left * right < 0
    # two triangles where the curves cross inside a step, else a trapezoid
    height = np.divide(left * left + right * right, size, out=size.copy(), where=crosses)
    return 0.5 * height @ np.diff(_PLACES)


def _lorenz(users: Floats, worth: Floats) -> Floats:
    """Share of value held by the lowest shares of users, read at ``_PLACES``."""
    shares = ratio(share_below(users, worth, _PLACES[1:-1]), worth[:, -1:])
    ends = np.zeros((len(users), 1))
    return np.concatenate([ends, shares, ends + 1], axis=1)
