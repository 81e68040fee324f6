"""Calibration of predicted means on held-out rows: a factor, an increasing map, factors by group.

Each is kept only where it makes errors smaller on rows it was not fitted on. The error is
``mean_loss``: it is smallest, in expectation, where the mean is predicted (Gneiting 2011), lets whales count
less than squares do, and takes outcomes of zero and below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression  # pyright: ignore[reportMissingTypeStubs]

__all__ = [
    "Calibration",
    "Gain",
    "GroupFactors",
    "calibrate",
    "group_factors",
    "increasing_map",
    "mean_loss",
    "paired_gain",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]
_BANDS, _FEWEST_IN_BAND = 40, 100
_FEWEST_IN_GROUP = 30
_CLEAR = 2.0
_LEAST_OF_MEAN = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much smaller ``mean_loss`` became, as a share of what it was, with its standard error over clusters."""

    share: float
    std_error: float

    @property
    def clear(self) -> bool:
        """Whether it is more than two standard errors, so more than noise."""
        return self.share > _CLEAR * self.std_error


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFactors:
    """What the predictions of each group are multiplied by, by the group's code; beyond them nothing changes."""

    name: str
    factors: tuple[float, ...]

    def of(self, groups: Codes) -> Floats:
        """The factor of each row, shape (n_rows,)."""
        return np.append(self.factors, 1.0)[np.minimum(groups, len(self.factors))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A prediction goes through the map from ``knots`` to ``levels``, times the factors of its groups, times ``factor``.

    Without knots there is no map; between them it is linear, beyond them the ratio stays.
    """

    factor: float = 1.0
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()
    groups: tuple[GroupFactors, ...] = ()
    gains: tuple[tuple[str, Gain], ...] = ()

    def mapped(self, predicted: Floats) -> Floats:
        """The predictions through the map and the factor that all share; increasing in the prediction."""
        return self.factor * _through(predicted, np.asarray(self.knots), np.asarray(self.levels))

    def apply(self, predicted: Floats, groups: Mapping[str, Codes] | None = None) -> Floats:
        """Calibrated predictions, shape (n_rows,)."""
        whole = self.mapped(predicted)
        for one in self.groups:
            whole = whole * one.of((groups or {})[one.name])
        return whole


def mean_loss(predicted: Floats, actual: Floats) -> Floats:
    """Tweedie deviance of power 1.5 without the part that no prediction changes: 2 (y / sqrt(m) + sqrt(m)).

    A prediction below a thousandth of the mean prediction counts as that.
    """
    least = _LEAST_OF_MEAN * max(float(np.mean(predicted)), np.finfo(float).tiny)
    root = np.sqrt(np.maximum(predicted, least))
    return 2 * (actual / root + root)


def paired_gain(before: Floats, after: Floats, *, clusters: NDArray[np.integer]) -> Gain:
    """Compare two losses row by row; rows of a cluster (a bucket of users) are summed first, so a user's rows count as one."""
    saved = np.bincount(clusters, weights=before - after)
    seen = np.bincount(clusters) > 0
    saved, total = saved[seen], float(np.abs(before).sum())
    if total <= 0 or saved.size < 2:
        return Gain(share=0.0, std_error=0.0)
    return Gain(
        share=float(saved.sum()) / total, std_error=float(saved.std(ddof=1)) * sqrt(saved.size) / total
    )


def calibrate(
    predicted: Floats,
    actual: Floats,
    *,
    clusters: NDArray[np.integer],
    groups: Mapping[str, Codes] | None = None,
) -> Calibration:
    """Learn from held-out predictions what to multiply and how to bend; the total of actual outcomes is met exactly.

    ``clusters`` are buckets of users: the even ones judge what the odd ones taught, and the other way round.
    """
    even = clusters % 2 == 0
    now = _crossed(even, lambda half: predicted * _ratio(predicted[half], actual[half]))
    made = Calibration(factor=_ratio(predicted, actual))
    bent = _crossed(even, lambda half: _bent(predicted, predicted[half], actual[half]))
    gain = paired_gain(mean_loss(now, actual), mean_loss(bent, actual), clusters=clusters)
    gains = [("increasing map", gain)]
    if gain.clear:
        knots, levels = increasing_map(predicted, actual)
        made, now = Calibration(knots=tuple(knots.tolist()), levels=tuple(levels.tolist())), bent
    for name, of_row in (groups or {}).items():
        after = _by_group(name, of_row, now, actual, even=even)
        gain = paired_gain(mean_loss(now, actual), mean_loss(after, actual), clusters=clusters)
        gains.append((f"factors by {name}", gain))
        if gain.clear:
            learned = group_factors(name, of_row, made.apply(predicted, groups), actual)
            made, now = replace(made, groups=(*made.groups, learned)), after
    whole = _ratio(made.apply(predicted, groups), actual)
    return replace(made, factor=made.factor * whole, gains=tuple(gains))


def increasing_map(predicted: Floats, actual: Floats) -> tuple[Floats, Floats]:
    """Centered isotonic regression on bands of about equal numbers of rows: knots and levels, both rising.

    Bands of the ordered predictions (40, or as many as have 100 rows) are pooled where outcomes fall
    (isotonic regression), and each pooled block stands at its mean prediction (Oron and Flournoy 2017), so that what
    was ordered stays ordered.
    """
    order = np.argsort(predicted, kind="stable")
    x, y = predicted[order], actual[order]
    n_bands = int(np.clip(x.size // _FEWEST_IN_BAND, 1, _BANDS))
    starts = np.unique(np.searchsorted(x, x[np.arange(n_bands) * x.size // n_bands], side="left"))
    counts = np.diff(np.append(starts, x.size)).astype(np.float64)
    at, level = np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts
    fitted: Any = isotonic_regression(level, weights=counts)
    pooled = np.asarray(fitted.x, dtype=np.float64)
    first = np.flatnonzero(np.diff(pooled, prepend=-np.inf) > 0)
    weight = np.add.reduceat(counts, first)
    levels = np.add.reduceat(level * counts, first) / weight
    return np.add.reduceat(at * counts, first) / weight, np.maximum(levels, _LEAST_OF_MEAN * abs(y.mean()))


def group_factors(name: str, groups: Codes, predicted: Floats, actual: Floats) -> GroupFactors:
    """Actual over predicted total of each group, shrunk to 1 by how little its rows say (DerSimonian and Laird 1986).

    The variance of a ratio comes from its rows' errors; what the ratios differ by beyond their variances is
    how far groups truly differ. Groups of fewer than 30 rows keep their predictions.
    """
    n = np.bincount(groups)
    total = np.bincount(groups, weights=predicted)
    usable = (n >= _FEWEST_IN_GROUP) & (total > 0)
    safe = np.where(usable, total, 1.0)
    ratio = np.bincount(groups, weights=actual) / safe
    errors = np.bincount(groups, weights=(actual - ratio[groups] * predicted) ** 2)
    variance = np.where(usable, errors / safe**2, np.inf)
    between = _between(ratio[usable], variance[usable])
    trust = np.where(usable, between / np.maximum(between + variance, np.finfo(float).tiny), 0.0)
    return GroupFactors(name=name, factors=tuple(np.maximum(1 + trust * (ratio - 1), 0.01).tolist()))


def _between(ratio: Floats, variance: Floats) -> float:
    """The variance of true ratios around 1, by the method of moments."""
    certain = variance > 0
    if not certain.any():
        return float(np.mean((ratio - 1) ** 2)) if ratio.size else 0.0
    weight = 1 / variance[certain]
    excess = float((weight * (ratio[certain] - 1) ** 2).sum()) - int(certain.sum())
    return max(0.0, excess / float(weight.sum()))


def _by_group(
    name: str, groups: Codes, predicted: Floats, actual: Floats, *, even: NDArray[np.bool_]
) -> Floats:
    def taught_by(half: NDArray[np.bool_]) -> Floats:
        return predicted * group_factors(name, groups[half], predicted[half], actual[half]).of(groups)

    return _crossed(even, taught_by)


def _crossed(even: NDArray[np.bool_], teach: Callable[[NDArray[np.bool_]], Floats]) -> Floats:
    """Each half as changed by what the other half taught."""
    return np.where(even, teach(~even), teach(even))


def _bent(predicted: Floats, at: Floats, actual: Floats) -> Floats:
    if at.size == 0:
        return predicted
    return _through(predicted, *increasing_map(at, actual))


def _through(predicted: Floats, knots: Floats, levels: Floats) -> Floats:
    if knots.size == 0:
        return predicted
    first, last = (levels[k] / knots[k] if knots[k] > 0 else 1.0 for k in (0, -1))
    inside = np.interp(predicted, knots, levels)
    return np.where(
        predicted < knots[0], first * predicted, np.where(predicted > knots[-1], last * predicted, inside)
    )


def _ratio(predicted: Floats, actual: Floats) -> float:
    total = float(predicted.sum())
    return max(float(actual.sum()), 0.0) / total if total > 0 else 1.0
