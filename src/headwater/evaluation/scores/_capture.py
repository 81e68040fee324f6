"""The share of all value that the users predicted highest brought."""

from __future__ import annotations

import numpy as np

from headwater.evaluation.scored import (
    Floats,
    ScoredUsers,
    Weights,
    gain_curves,
    ratio,
    resampled,
    share_below,
)

__all__ = ["captured"]


def captured(sample: ScoredUsers, *, weights: Weights | None, top: float) -> Floats:
    """Actual value of the share ``top`` of users predicted highest over all actual value, on each resample.

    Users tied at the border count with the fraction that lies above it.
    """

    def share(sample: ScoredUsers, weights: Floats) -> Floats:
        users, _, worth = gain_curves(sample, weights)
        below = share_below(users, worth, np.array([1 - top]))[:, 0]
        return ratio(worth[:, -1] - below, worth[:, -1])

    return resampled(sample, weights=weights, one=share)
