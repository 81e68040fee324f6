"""Forecasts over several horizons made to agree: what a user brings in 90 days is never less than in 30."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.forecast import Forecast

__all__ = ["agreed", "never_falling"]

Floats = NDArray[np.float64]

_ROWS = 65_536


def agreed(forecasts: Sequence[Forecast]) -> tuple[Forecast, ...]:
    """Forecasts of the same users, horizons in ascending order: means and bounds that never fall. Variances stay.

    A horizon of which something changed gives up its ``bins``: quantiles from them would contradict the new bounds.
    """
    parts = ("mean", "low", "high")
    pooled = {p: never_falling(np.column_stack([getattr(f, p) for f in forecasts])) for p in parts}
    made: list[Forecast] = []
    for k, f in enumerate(forecasts):
        after = {p: values[:, k] for p, values in pooled.items()}
        same = all(np.array_equal(after[p], getattr(f, p)) for p in parts)
        made.append(replace(f, **after, bins=f.bins if same else None))
    return tuple(made)


def never_falling(forecasts: Floats) -> Floats:
    """The nearest forecasts, by squares, that never fall from one horizon to the next (isotonic regression).

    Where a longer horizon says less than a shorter one, both take their mean, and so on until none falls.
    Forecasts that agree already stay as they are, bit by bit; the mean over horizons of a user is kept; and
    what lies above another everywhere lies above it afterwards, so bounds stay in order around their mean.

    Parameters
    ----------
    forecasts
        Shape (n_users, n_horizons), finite, horizons in ascending order.

    Returns
    -------
    Shape (n_users, n_horizons).
    """
    agreed = np.array(forecasts, dtype=np.float64)
    falls = np.flatnonzero((np.diff(agreed, axis=1) < 0).any(axis=1))
    for at in range(0, falls.size, _ROWS):
        rows = falls[at : at + _ROWS]
        agreed[rows] = _pooled(agreed[rows])
    return agreed


def _pooled(given: Floats) -> Floats:
    """The max-min formula of isotonic regression: the greatest, over starts, of the least mean from there."""
    n_horizons = given.shape[1]
    upto = np.concatenate([np.zeros((len(given), 1)), np.cumsum(given, axis=1)], axis=1)
    best = np.full_like(given, -np.inf)
    for start in range(n_horizons):
        spans = np.arange(1, n_horizons - start + 1, dtype=np.float64)
        means = (upto[:, start + 1 :] - upto[:, start : start + 1]) / spans
        least: Floats = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        best[:, start:] = np.maximum(best[:, start:], least)
    return np.maximum.accumulate(best, axis=1)
