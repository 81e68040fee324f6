"""Totals of cohorts to come with what is not known of them, how such totals did in the past, and users made to add up.

Point-wise and aggregate percentage errors are those of channel-level forecasting (TTF, arXiv 2511.17639).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headwater.core.errors import UsageError
from headwater.numerics.curves import Curves, Projection, Triangle, fit_curves, project
from headwater.numerics.rfm import Floats, Ints, totals

__all__ = [
    "PastOrigin",
    "Totals",
    "adjustment",
    "blend",
    "by_age",
    "mape",
    "past_origins",
    "reconcile",
    "shared_error",
    "totals_ahead",
]

_LEAST_SHARE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Totals:
    """Expected totals by label and their variance, error that all labels share left out, arrays ``(L,)``."""

    expected: Floats
    variance: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PastOrigin:
    """What was forecast ``ages_back`` ages ago by label and age, and what came, arrays ``(L, horizon)``.

    ``labels`` ``(L,)`` are those that had been seen by then; ``variance`` ``(L,)`` is that of their totals.
    """

    ages_back: int
    labels: Ints
    expected: Floats
    actual: Floats
    variance: Floats


def totals_ahead(
    curves: Curves, *, triangle: Triangle, projection: Projection, horizon: float, by: Ints
) -> Totals:
    """Totals over the next ``horizon`` ages from where each strip stands, added up by a label for each strip.

    The variance holds what is open of each cohort's level, each group's departure and the overall shape, and how
    much users differ; labels are whole numbers from 0.
    """
    start = triangle.observed + triangle.part_age
    weight = _window(start, start + horizon, ages=projection.expected.shape[1])
    ahead = projection.expected * weight
    return _totals(curves, triangle=triangle, projection=projection, ahead=ahead, by=by)


def by_age(curves: Curves) -> tuple[Floats, Floats, Floats]:
    """Value of a user by group up to each age, the variance of that mean, and the part at ages nobody was seen for.

    All ``(G, K)``. The variance holds what is open of the overall shape and of each group's departure.
    """
    per_age = curves.group_curve()
    mean = per_age.cumsum(axis=1)
    lean = (per_age[:, :, None] * curves.basis).cumsum(axis=1)
    departures = np.einsum("gki,gij,gkj->gk", lean, curves.departure_covariance, lean)
    shape = (per_age**2 * curves.shape_variance).cumsum(axis=1)
    unseen = np.where(np.arange(int(per_age.shape[1])) >= curves.n_seen, per_age, 0.0).cumsum(axis=1)
    return mean, departures + shape, unseen


def _window(start: Floats, end: Floats, *, ages: int) -> Floats:
    """How much of each age lies between two ages, ``(S, K)``."""
    age = np.arange(ages)
    return np.clip(np.minimum(end[:, None], age + 1) - np.maximum(start[:, None], age), 0.0, 1.0)


def _totals(curves: Curves, *, triangle: Triangle, projection: Projection, ahead: Floats, by: Ints) -> Totals:
    n_labels = int(by.max()) + 1
    total = ahead.sum(axis=1)
    expected = totals(by, total, size=n_labels)
    variance = curves.noise * expected
    variance = variance + _of_levels(triangle, projection=projection, total=total, by=by)
    variance = variance + _of_departures(curves, triangle=triangle, ahead=ahead, by=by)
    return Totals(expected=expected, variance=variance + _of_shape(curves, ahead=ahead, by=by))


def _of_levels(triangle: Triangle, *, projection: Projection, total: Floats, by: Ints) -> Floats:
    """Strips of one cohort and group share one level."""
    n_labels = int(by.max()) + 1
    unit = (triangle.cohort * (int(triangle.group.max()) + 1) + triangle.group) * n_labels + by
    found, first, which = np.unique(unit, return_index=True, return_inverse=True)
    at_one = totals(which, total / np.maximum(projection.level, 1e-12))
    return totals(found % n_labels, at_one**2 * projection.level_variance[first], size=n_labels)


def _of_departures(curves: Curves, *, triangle: Triangle, ahead: Floats, by: Ints) -> Floats:
    n_labels, n_groups = int(by.max()) + 1, curves.departure.shape[0]
    basis = curves.basis
    slopes = np.zeros((n_labels, n_groups, 2))
    np.add.at(slopes, (by, triangle.group), ahead @ basis)
    return np.einsum("lgi,gij,lgj->l", slopes, curves.departure_covariance, slopes)


def _of_shape(curves: Curves, *, ahead: Floats, by: Ints) -> Floats:
    """Each age of the shape has an error of its own, which all strips share."""
    each = np.zeros((int(by.max()) + 1, ahead.shape[1]))
    np.add.at(each, by, ahead)
    return (each**2 * curves.shape_variance).sum(axis=1)


def past_origins(triangle: Triangle, *, horizon: int, origins: int, by: Ints) -> Iterator[PastOrigin]:
    """Stand ``horizon`` ages back and then half a horizon further each time, forecast ``horizon`` ages, and compare.

    Only strips that had been seen for an age by then are in; ``by`` labels the strips of the full triangle.
    """
    step = max(1, horizon // 2)
    for back in range(horizon, horizon + origins * step, step):
        early = triangle.back(back)
        if early is None or early.brought.sum() <= 0:
            return
        kept = triangle.observed > back
        labels, label = np.unique(by[kept], return_inverse=True)
        longest = int(triangle.observed.max())
        curves = fit_curves(early, ages=longest)
        projection = project(curves, triangle=early)
        start = early.observed.astype(np.float64)
        window = _window(start, start + horizon, ages=longest)
        ahead = projection.expected * window
        came = triangle.brought[kept] * window
        made = _totals(curves, triangle=early, projection=projection, ahead=ahead, by=label)
        yield PastOrigin(
            ages_back=back,
            labels=labels,
            expected=_by_step(ahead, early.observed, horizon=horizon, by=label),
            actual=_by_step(came, early.observed, horizon=horizon, by=label),
            variance=made.variance,
        )


def _by_step(values: Floats, first: Ints, *, horizon: int, by: Ints) -> Floats:
    """Values at the first, second, ... age ahead of each strip, added up by label, ``(L, horizon)``."""
    columns = first[:, None] + np.arange(horizon)
    ahead = np.take_along_axis(values, np.minimum(columns, values.shape[1] - 1), axis=1)
    summed = np.zeros((int(by.max()) + 1, horizon))
    np.add.at(summed, by, ahead)
    return summed


def shared_error(origins: list[PastOrigin]) -> tuple[float, float]:
    """The relative error that all cohorts of an origin share, beyond chance, and how many origins it stands on.

    Origins whose windows overlap are counted by the share that does not.
    """
    used = [o for o in origins if o.expected.sum() > 0]
    if not used:
        return 0.0, 1.0
    ratio = np.array([o.actual.sum() / o.expected.sum() - 1 for o in used])
    chance = np.array([o.variance.sum() / o.expected.sum() ** 2 for o in used])
    horizon = used[0].expected.shape[1]
    last, first = used[-1].ages_back, used[0].ages_back
    return float(np.sqrt(max(0.0, float((ratio**2 - chance).mean())))), 1 + (last - first) / horizon


def mape(expected: Floats, actual: Floats) -> tuple[float, float]:
    """Point-wise and aggregate percentage error, as shares: over (label, age) and over totals of a label.

    Points that brought nothing have no percentage and are left out.
    """
    return _mean_share(expected, actual), _mean_share(expected.sum(axis=1), actual.sum(axis=1))


def _mean_share(expected: Floats, actual: Floats) -> float:
    known = actual > 0
    return float((np.abs(expected - actual)[known] / actual[known]).mean()) if known.any() else float("nan")


def blend(curve: Floats, *, curve_error: float, users: Floats, users_error: float) -> Floats:
    """One total from two, ``(L,)``: each weighed by one over its squared relative error on past origins.

    An infinite error is that of a forecast never tried: the other one stands alone. Raises ``UsageError`` (``curves.error``).
    """
    if min(curve_error, users_error) < 0:
        raise UsageError(
            "curves.error",
            what=f"Relative errors of {curve_error:g} and {users_error:g} were given.",
            why="They say how much to trust each of the two totals.",
            do="Give root mean squared relative errors of past origins.",
        )
    precision = 1 / np.maximum(np.array([curve_error, users_error]), _LEAST_SHARE) ** 2
    share = precision[0] / precision.sum() if precision.sum() > 0 else 0.5
    return share * curve + (1 - share) * users


def reconcile(mean: Floats, *, by: Ints, sums: Floats) -> Floats:
    """Users' forecasts that add up to their label's sum, in the order they had, ``(n_users,)``: ``adjustment`` applied."""
    factor, shift = adjustment(mean, by=by, sums=sums)
    return mean * factor + shift


def adjustment(mean: Floats, *, by: Ints, sums: Floats) -> tuple[Floats, Floats]:
    """A factor and a shift for each user that bring the forecasts of each label to its sum, ``(n_users,)``.

    A label is scaled where no forecast of it is negative and some are above zero. Elsewhere a factor would turn
    the order around, or there is nothing to scale: all its users get an equal share of the difference.
    """
    size = sums.size
    summed = totals(by, mean, size=size)
    users = totals(by, np.ones_like(mean), size=size)
    scaled = (totals(by, (mean < 0).astype(np.float64), size=size) == 0) & (summed > 0) & (sums >= 0)
    factor = np.divide(sums, summed, out=np.ones(size), where=scaled)
    shift = np.divide(sums - summed, users, out=np.zeros(size), where=~scaled & (users > 0))
    return factor[by], shift[by]
