"""Sample ratio: whether arms got the users they were planned to get (Pearson's chi-square; Fabijan et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["srm", "srm_of_groups"]

Floats = NDArray[np.float64]


def srm(
    counts: Sequence[float] | Floats | NDArray[np.int64], shares: Sequence[float] | Floats
) -> tuple[float, float]:
    """Chi-square and p of users counted in each arm against planned shares, which need not sum to one.

    >>> chi2, p = srm([821588, 815482], [1, 1])
    >>> round(chi2, 4), f"{p:.2g}"
    (22.7744, '1.8e-06')
    """
    chi2, p = srm_of_groups(np.atleast_2d(np.asarray(counts, dtype=np.float64)), shares)
    return float(chi2[0]), float(p[0])


def srm_of_groups(counts: Floats, shares: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    """Chi-square and p of each group of users; ``counts`` has shape (groups, arms), with users in every group."""
    share = np.asarray(shares, dtype=np.float64)
    expected = counts.sum(axis=1, keepdims=True) * share / share.sum()
    chi2: Floats = ((counts - expected) ** 2 / expected).sum(axis=1)
    return chi2, np.asarray(special.chdtrc(share.size - 1, chi2), dtype=np.float64)
