"""How many renewals to expect of a customer under contract, discounted to the next one.

Fader & Hardie (2010), Customer-Base Valuation in a Contractual Setting, Marketing Science 29(1).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from headwater.core.errors import UsageError
from headwater.numerics.rfm import Floats

__all__ = ["LogSurvival", "discounted_lifetime", "discounted_residual_lifetime"]

_NEGLIGIBLE = 32.0
_MOST_TERMS = 5_000_000

LogSurvival = Callable[[int], Floats]
"""Logarithm of the share still there after 0, 1, ... n renewals, ``(n + 1,)``."""


def discounted_lifetime(log_survival: LogSurvival, *, rate: float) -> float:
    """DEL of a new customer: the first period, paid now, and each renewal to come, discounted once a period."""
    first = discounted_residual_lifetime(log_survival, survived=0, rate=rate)
    return 1.0 + float(first[0]) / (1 + rate)


def discounted_residual_lifetime(
    log_survival: LogSurvival, *, survived: ArrayLike, rate: float, renewals: int | None = None
) -> Floats:
    """DERL of customers about to come to their next renewal: the renewals to expect, the next one at full worth.

    Parameters
    ----------
    survived
        Renewals that each customer has survived, whole numbers from 0.
    rate
        Discount of one period, above 0 unless ``renewals`` is given.
    renewals
        Count the next so many only; None for ever.

    Returns
    -------
    ``sum over t > survived of S(t) / S(survived) (1 + rate)^(survived + 1 - t)``.

    Raises
    ------
    UsageError
        ``value.rate`` where the sum is not finite.
    """
    ages = np.atleast_1d(np.asarray(survived, dtype=np.int64))
    ahead = _terms(rate) if renewals is None else renewals
    alive = log_survival(int(ages.max()) + ahead)
    found, which = np.unique(ages, return_inverse=True)
    fade = -math.log1p(rate) * np.arange(ahead)
    each = [np.exp(alive[n + 1 : n + 1 + ahead] - alive[n] + fade).sum() for n in found.tolist()]
    return np.array(each)[which]


def _terms(rate: float) -> int:
    terms = _NEGLIGIBLE / math.log1p(rate) if rate > 0 else math.inf
    if terms > _MOST_TERMS:
        raise UsageError(
            "value.rate",
            what=f"A lifetime was to be discounted at {rate:g} a period, for ever.",
            why="Where some customers hardly ever leave, renewals for ever have no finite sum without a discount.",
            do="Give a number of renewals, or a discount rate above zero for one period.",
        )
    return math.ceil(terms)
