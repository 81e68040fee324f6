"""Parts that add up to a change, carried through a function so that they still add up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["logarithmic_mean", "regression_total", "rescaled"]

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


def regression_total(parts: Floats, *, n_all: int, total: float) -> Floats:
    """The total of each part over ``n_all`` rows, from an even sample of them, shape (n_rows, n_parts), and the ``total`` of all parts.

    The regression estimator with the sum of a row's parts as the auxiliary (Cochran 1977, chapter 7): the slopes of
    parts on their sum add up to one, so the estimates add up to ``total`` exactly. All rows give the sums themselves.
    """
    n = parts.shape[0]
    if n in {0, n_all}:
        return parts.sum(axis=0)
    mean, known = parts.mean(axis=0), parts.sum(axis=1)
    off = known - known.mean()
    squares = float(off @ off)
    slope = off @ (parts - mean) / squares if squares > 0 else np.full(parts.shape[1], 1 / parts.shape[1])
    return n_all * mean + slope * (total - n_all * float(known.mean()))
