"""Prediction sets that are {0} or an interval, as short as a promise over all users allows.

Intervals made bin by bin hold the level in every bin, which costs length where zeros are many but not quite enough.
Promised over all users only, the errors can be spent where they save most: on users who probably bring nothing and
get {0} (after Li et al., arXiv:2605.04219, with bins of the prediction in place of a classifier).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.intervals import BinnedQuantiles, apply, fit_bins

__all__ = ["fit_zero_sets"]

Floats = NDArray[np.float64]

_SHARES: Floats = np.arange(1, 1000) / 1000


def fit_zero_sets(
    predicted: Floats, actual: Floats, *, level: float, rng: np.random.Generator, max_bins: int = 20
) -> BinnedQuantiles:
    """Bounds per bin that hold the level over all users; the lowest bins may have [0, 0] whatever that leaves out.

    Half of the users, drawn at random, say which bins get {0} so that the sets are shortest on average; the other
    half says how wide the others must be (split-conformal, so the promise holds whatever the first half said).
    Apply with ``intervals.apply``. Quantiles and randomized bounds are those of ``fit_bins`` on the first half.

    Parameters
    ----------
    predicted, actual
        Shape (users,), in the unit of the outcome.

    Raises
    ------
    DataError, UsageError
        Those of ``intervals.fit_bins``.
    """
    half = rng.permutation(predicted.size)
    learn, judge = half[: half.size // 2], half[half.size // 2 :]
    bins = fit_bins(predicted[learn], actual[learn], level=level, max_bins=max_bins)
    family = _family(bins, predicted[learn], actual[learn], level=level)
    n_zero = _cut(bins, family, predicted[learn], actual[learn], level=level)
    share = _needed(_scores(bins, family, predicted[judge], actual[judge], n_zero=n_zero), level=level)
    if not isfinite(share):  # too bold a cut: the other half has payers among those given {0}
        n_zero = 0
        share = _needed(_scores(bins, family, predicted[judge], actual[judge], n_zero=0), level=level)
    at = min(int(np.searchsorted(_SHARES, share, side="left")), _SHARES.size - 1)
    low, high = family[0][:, at].copy(), family[1][:, at].copy()
    low[:n_zero] = high[:n_zero] = 0.0
    return replace(bins, low=low, high=high)


def _needed(scores: Floats, *, level: float) -> float:
    """The share at which sets hold the level of exchangeable new users."""
    ordered: Floats = np.sort(scores)
    rank = ceil((scores.size + 1) * level - 1e-9)
    return float(ordered[min(rank, scores.size) - 1])


def _family(
    bins: BinnedQuantiles, predicted: Floats, actual: Floats, *, level: float
) -> tuple[Floats, Floats]:
    """Nested bounds on the ratio per bin and share, shape (bins, shares) each: one-sided where zeros reach the tail."""
    at, ratio = _ratios(bins, predicted, actual)
    low, high = np.zeros((bins.edges.size, _SHARES.size)), np.zeros((bins.edges.size, _SHARES.size))
    for i in range(bins.edges.size):
        ordered: Floats = np.sort(ratio[at == i])
        one_sided = (
            bool(ordered[0] >= 0) and float(np.count_nonzero(ordered == 0)) >= ordered.size * (1 - level) / 2
        )
        tails = (np.zeros_like(_SHARES), _SHARES) if one_sided else ((1 - _SHARES) / 2, (1 + _SHARES) / 2)
        low[i] = 0.0 if one_sided else np.quantile(ordered, tails[0], method="inverted_cdf")
        high[i] = np.quantile(ordered, tails[1], method="inverted_cdf")
    return low, high


def _cut(
    bins: BinnedQuantiles,
    family: tuple[Floats, Floats],
    predicted: Floats,
    actual: Floats,
    *,
    level: float,
) -> int:
    """How many of the lowest bins get {0} so that the sets of all users are shortest."""
    at, _ = _ratios(bins, predicted, actual)
    n = np.bincount(at, minlength=bins.edges.size).astype(np.float64)
    zeros = np.bincount(at, actual == 0, minlength=bins.edges.size)
    ones = np.ones_like(bins.low)
    scales = apply(replace(bins, low=0 * ones, high=ones), predicted)[1]
    scale = np.bincount(at, scales, minlength=bins.edges.size).astype(np.float64)
    lengths = [np.inf] * n.size
    for cut in range(n.size):
        share = float(level * n.sum() - zeros[:cut].sum()) / float(n[cut:].sum())
        if share <= _SHARES[-1]:
            at_share = bisect_left(_SHARES.tolist(), share)
            widths: Floats = (family[1] - family[0])[cut:, at_share]
            lengths[cut] = float(widths @ scale[cut:])
    return int(np.argmin(lengths))


def _scores(
    bins: BinnedQuantiles,
    family: tuple[Floats, Floats],
    predicted: Floats,
    actual: Floats,
    *,
    n_zero: int,
) -> Floats:
    """The smallest share at which a user's set holds the outcome; infinite where none does."""
    at, ratio = _ratios(bins, predicted, actual)
    scores = np.full(ratio.size, np.inf)
    for i in range(bins.edges.size):
        here = np.flatnonzero(at == i)
        if i < n_zero:
            scores[here[ratio[here] == 0]] = 0.0
            continue
        above = np.searchsorted(family[1][i], ratio[here], side="left")
        below = np.searchsorted(-family[0][i], -ratio[here], side="left")
        needed = np.maximum(above, below)
        known = needed < _SHARES.size
        scores[here[known]] = _SHARES[needed[known]]
    return scores


def _ratios(bins: BinnedQuantiles, predicted: Floats, actual: Floats) -> tuple[NDArray[np.intp], Floats]:
    at = np.searchsorted(bins.edges[:-1], predicted, side="left")
    ones = np.ones_like(bins.low)
    return at, actual / apply(replace(bins, low=0 * ones, high=ones), predicted)[1]
