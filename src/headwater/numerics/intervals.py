"""Intervals for one user's outcome (binned split-conformal) and for the total of all users.

Split-conformal prediction: Vovk, Gammerman and Shafer (2005); per group ("Mondrian"): Vovk (2012). Where
outcomes tie (most users bring nothing) no fixed interval covers exactly; a randomized one does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.errors import DataError, UsageError

__all__ = [
    "BinnedQuantiles",
    "apply",
    "fit_bins",
    "interval_of_total",
    "quantiles",
    "randomized",
    "randomized_chances",
]

Floats = NDArray[np.float64]

_KNOTS: Floats = np.concatenate([[0.005], np.arange(1, 100) / 100, [0.995]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedQuantiles:
    """Conformal bounds per bin of the prediction; arrays have shape (bins,).

    Bin ``i`` holds predictions above ``edges[i - 1]`` up to and including ``edges[i]``; the last bin is
    open above and the first open below. ``low`` and ``high`` are bounds on ``actual / scale``, where
    ``scale = max(predicted, floors[i])``, or 1 where ``absolute[i]`` (users predicted at zero).

    ``knots`` has shape (bins, 101): quantiles of that ratio at 0.5%, 1%, 2% ... 99%, 99.5%. ``low_steps`` and
    ``high_steps``, shape (bins, 5), are the randomized bounds: two neighboring ratios, then the chance that
    the bound lies beyond the first, beyond what is between them, and beyond the second.
    """

    level: float
    edges: Floats
    floors: Floats
    absolute: NDArray[np.bool_]
    low: Floats
    high: Floats
    n_users: NDArray[np.int64]
    knots: Floats
    low_steps: Floats
    high_steps: Floats


def fit_bins(
    predicted: Floats, actual: Floats, *, level: float, max_bins: int = 20, min_users: int = 50
) -> BinnedQuantiles:
    """Learn from past users (best: users the model was not fitted on) how far outcomes lie from predictions, bin by bin.

    Users predicted at zero or less form a bin of their own with bounds in units of the outcome; all other
    bins bound the ratio actual / predicted, so a whale beyond all predictions seen gets an interval in
    proportion to its own prediction and never a flat cap. Equal predictions are never split. In the
    lowest positive bin predictions below its median count as the median, so that tiny predictions do not
    inflate the ratio.

    Where zeros reach the lower tail the lower bound is 0, nothing can fall below it, and the whole error
    rate is spent above: the interval is one-sided and not too wide.

    Parameters
    ----------
    predicted, actual
        Shape (users,), finite; unit of the outcome.
    level
        Share of future users to hold in every bin (0.9).
    max_bins, min_users
        At most so many bins, each with at least ``min_users`` users, and never fewer than the level needs
        (``2 / (1 - level) - 1``).

    Raises
    ------
    DataError
        ``intervals.too_few_users``, ``intervals.not_finite``.
    UsageError
        ``interval.level``, ``intervals.shapes``.
    """
    _require_level(level)
    _require_pairs(predicted, actual)
    needed = max(min_users, ceil(2 / (1 - level) - 1 - 1e-9))
    _require_users(predicted.size, needed=needed, level=level)
    edges = _edges(predicted, max_bins=max_bins, needed=needed)
    bins = np.searchsorted(edges[:-1], predicted, side="left")
    floors, absolute = _scales(predicted, bins=bins, n_bins=edges.size)
    ratio = actual / _scale(predicted, bins=bins, floors=floors, absolute=absolute)
    ordered = [np.sort(ratio[bins == i]) for i in range(edges.size)]
    bounds = [_bounds(r, level=level) for r in ordered]
    steps = [_steps(r, level=level) for r in ordered]
    return BinnedQuantiles(
        level=level,
        edges=edges,
        floors=floors,
        absolute=absolute,
        low=np.array([low for low, _ in bounds]),
        high=np.array([high for _, high in bounds]),
        n_users=np.bincount(bins, minlength=edges.size).astype(np.int64),
        knots=np.stack([np.quantile(r, _KNOTS, method="weibull") for r in ordered]),
        low_steps=np.array([low for low, _ in steps]),
        high_steps=np.array([high for _, high in steps]),
    )


def apply(bins: BinnedQuantiles, predicted: Floats) -> tuple[Floats, Floats]:
    """Interval of every user's outcome: ``(low, high)``, each of the shape of ``predicted``.

    It covers at least the level; where outcomes tie at a bound (zeros), more.
    """
    at, scale = _placed(bins, predicted)
    return bins.low[at] * scale, bins.high[at] * scale


def quantiles(bins: BinnedQuantiles, predicted: Floats, levels: Floats) -> Floats:
    """Quantiles of every user's outcome, shape (levels, users), from the same past users as the interval.

    They never cross. Below 0.5% and above 99.5% they stay at what was seen there.
    """
    at, scale = _placed(bins, predicted)
    table = np.empty((levels.size, len(bins.knots)))
    for i, knots in enumerate(bins.knots):
        table[:, i] = np.interp(levels, _KNOTS, knots)
    return table[:, at] * scale


def randomized(
    bins: BinnedQuantiles, predicted: Floats, *, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Intervals with bounds drawn so that they cover exactly the level, however many outcomes tie.

    ``low`` above ``high`` is the empty set: where more users than the level bring nothing, even [0, 0] covers
    too much and has to be left out now and then. One draw per user; for reading coverage, not for people.
    """
    at, scale = _placed(bins, predicted)
    draw = rng.random(predicted.shape)
    low, below_too = _cut(bins.low_steps[at], draw)
    high, held_too = _cut(bins.high_steps[at], draw)
    low, high = low * scale, high * scale
    return np.where(below_too, np.nextafter(low, np.inf), low), np.where(
        held_too, high, np.nextafter(high, -np.inf)
    )


def randomized_chances(bins: BinnedQuantiles, predicted: Floats, actual: Floats) -> Floats:
    """The chance that each user's randomized interval holds the outcome; its mean is the exact coverage.

    Shape of ``predicted``. This is the average of ``randomized`` over its draws.
    """
    at, scale = _placed(bins, predicted)
    ratio = actual / scale
    return _reached(bins.high_steps[at], ratio) - _reached(bins.low_steps[at], ratio)


def interval_of_total(
    mean_sum: float, variance_sum: float, shared_error_share: float, df: float, level: float
) -> tuple[float, float]:
    """Interval of the total outcome of a group of users.

    Single users' errors average out; an error that all share (the season, the market) does not. With
    ``s`` the relative error of past totals, the standard error of the total is
    ``sqrt(variance_sum + (s * mean_sum)**2)``.

    Parameters
    ----------
    mean_sum
        Sum of the users' predicted means.
    variance_sum
        Sum of the users' predictive variances (squared unit of the outcome).
    shared_error_share
        Relative standard error that all users share, 0.1 for ten percent; estimated from past origins.
    df
        Degrees of freedom of that estimate, at least 1: the number of windows that do not overlap (three
        origins four weeks apart share most of a 90-day window and are little more than one). A Student t
        quantile with so few is wide, and rightly so.
    level
        Share of totals to hold, such as 0.9.

    Raises
    ------
    UsageError
        ``interval.level``, ``intervals.total``.
    """
    _require_level(level)
    figures = (mean_sum, variance_sum, shared_error_share)
    if not np.isfinite(figures).all() or variance_sum < 0 or shared_error_share < 0 or df < 1:
        raise UsageError(
            "intervals.total",
            what=(
                f"The total {mean_sum} comes with variance {variance_sum}, shared error "
                f"{shared_error_share} and {df} degrees of freedom."
            ),
            why="Figures must be finite, errors not negative, and one degree of freedom is the least.",
            do="Backtest on at least two origins to estimate the shared error.",
        )
    error = sqrt(variance_sum + (shared_error_share * mean_sum) ** 2)
    reach = float(special.stdtrit(df, (1 + level) / 2)) * error
    return mean_sum - reach, mean_sum + reach


def _edges(predicted: Floats, *, max_bins: int, needed: int) -> Floats:
    """Upper edges of bins with at least ``needed`` users each; the last is the largest prediction."""
    positive = predicted[predicted > 0]
    has_zero_bin = max_bins > 1 and predicted.size - positive.size >= needed
    if positive.size < needed:
        return np.array([predicted.max()])
    rest = positive if has_zero_bin else predicted
    n_bins = max(1, min(max_bins - has_zero_bin, rest.size // needed))
    shares = np.arange(1, n_bins + 1) / n_bins
    wanted: Floats = np.unique(np.quantile(rest, shares, method="inverted_cdf"))
    edges = _merged(wanted, np.sort(rest), needed=needed)
    return np.concatenate([[0.0], edges]) if has_zero_bin else edges


def _merged(wanted: Floats, ordered: Floats, *, needed: int) -> Floats:
    up_to = np.searchsorted(ordered, wanted, side="right")
    kept: list[float] = []
    before = 0
    for edge, count in zip(wanted, up_to, strict=True):
        if count - before >= needed and (ordered.size - count >= needed or count == ordered.size):
            kept.append(float(edge))
            before = int(count)
    if not kept or kept[-1] != wanted[-1]:
        kept.append(float(wanted[-1]))
    return np.array(kept)


def _scales(predicted: Floats, *, bins: NDArray[np.intp], n_bins: int) -> tuple[Floats, NDArray[np.bool_]]:
    medians = np.array([float(np.median(predicted[bins == i])) for i in range(n_bins)])
    absolute = medians <= 0
    floors = np.zeros(n_bins)
    lowest = int(np.argmin(absolute))
    floors[lowest] = max(float(medians[lowest]), 0.0)
    return floors, absolute


def _scale(
    predicted: Floats, *, bins: NDArray[np.intp], floors: Floats, absolute: NDArray[np.bool_]
) -> Floats:
    return np.where(absolute[bins], 1.0, np.maximum(predicted, floors[bins]))


def _placed(bins: BinnedQuantiles, predicted: Floats) -> tuple[NDArray[np.intp], Floats]:
    """The bin of each user, and the scale of its ratio."""
    at = np.searchsorted(bins.edges[:-1], predicted, side="left")
    return at, _scale(predicted, bins=at, floors=bins.floors, absolute=bins.absolute)


def _bounds(ordered: Floats, *, level: float) -> tuple[float, float]:
    """Order statistics that hold at least ``level`` of exchangeable new users."""
    n = ordered.size
    tail = floor((n + 1) * (1 - level) / 2 + 1e-9)
    low = float(ordered[tail - 1])
    n_below = int(np.searchsorted(ordered, low, side="left"))
    spent = 0 if _one_sided(ordered, low) else n_below + 1
    rank = min(n, ceil((n + 1) * level + spent - 1e-9))
    return low, float(ordered[rank - 1])


def _one_sided(ordered: Floats, low: float) -> bool:
    """Whether zeros reach the lower tail, so that nothing can fall below."""
    return low == 0 and ordered[0] == 0


def _steps(ordered: Floats, *, level: float) -> tuple[Floats, Floats]:
    """Randomized bounds: a new user's smoothed rank, uniform among n + 1 whatever ties, cut at two ranks."""
    whole = ordered.size + 1
    tail = whole * (1 - level) / 2
    low = float(ordered[floor(tail + 1e-9) - 1])
    if _one_sided(ordered, low):
        return np.array([low, low, 0.0, 0.0, 0.0]), _step(ordered, whole * level)
    return _step(ordered, tail), _step(ordered, whole - tail)


def _step(ordered: Floats, cut: float) -> Floats:
    """The two ratios around a rank, and the chance that the smoothed rank of each, and of what is between, is within it.

    With ``l`` ratios below a value, ``m`` equal to it and U uniform, its smoothed rank is ``l + U (m + 1)``.
    """
    at = min(max(floor(cut + 1e-9), 1), ordered.size)
    values = ordered[at - 1], ordered[min(at, ordered.size - 1)]
    below = np.searchsorted(ordered, values, side="left")
    equal = np.searchsorted(ordered, values, side="right") - below
    first, second = np.clip((cut - below) / (equal + 1), 0.0, 1.0)
    between = first if values[0] == values[1] else min(max(cut - at, 0.0), 1.0)
    return np.array([*values, first, between, second])


def _cut(steps: Floats, draw: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Where a draw puts the bound, and whether the value there is still on the lower side."""
    first, second, at_first, between, at_second = _columns(steps)
    value: Floats = np.where(draw <= between, second, first)
    return value, (draw <= at_second) | ((draw > between) & (draw <= at_first))


def _columns(steps: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    return steps[:, 0], steps[:, 1], steps[:, 2], steps[:, 3], steps[:, 4]


def _reached(steps: Floats, ratio: Floats) -> Floats:
    """The chance that a ratio is on the lower side of the bound."""
    first, second, at_first, between, at_second = _columns(steps)
    inside = np.where(ratio < second, between, np.where(ratio == second, at_second, 0.0))
    return np.where(ratio < first, 1.0, np.where(ratio == first, at_first, inside))


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise UsageError(
            "interval.level",
            what=f"The level {level} is not between 0 and 1.",
            why="It is the share of cases the interval is to hold.",
            do="Write 0.9 for ninety percent.",
        )


def _require_pairs(predicted: Floats, actual: Floats) -> None:
    if predicted.ndim != 1 or predicted.shape != actual.shape:
        raise UsageError(
            "intervals.shapes",
            what=f"Predictions have shape {predicted.shape} and outcomes {actual.shape}.",
            why="Each user needs one of each.",
            do="Pass two arrays over the same users in the same order.",
        )
    n_bad = int(np.sum(~np.isfinite(predicted) | ~np.isfinite(actual)))
    if n_bad:
        raise DataError(
            "intervals.not_finite",
            what=f"{n_bad} of {predicted.size} users have no finite prediction or outcome.",
            why="Bounds learned from the rest would promise a coverage nobody measured.",
            do="Leave out users whose window is not finished, and repair the model for the others.",
        )


def _require_users(n_users: int, *, needed: int, level: float) -> None:
    if n_users < needed:
        raise DataError(
            "intervals.too_few_users",
            what=f"{n_users} users were left for calibration; a level of {level:g} needs {needed}.",
            why="With fewer the bounds would be the smallest and largest outcome seen, or beyond.",
            do="Hold out more users, or ask for a lower level.",
        )
