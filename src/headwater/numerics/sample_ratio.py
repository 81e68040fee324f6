"""Sample ratio: whether arms got the users they were planned to get (Pearson's chi-square; Fabijan et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["homogeneity", "sequential_srm", "srm", "srm_of_groups"]

Floats = NDArray[np.float64]
_CONCENTRATION = 10_000.0  # of the mixture, as in Lindon and Malek's examples


def homogeneity(table: NDArray[np.int64]) -> tuple[float, float]:
    """Chi-square and p that arms have the same shares in all parts; ``table`` has shape (parts, arms), users in every part."""
    seen = table[:, table.sum(axis=0) > 0].astype(np.float64)
    free = (len(seen) - 1) * (seen.shape[1] - 1)
    if free < 1:
        return 0.0, 1.0
    expected = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0) / seen.sum()
    chi2 = float(((seen - expected) ** 2 / expected).sum())
    return chi2, float(special.chdtrc(free, chi2))


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


def sequential_srm(
    counts: Floats | NDArray[np.int64],
    shares: Sequence[float] | Floats,
    *,
    concentration: float = _CONCENTRATION,
) -> Floats:
    """p-values that hold at every look at once, shape (looks,), falling: of users counted in each arm up to each look.

    The multinomial likelihood, mixed over a Dirichlet around the planned shares, over that of the shares themselves
    is an e-process; the p-value is the inverse of its largest value so far (Lindon and Malek 2022, NeurIPS).

    Parameters
    ----------
    counts
        Running totals, shape (looks, arms).
    concentration
        Of the Dirichlet: the larger, the smaller the deviations it listens for.
    """
    share = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    prior = concentration * share
    n = np.asarray(counts, dtype=np.float64)
    log_odds = (
        special.gammaln(concentration)
        - special.gammaln(concentration + n.sum(axis=1))
        + (special.gammaln(prior + n) - special.gammaln(prior) - n * np.log(share)).sum(axis=1)
    )
    return np.minimum(1.0, np.exp(-np.maximum.accumulate(np.maximum(log_odds, 0.0))))
