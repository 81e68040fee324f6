"""Slope of estimates along something known, such as effects by day: weighted least squares with known or robust errors."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["Slope", "known_slope", "robust_slope"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """``intercept`` is the line at x = 0; ``p_value`` tests that the slope is zero, two-sided."""

    slope: float
    intercept: float
    std_error: float
    p_value: float


def known_slope(x: Floats, y: Floats, *, variance: Floats, weight: Floats) -> Slope | None:
    """The line through independent estimates ``y`` of known ``variance``; None where x does not vary.

    Weights need not be the inverse variances: they may be of the numbers of users alone, which keeps the slope
    free of the tie between a mean and its estimated variance. All of shape (estimates,).
    """
    at = _centered(x, weight)
    within = float((weight * at**2).sum())
    if not within > 0:
        return None
    slope = float((weight * at * y).sum()) / within
    error = sqrt(float(((weight * at) ** 2 * variance).sum())) / within
    if not error > 0:
        return None
    return Slope(
        slope=slope,
        intercept=float(np.average(y, weights=weight)) - slope * float(np.average(x, weights=weight)),
        std_error=error,
        p_value=2 * float(special.ndtr(-abs(slope / error))),
    )


def robust_slope(x: Floats, y: Floats, *, weight: Floats) -> Slope | None:
    """The line through rows of unknown variance: HC3 (MacKinnon and White 1985), Student's t of rows - 2."""
    at = _centered(x, weight)
    within = float((weight * at**2).sum())
    if len(x) < 3 or not within > 0:
        return None
    slope = float((weight * at * y).sum()) / within
    center = float(np.average(y, weights=weight))
    leverage = weight / weight.sum() + weight * at**2 / within
    left = (y - center - slope * at) / np.maximum(1 - leverage, 1e-12)
    error = sqrt(float(((weight * at * left) ** 2).sum())) / within
    if not error > 0:
        return None
    return Slope(
        slope=slope,
        intercept=center - slope * float(np.average(x, weights=weight)),
        std_error=error,
        p_value=2 * float(special.stdtr(len(x) - 2, -abs(slope / error))),
    )


def _centered(x: Floats, weight: Floats) -> Floats:
    return x - np.average(x, weights=weight)
