"""Users at hand assigned to arms at random, many times, and the moments of every arm of every run.

An assignment is a row of random bits; sums over arms of all runs are products of bit matrices with blocks of users, so
no user is visited one by one and memory does not grow with users times runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.moments import Moments

__all__ = ["Reassigned", "reassigned"]

Floats = NDArray[np.float64]
_CELLS = 4_000_000  # runs x users held at once: 40 MB
_STEPS = 1 << 16  # shares are met to 1 part in 65,536


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reassigned:
    """Sums of every arm of every run: ``n`` (runs, arms), ``first`` (runs, arms, columns), ``second`` (runs, arms, pairs).

    Sums are of columns less ``center``; ``pairs`` says which two columns each product is of.
    """

    center: Floats
    pairs: tuple[tuple[int, int], ...]
    n: Floats
    first: Floats
    second: Floats

    def moments(self, columns: Sequence[int]) -> Moments:
        """Moments of some columns, whose pairs were asked for: group ``run * arms + arm``."""
        k, groups = len(columns), self.n.size
        n = self.n.reshape(groups)
        away = self.first.reshape(groups, -1)[:, list(columns)] / np.maximum(n, 1.0)[:, None]
        scatter = np.empty((groups, k, k))
        place = {pair: p for p, pair in enumerate(self.pairs)}
        products = self.second.reshape(groups, -1)
        for i, a in enumerate(columns):
            for j, b in enumerate(columns):
                scatter[:, i, j] = products[:, place[min(a, b), max(a, b)]] - n * away[:, i] * away[:, j]
        return Moments(n=n, mean=self.center[list(columns)] + away, scatter=scatter)


def reassigned(
    values: Floats,
    *,
    together: Sequence[Sequence[int]],
    shares: Sequence[float],
    n_runs: int,
    rng: np.random.Generator,
) -> Reassigned:
    """Assign users ``n_runs`` times, each independently of the others.

    Parameters
    ----------
    values
        Shape (users, columns), finite.
    together
        Sets of columns that ``Reassigned.moments`` will be asked for.
    shares
        Of the arms, adding to 1.
    """
    pairs = tuple(sorted({(min(a, b), max(a, b)) for own in together for a in own for b in own}))
    center = values.mean(axis=0)
    k = values.shape[1]
    limits = np.round(np.cumsum(shares)[:-1] * _STEPS).astype(np.uint16)
    up_to = np.zeros((len(shares), n_runs, 1 + k + len(pairs)))  # of all arms up to each
    step = max(1, _CELLS // n_runs)
    for start in range(0, len(values), step):
        away = values[start : start + step] - center
        parts = np.column_stack([np.ones(len(away)), away, *(away[:, a] * away[:, b] for a, b in pairs)])
        draws = rng.integers(0, _STEPS, size=(n_runs, len(away)), dtype=np.uint16)
        for arm, limit in enumerate(limits):
            up_to[arm] += (draws < limit).astype(np.float64) @ parts
        up_to[-1] += parts.sum(axis=0)
    sums = np.diff(up_to, axis=0, prepend=0.0).transpose(1, 0, 2)
    return Reassigned(
        center=center, pairs=pairs, n=sums[:, :, 0], first=sums[:, :, 1 : 1 + k], second=sums[:, :, 1 + k :]
    )
