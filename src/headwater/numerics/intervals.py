"""Intervals for one user's outcome (binned split-conformal) and for the total of a group.

Split-conformal prediction: Vovk, Gammerman and Shafer (2005); per group ("Mondrian"): Vovk (2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.errors import DataError, UsageError

__all__ = ["BinnedQuantiles", "apply", "fit_bins", "interval_of_total"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedQuantiles:
    """Conformal bounds per bin of the prediction; arrays have shape (bins,).

    Bin ``i`` holds predictions above ``edges[i - 1]`` up to and including ``edges[i]``; the last bin is
    open above and the first open below. ``low`` and ``high`` are bounds on ``actual / scale``, where
    ``scale = max(predicted, floors[i])``, or 1 where ``absolute[i]`` (users predicted at zero).
    """

    level: float
    edges: Floats
    floors: Floats
    absolute: NDArray[np.bool_]
    low: Floats
    high: Floats
    n_users: NDArray[np.int64]


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
    bounds = [_bounds(ratio[bins == i], level=level) for i in range(edges.size)]
    return BinnedQuantiles(
        level=level,
        edges=edges,
        floors=floors,
        absolute=absolute,
        low=np.array([low for low, _ in bounds]),
        high=np.array([high for _, high in bounds]),
        n_users=np.bincount(bins, minlength=edges.size).astype(np.int64),
    )


def apply(bins: BinnedQuantiles, predicted: Floats) -> tuple[Floats, Floats]:
    """Interval of every user's outcome: ``(low, high)``, each of the shape of ``predicted``."""
    at = np.searchsorted(bins.edges[:-1], predicted, side="left")
    scale = _scale(predicted, bins=at, floors=bins.floors, absolute=bins.absolute)
    return bins.low[at] * scale, bins.high[at] * scale


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


def _bounds(ratio: Floats, *, level: float) -> tuple[float, float]:
    """Order statistics that hold at least ``level`` of exchangeable new users."""
    ordered = np.sort(ratio)
    n = ordered.size
    tail = floor((n + 1) * (1 - level) / 2 + 1e-9)
    low = float(ordered[tail - 1])
    n_below = int(np.searchsorted(ordered, low, side="left"))
    spent = 0 if low == 0 and n_below == 0 else n_below + 1
    rank = min(n, ceil((n + 1) * level + spent - 1e-9))
    return low, float(ordered[rank - 1])


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
