"""A robust seasonal baseline: what a day should have been, read off the days before it that nobody flagged.

Each day is compared with a forecast from up to eight earlier weeks: a level, a slope and a weekday pattern,
fitted with Tukey's bisquare weights (Beaton and Tukey, 1974, Technometrics 16:147). The day itself, flagged
days and holidays are never in the baseline. The spread is the larger of two: the residuals of the fit, and the
forecast's own misses on earlier days, so that a series that drifts is judged by how well it could be foreseen.
The tail is Student's t; where the values are counts, the negative binomial tail must agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["Baseline", "mad_scale", "seasonal_baseline", "zero_probability"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_WEEKS = 8
_LEAST_DAYS = 28
_LEAST_MISSES = 14
_REWEIGHTINGS = 3
_BISQUARE = 4.685
_WINSOR = 3.0
_WINSORIZED_NORMAL = 0.9865  # root mean square of a standard normal cut at plus and minus 3
_MAD_NORMAL = 1.482602218505602


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """Forecasts of each day from the days before it; arrays have shape (series, days).

    ``expected``, ``low`` and ``high`` are on the link scale (NaN where a day was not judged), the bounds at
    the level asked. ``p`` is two-sided. ``spread`` is the standard deviation of the forecast error.
    """

    expected: Floats
    low: Floats
    high: Floats
    spread: Floats
    p: Floats
    flagged: Flags


def mad_scale(values: Floats) -> float:
    """The standard deviation of normal data, from the median absolute deviation.

    >>> round(mad_scale(np.array([1.0, 2.0, 3.0, 4.0, 100.0])), 4)
    1.4826
    """
    return float(_MAD_NORMAL * np.median(np.abs(values - np.median(values))))


def zero_probability(expected: Floats, dispersion: Floats | float) -> Floats:
    """Chance of no event where ``expected`` are, with variance ``m + dispersion * m**2`` (negative binomial).

    >>> float(zero_probability(np.array([2.0]), 0.5)[0])
    0.25
    """
    spread = np.maximum(dispersion, 1e-9)
    return np.exp(-np.log1p(spread * expected) / spread)


def seasonal_baseline(
    link: Floats,
    noise: Floats,
    *,
    weekday: NDArray[np.int64],
    usable: Flags,
    judged: Flags,
    level: float,
    least: float = 0.0,
    counts: Floats | None = None,
    totals: Floats | None = None,
) -> Baseline:
    """Judge each day of each series against the days before it.

    Parameters
    ----------
    link
        Values on a scale where changes add (log of a count, logit of a share), shape (series, days).
    noise
        The sampling variance of each value on that scale, same shape; 0 where it is not known.
    weekday
        0 to 6, shape (days,).
    usable
        Days that may stand in a baseline, shape (series, days); holidays do not.
    judged
        Days to judge, same shape.
    level
        A day is flagged where its two-sided p is below this.
    least
        The smallest change on the link scale worth a flag.
    counts
        The counts behind ``link`` where they are counts (``log(count + 0.5)``) or parts of ``totals``
        (``logit`` of the share): the noise of the day judged is then what its forecast implies, and the
        negative binomial tail must agree.
    totals
        What ``counts`` are parts of, same shape.
    """
    n_series, n_days = link.shape
    empty = np.full((n_series, n_days), np.nan)
    expected, spread, p = empty.copy(), empty.copy(), empty.copy()
    low, high = empty.copy(), empty.copy()
    flagged = np.zeros((n_series, n_days), dtype=bool)
    misses = empty.copy()
    for day in range(_LEAST_DAYS, n_days):
        past = slice(max(0, day - 7 * _WEEKS), day)
        used = usable[:, past] & ~flagged[:, past] & np.isfinite(link[:, past])
        enough = (used.sum(axis=1) >= _LEAST_DAYS) & np.isfinite(link[:, day])
        if not enough.any():
            continue
        fit = _foresee(link[enough, past], noise[enough, past], used[enough], weekday[past], weekday[day])
        mean, process, freedom = fit
        error = misses[enough, past]
        process = np.maximum(process, _process_of_misses(error, noise[enough, past]))
        now, sampling = link[enough, day], noise[enough, day]
        whole = None if totals is None else totals[enough, day]
        if counts is not None:
            sampling = _sampling(mean, whole)
        wide = np.sqrt(process + sampling)
        tail = 2 * special.stdtr(freedom, -np.abs(now - mean) / wide)
        if counts is not None:
            tail = np.maximum(tail, _count_tail(counts[enough, day], mean, process, whole))
        reach = -special.stdtrit(freedom, level / 2) * wide
        expected[enough, day], spread[enough, day], p[enough, day] = mean, wide, tail
        low[enough, day], high[enough, day] = mean - reach, mean + reach
        flagged[enough, day] = judged[enough, day] & (tail < level) & (np.abs(now - mean) >= least)
        misses[enough, day] = np.where(flagged[enough, day] | ~usable[enough, day], np.nan, now - mean)
    return Baseline(expected=expected, low=low, high=high, spread=spread, p=p, flagged=flagged)


def _foresee(
    past: Floats, noise: Floats, used: Flags, weekday: NDArray[np.int64], today: int
) -> tuple[Floats, Floats, Floats]:
    """The forecast of the next day, its variance beyond that day's sampling noise, and the degrees of freedom."""
    n = past.shape[1]
    design = np.zeros((n, 8))
    design[np.arange(n), weekday] = 1.0
    design[:, 7] = np.linspace(-1.0, 0.0, n, endpoint=False)
    ahead = np.zeros(8)
    ahead[today] = 1.0
    values = np.where(used, past, 0.0)
    products = (design[:, :, None] * design[:, None, :]).reshape(n, 64)
    robust = used.astype(float)
    normal, beta, residual, scale = _fitted(robust, values, used, design, products)
    for _ in range(_REWEIGHTINGS):
        robust = np.where(used, _bisquare(residual / scale[:, None]), 0.0)
        normal, beta, residual, scale = _fitted(robust, values, used, design, products)
    freedom = np.maximum(used.sum(axis=1) - 8.0, 4.0)
    cut = np.clip(residual, -_WINSOR * scale[:, None], _WINSOR * scale[:, None])
    total = np.nansum(cut**2, axis=1) / freedom / _WINSORIZED_NORMAL**2
    sampling = np.nanmean(np.where(used, noise, np.nan), axis=1)
    process = np.maximum(total - sampling, 0.0)
    leverage = np.linalg.inv(normal) @ ahead @ ahead
    return beta @ ahead, process + leverage * np.maximum(total, sampling), freedom


def _fitted(
    weights: Floats, values: Floats, used: Flags, design: Floats, products: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """A weighted fit of every series: normal matrices, coefficients, residuals (NaN where not used), their scale."""
    normal = (weights @ products).reshape(-1, 8, 8) + 1e-6 * np.eye(8)
    beta: Floats = np.linalg.solve(normal, ((weights * values) @ design)[..., None])[..., 0].astype(
        np.float64
    )
    residual = np.where(used, values - beta @ design.T, np.nan)
    return normal, beta, residual, _median_scale(residual)


def _median_scale(residual: Floats) -> Floats:
    """Per series, from the median absolute residual; a hair above zero where all residuals are."""
    ordered = np.sort(np.abs(residual), axis=1)  # NaN come last
    last = np.maximum(np.isfinite(residual).sum(axis=1) - 1, 0)
    each = np.arange(len(ordered))
    median = (ordered[each, last // 2] + ordered[each, (last + 1) // 2]) / 2
    return np.maximum(_MAD_NORMAL * median, 1e-9)


def _bisquare(standardized: Floats) -> Floats:
    inside = np.abs(standardized) < _BISQUARE
    return np.where(inside, (1 - (np.where(inside, standardized, 0.0) / _BISQUARE) ** 2) ** 2, 0.0)


def _process_of_misses(misses: Floats, noise: Floats) -> Floats:
    """The variance of earlier forecast errors beyond sampling noise; zero where there are too few."""
    known = np.isfinite(misses)
    n = known.sum(axis=1)
    enough = n >= _LEAST_MISSES
    found = np.zeros(misses.shape[0])
    if enough.any():
        some = np.where(known, misses, np.nan)[enough]
        scale = _median_scale(some)
        cut = np.clip(some, -_WINSOR * scale[:, None], _WINSOR * scale[:, None])
        total = np.nanmean(cut**2, axis=1) / _WINSORIZED_NORMAL**2
        sampling = np.nanmean(np.where(known, noise, np.nan)[enough], axis=1)
        found[enough] = np.maximum(total - sampling, 0.0)
    return found


def _sampling(mean: Floats, totals: Floats | None) -> Floats:
    """The sampling variance a forecast implies: of a log count, or of a logit out of ``totals``."""
    if totals is None:
        return 1.0 / np.maximum(np.exp(mean), 0.5)
    share = 1.0 / (1.0 + np.exp(-mean))
    return 1.0 / np.maximum(totals * share * (1.0 - share), 0.5)


def _count_tail(count: Floats, mean: Floats, process: Floats, totals: Floats | None) -> Floats:
    """Two-sided negative binomial tail of the smaller part; ``process`` is the variance on the link scale."""
    if totals is None:
        expected, seen, spread = np.exp(mean) - 0.5, count, process
    else:
        share = 1.0 / (1.0 + np.exp(-mean))
        small = share <= 0.5
        expected = totals * np.where(small, share, 1.0 - share)
        seen = np.where(small, count, totals - count)
        spread = process * np.where(small, 1.0 - share, share) ** 2
    expected = np.maximum(expected, 1e-6)
    size = 1.0 / np.maximum(spread, 1e-6)
    chance = size / (size + expected)
    below = special.betainc(size, seen + 1.0, chance)
    above = np.where(seen < 1, 1.0, special.betainc(np.maximum(seen, 1.0), size, 1.0 - chance))
    return np.minimum(1.0, 2.0 * np.minimum(below, above))
