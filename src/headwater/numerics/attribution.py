"""Parts that add up to a change, carried through a function so that they still add up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["logarithmic_mean", "rescaled"]

Floats = NDArray[np.float64]
_NUDGE = 1e-6


def rescaled(parts: Floats, *, start: Floats, through: Callable[[Floats], Floats]) -> Floats:
    """Parts of a change from ``start``, multiplied so that they sum to the change of ``through``.

    The rescale rule of Shrikumar et al. (2017): each row's parts, shape (n_rows, n_parts), are multiplied by the
    slope of the secant. A row whose parts sum to nothing takes the slope at ``start``.
    """
    change = parts.sum(axis=1)
    step = np.where(np.abs(change) < _NUDGE, _NUDGE, change)
    slope = (through(start + step) - through(start)) / step
    return parts * slope[:, None]


def logarithmic_mean(a: Floats, b: Floats) -> Floats:
    """(a - b) / (log a - log b), and a where they are equal: what turns a difference of logs into one of amounts.

    For amounts above zero. Ang (2005), Energy Policy 33, 867-871.
    """
    ratio = (a - b) / b
    near = np.abs(ratio) < 1e-5
    safe = np.where(near, 1.0, ratio)
    return np.where(near, b * (1 + ratio / 2), b * safe / np.log1p(safe))
