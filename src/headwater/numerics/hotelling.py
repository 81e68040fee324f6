"""Hotelling's T-squared: whether two groups of users have the same means in all columns at once (Hotelling 1931)."""

from __future__ import annotations

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.moments import Moments

__all__ = ["t_squared"]

DEPENDENT = 1e-10  # of the correlations' eigenvalues: columns that others determine add no dimension


def t_squared(moments: Moments) -> tuple[float, int, float] | None:
    """T-squared, how many columns stand for themselves, and p by F; None where no column varies or users are few.

    ``moments`` has two groups. The covariance is pooled, as is exact for normal columns under no difference;
    columns that others determine are left out by the spectrum of the pooled correlations.
    """
    n_a, n_b = moments.n
    within = moments.scatter.sum(axis=0)
    spread = np.sqrt(np.diag(within))
    varies = spread > 0
    if not varies.any():
        return None
    scale = spread[varies]
    values, vectors = np.linalg.eigh(within[np.ix_(varies, varies)] / np.outer(scale, scale))
    keep = values > DEPENDENT * values.max()
    rank, free = int(keep.sum()), n_a + n_b - 2
    if free < rank:
        return None
    away = ((moments.mean[1] - moments.mean[0])[varies] / scale) @ vectors[:, keep]
    t2 = float(n_a * n_b / (n_a + n_b) * free * (away**2 / values[keep]).sum())
    f = t2 * (free - rank + 1) / (free * rank)
    return t2, rank, float(special.fdtrc(rank, free - rank + 1, f))
