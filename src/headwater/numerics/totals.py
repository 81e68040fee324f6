"""The error of totals of groups: how much of it groups do not share, and how far a total may be off.

A group's actual total over its forecast is ``1 + s + c + e``: ``s`` is what all users of an origin share, ``c``
what users of one group share, ``e`` their own luck. The variance of ``c`` is estimated as that between
studies is in a meta-analysis (Paule and Mandel, 1982; DerSimonian and Kacker, 2007).
"""

from __future__ import annotations

from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["between_variance", "reaches", "standardized", "tail_factors"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

_PRECISION = 1e-9


def between_variance(errors: Floats, variances: Floats, origins: Codes) -> float:
    """The variance of relative errors of groups beyond their users' own luck (Paule and Mandel).

    Parameters
    ----------
    errors, variances
        Shape (groups of all origins,): actual over forecast less 1, and the variance that the users' own
        luck gives it.
    origins
        Which origin each belongs to, 0, 1, 2 ...; each origin has a mean of its own, which all its groups share.

    Returns
    -------
    Zero where groups differ no more than their users' luck lets them, or no origin has two groups.
    """
    df = errors.size - np.unique(origins).size
    if df < 1:
        return 0.0

    def too_small(between: float) -> bool:
        weights = 1 / (variances + between)
        return float(np.sum(weights * _apart(errors, weights, origins) ** 2)) > df

    low = 1e-12 * max(float(np.mean(errors**2)), 1e-100)
    if not too_small(low):
        return 0.0
    high = 4 * low
    while too_small(high):
        low, high = high, 4 * high
    while high > (1 + _PRECISION) * low:
        middle = sqrt(low * high)
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return sqrt(low * high)


def standardized(errors: Floats, variances: Floats, origins: Codes, *, between: float) -> Floats:
    """How far each group was off beside what its origin shares, in standard errors of that distance."""
    weights = 1 / np.maximum(variances + between, 1e-300)
    return _apart(errors, weights, origins) * np.sqrt(weights)


def tail_factors(past: Floats, *, level: float) -> tuple[float, float] | None:
    """Conformal factors in place of plus and minus z: order statistics of past standardized errors of groups.

    They take the skew of sums of few users into account. None where there are too few groups for this level.
    """
    n = past.size
    tail = floor((n + 1) * (1 - level) / 2 + 1e-9)
    if tail < 1:
        return None
    ordered = np.sort(past)
    return float(ordered[tail - 1]), float(ordered[ceil((n + 1) * (1 + level) / 2 - 1e-9) - 1])


def reaches(
    mean: Floats,
    variance: Floats,
    *,
    common: tuple[float, float],
    between: tuple[float, float],
    level: float,
    factors: tuple[float, float] | None = None,
) -> tuple[Floats, Floats]:
    """How far totals may lie below and above their forecasts; shapes of ``mean``, which holds totals by group.

    Each part of the error reaches as far as its own uncertainty demands, and the squares of the reaches add
    (Zou and Donner, 2008): luck by the normal, what was estimated from few origins or groups by Student's t.

    Parameters
    ----------
    common, between
        Relative standard error and degrees of freedom: of what all users share, and of what a group shares.
    factors
        ``tail_factors``: they then stand for luck and group together.
    """
    tail = (1 + level) / 2
    shared = float(special.stdtrit(common[1], tail)) * common[0] * mean
    if factors is not None:
        own = np.sqrt(variance + (between[0] * mean) ** 2)
        below, above = max(-factors[0], 0.0) * own, max(factors[1], 0.0) * own
        return np.hypot(shared, below), np.hypot(shared, above)
    own = float(special.ndtri(tail)) * np.sqrt(variance)
    group = float(special.stdtrit(between[1], tail)) * between[0] * mean
    reach = np.sqrt(shared**2 + own**2 + group**2)
    return reach, reach


def _apart(errors: Floats, weights: Floats, origins: Codes) -> Floats:
    """Errors less the weighted mean of their origin."""
    means = np.bincount(origins, weights * errors) / np.maximum(np.bincount(origins, weights), 1e-300)
    return errors - means[origins]
