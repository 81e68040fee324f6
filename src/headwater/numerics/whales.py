"""Whales: how large an outcome may be before a model learns from less of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.robust import mad_scale

__all__ = ["Cap", "whale_cap"]

Floats = NDArray[np.float64]
_TOP_SHARE, _TOP_USERS = 0.001, 10
_SPREADS = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """The largest outcome that is learned from as it is, and what lies above it: rows, and the amount taken off."""

    at: float
    n_above: int
    taken_off: float

    def applied(self, outcomes: Floats) -> Floats:
        """Outcomes with what lies above the cap taken off."""
        return np.minimum(outcomes, self.at)


def whale_cap(outcomes: Floats) -> Cap:
    """Cap what is both in the top 0.1% of outcomes above zero (ten at most, where they are few) and far out.

    Far out is more than 3.5 robust standard deviations (from the median absolute deviation) above the median
    of logarithms: of lognormal outcomes one in 4,300 is. Without an outcome above zero nothing is capped.
    """
    positive = outcomes[outcomes > 0]
    if positive.size == 0:
        return Cap(at=np.inf, n_above=0, taken_off=0.0)
    level = 1 - max(_TOP_SHARE, _TOP_USERS / max(positive.size, _TOP_USERS))
    logs = np.log(positive)
    far_out = float(np.exp(np.median(logs) + _SPREADS * mad_scale(logs)))
    at = max(float(np.quantile(positive, level, method="higher")), far_out)
    above = positive[positive > at]
    return Cap(at=at, n_above=int(above.size), taken_off=float((above - at).sum()))
