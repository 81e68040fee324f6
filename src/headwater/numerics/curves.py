"""Value by cohort and age: one curve for all, each group's own departure from it, each cohort's own level.

A group (a channel) departs from the overall curve by a level and a slope in the logarithm of age, fitted by
quasi-likelihood with a variance known from its users, and pulled towards all groups as far as chance explains the
distance (empirical Bayes). A cohort departs by a level of its own, pulled in the same way: with no history it is
its group's curve (Bornhuetter & Ferguson 1972), with much it is its own past carried on (chain ladder).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from headwater.core.errors import DataError
from headwater.numerics.between import variance_between
from headwater.numerics.curve_tail import extend
from headwater.numerics.rfm import Floats, Ints

__all__ = ["Curves", "Projection", "Triangle", "fit_curves", "project"]

_ROUNDS = 3
_NEWTON = 30
_LOOSE = 9.0
_FEWEST_USERS = 30.0
_FEWEST_AGES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Triangle:
    """Users in strips that share cohort, group and the ages they were seen for; older strips are longer.

    Attributes
    ----------
    cohort, group, observed
        ``(S,)``: which cohort, which group, and for how many whole ages each user of the strip was seen, at least 1.
    part_age
        ``(S,)``: how much of the next age has passed, 0 to 1.
    users
        ``(S, B)``: users by part, a random split of users (by bucket) that shows how much they differ.
    totals
        ``(S, B, K)``: what they brought at each age; zero beyond ``observed``.
    """

    cohort: Ints
    group: Ints
    observed: Ints
    part_age: Floats
    users: Floats
    totals: Floats

    def __post_init__(self) -> None:
        if self.cohort.size == 0 or self.users.sum() <= 0:
            raise DataError(
                "curves.nobody",
                what="No cohort was seen for one whole period.",
                why="A curve of value by age needs somebody who grew older.",
                do="Use a longer log, or a shorter period.",
            )

    @property
    def n(self) -> Floats:
        """Users of each strip, ``(S,)``."""
        return self.users.sum(axis=1)

    @property
    def brought(self) -> Floats:
        """What each strip brought at each age, ``(S, K)``."""
        return self.totals.sum(axis=1)

    @property
    def seen(self) -> Floats:
        """1 where a strip was seen at an age, else 0, ``(S, K)``."""
        ages = np.arange(int(self.totals.shape[2]))
        return np.where(ages < self.observed[:, None], 1.0, 0.0)

    def back(self, ages: int) -> Triangle | None:
        """The same log as it stood so many ages earlier; None where nobody had been seen for one age."""
        left = self.observed - ages
        kept = left >= 1
        if not kept.any():
            return None
        early = replace(
            self,
            **{k: getattr(self, k)[kept] for k in ("cohort", "group", "part_age", "users", "totals")},
            observed=left[kept],
        )
        longest = int(early.observed.max())
        return replace(early, totals=(early.totals * early.seen[:, None, :])[:, :, :longest])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """What was learned.

    Attributes
    ----------
    shape, shape_variance
        Value of a user at each age, all together, ``(K,)``; beyond ``n_seen`` ages by the ``tail``; and the squared
        relative error of each.
    departure, own_departure
        Level and slope of each group, logarithms, ``(G, 2)``: pulled together, and by its own users alone.
    departure_covariance
        ``(G, 2, 2)`` of what is left open of the first.
    between
        Variance of true levels and slopes between groups, ``(2,)``.
    cohort_spread
        Variance of true relative levels of cohorts within a group.
    noise, lasting
        How much users differ: what one brings up to some age has the variance ``noise * mean + lasting * mean^2``;
        the second is what a user keeps from age to age, and is known once he has been seen.
    """

    shape: Floats
    shape_variance: Floats
    n_seen: int
    tail: str
    departure: Floats
    own_departure: Floats
    departure_covariance: Floats
    between: Floats
    cohort_spread: float
    noise: float
    lasting: float

    @property
    def basis(self) -> Floats:
        """By which level and slope act on the logarithm of the curve, ``(K, 2)``."""
        return _basis(self.shape.size)

    def group_curve(self, *, pooled: bool = True) -> Floats:
        """Value of a user at each age by group, ``(G, K)``."""
        lean = self.departure if pooled else self.own_departure
        return self.shape * np.exp(lean @ self.basis.T)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """What each strip is to bring at each age, ``(S, K)``, and what is not known of sums over ages to come.

    ``level`` ``(S,)`` is the cohort's own level, ``level_variance`` what is left open of it.
    """

    expected: Floats
    level: Floats
    level_variance: Floats


def fit_curves(triangle: Triangle, *, ages: int) -> Curves:
    """Learn the curves up to ``ages``. Raises ``DataError`` (``curves.no_value``) where nothing was brought."""
    _require_value(triangle)
    n_seen = _ages_seen(triangle)
    n_groups = int(triangle.group.max()) + 1
    noise, lasting = _user_variance(triangle, n_seen=n_seen)
    level, spread = np.ones(triangle.cohort.size), 0.0
    learned = _Departures.none(n_groups)
    seen_shape = np.zeros(0)
    for _ in range(_ROUNDS):
        lean = np.exp(learned.pulled @ _basis(triangle.totals.shape[2]).T)[triangle.group]
        seen_shape = _shape(triangle, weight=lean * level[:, None])
        if n_groups > 1:
            learned = _departures(triangle, shape=seen_shape, noise=noise, lasting=lasting, spread=spread)
        lean = np.exp(learned.pulled @ _basis(seen_shape.size).T)[triangle.group]
        expected = triangle.n[:, None] * seen_shape * lean
        level, _, spread = _levels(triangle, expected=expected, noise=noise, lasting=lasting)
    exposure = (triangle.n[:, None] * triangle.seen).sum(axis=0)[:n_seen]
    tail = extend(seen_shape[:n_seen], exposure=exposure, ages=ages, noise=noise)
    return Curves(
        shape=tail.curve,
        shape_variance=tail.variance,
        n_seen=n_seen,
        tail=tail.name,
        departure=learned.pulled,
        own_departure=learned.own,
        departure_covariance=learned.covariance,
        between=learned.between,
        cohort_spread=spread,
        noise=noise,
        lasting=lasting,
    )


def project(curves: Curves, *, triangle: Triangle, pooled: bool = True) -> Projection:
    """What each strip brings at every age of the curves, its cohort's level included."""
    per_user = curves.group_curve(pooled=pooled)[triangle.group]
    expected = triangle.n[:, None] * per_user
    seen = min(triangle.totals.shape[2], expected.shape[1])
    level, variance, _ = _levels(
        triangle,
        expected=expected[:, :seen],
        noise=curves.noise,
        lasting=curves.lasting,
        spread=curves.cohort_spread,
    )
    return Projection(expected=expected * level[:, None], level=level, level_variance=variance)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Departures:
    """Levels and slopes ``(G, 2)``, by a group's own users and pulled together, with what is open of the latter."""

    own: Floats
    pulled: Floats
    covariance: Floats
    between: Floats

    @classmethod
    def none(cls, n_groups: int) -> _Departures:
        """All groups on the overall curve."""
        flat = np.zeros((n_groups, 2))
        return cls(own=flat, pulled=flat, covariance=np.zeros((n_groups, 2, 2)), between=np.zeros(2))


def _basis(ages: int) -> Floats:
    """A constant, and the logarithm of age less its mean over the ages, ``(K, 2)``."""
    log_age = np.log(np.arange(ages) + 0.5)
    return np.stack([np.ones(ages), log_age - np.log(3.0)], axis=1)


def _ages_seen(triangle: Triangle) -> int:
    """Ages that enough users were seen at for a mean to mean something; at least one."""
    users = (triangle.n[:, None] * triangle.seen).sum(axis=0)
    return max(1, int((users >= min(_FEWEST_USERS, users[0])).sum()))


def _shape(triangle: Triangle, *, weight: Floats) -> Floats:
    exposure = (triangle.n[:, None] * weight * triangle.seen).sum(axis=0)
    return np.maximum(triangle.brought.sum(axis=0) / np.maximum(exposure, 1e-300), 0.0)


def _departures(
    triangle: Triangle, *, shape: Floats, noise: float, lasting: float, spread: float
) -> _Departures:
    """Each group's level and slope: by itself, its covariance, and pulled towards all."""
    n_groups = int(triangle.group.max()) + 1
    basis = _basis(shape.size)
    own, covariance = np.zeros((n_groups, 2)), np.zeros((n_groups, 2, 2))
    exposed = triangle.n[:, None] * triangle.seen * shape
    for g in range(n_groups):
        mine = triangle.group == g
        brought, expected = triangle.brought[mine].sum(axis=0), exposed[mine].sum(axis=0)
        own[g], covariance[g] = _departure(brought, expected, basis=basis, noise=noise)
        share = exposed[mine].sum(axis=1) / max(float(expected.sum()), 1e-300)
        by_cohort = np.bincount(triangle.cohort[mine], weights=share)
        lasts = float((share**2 / triangle.n[mine]).sum())
        covariance[g, 0, 0] += lasting * lasts + spread * float((by_cohort**2).sum())
    between, center = _between(own, covariance)
    spread_out = np.eye(2) * between
    pulled, left = np.zeros_like(own), np.zeros_like(covariance)
    for g in range(n_groups):
        both: Floats = spread_out + covariance[g]
        gain: Floats = np.linalg.solve(both, spread_out).T.astype(np.float64)
        pulled[g] = center + gain @ (own[g] - center)
        left[g] = (np.eye(2) - gain) @ spread_out
    return _Departures(own=own, pulled=pulled, covariance=left, between=between)


def _departure(brought: Floats, expected: Floats, *, basis: Floats, noise: float) -> tuple[Floats, Floats]:
    """Quasi-Poisson with a prior so loose that it matters where there is next to nothing only."""
    lean = np.zeros(2)
    prior = np.eye(2) / _LOOSE
    for _ in range(_NEWTON):
        mean = expected * np.exp(np.clip(basis @ lean, -20, 20))
        score = basis.T @ (brought - mean) / noise - prior @ lean
        bend = (basis.T * mean) @ basis / noise + prior
        step = np.linalg.solve(bend, score)
        lean = lean + step * min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-300))
    mean = expected * np.exp(np.clip(basis @ lean, -20, 20))
    return lean, np.linalg.inv((basis.T * mean) @ basis / noise + prior).astype(np.float64)


def _between(own: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Variance between groups and their center, each coordinate by itself."""
    found = [variance_between(own[:, i], variances=covariance[:, i, i]) for i in range(2)]
    return np.array([f[0] for f in found]), np.array([f[1] for f in found])


def _levels(
    triangle: Triangle, *, expected: Floats, noise: float, lasting: float, spread: float | None = None
) -> tuple[Floats, Floats, float]:
    """Each cohort's level within its group, its variance, and the variance of true levels between cohorts.

    The level of so many users differs from 1 by the cohort's own departure and by who its users happen to be.
    """
    key = triangle.cohort * (int(triangle.group.max()) + 1) + triangle.group
    _, unit = np.unique(key, return_inverse=True)
    reach = expected.shape[1]
    had = np.bincount(unit, weights=(expected * triangle.seen[:, :reach]).sum(axis=1))
    brought = np.bincount(unit, weights=triangle.brought[:, :reach].sum(axis=1))
    who = lasting / np.bincount(unit, weights=triangle.n)
    ratio = np.divide(brought, had, out=np.ones_like(had), where=had > 0)
    chance = np.where(had > 0, noise / np.maximum(had, 1e-300), 1e12)
    tau = variance_between(ratio, variances=chance + who)[0] if spread is None else spread
    gain = (tau + who) / (tau + who + chance)
    return (1 + gain * (np.maximum(ratio, 0.0) - 1))[unit], (gain * chance)[unit], tau


def _user_variance(triangle: Triangle, *, n_seen: int) -> tuple[float, float]:
    """``noise`` and ``lasting`` of what users bring up to each age, from how random parts of strips differ.

    Variance over mean is ``noise + lasting * mean``: a line through groups and ages, weighed twice. The first age,
    in which everybody began, is not like those to come and is left out where there are others.
    """
    later = slice(1 if n_seen >= _FEWEST_AGES else 0, n_seen)
    seen = triangle.seen[:, later]
    cumulated = triangle.totals[:, :, later].cumsum(axis=2)
    users, filled = triangle.users[:, :, None], triangle.users[:, :, None] > 0
    per_user = cumulated.sum(axis=1, keepdims=True) / triangle.n[:, None, None]
    off = np.where(filled, (cumulated - users * per_user) ** 2 / np.where(filled, users, 1.0), 0.0)
    square, freedom, brought, n = (
        _by_group(triangle, values * seen)
        for values in (off.sum(axis=1), filled.sum(axis=1) - 1.0, cumulated.sum(axis=1), triangle.n[:, None])
    )
    used = (freedom > 0) & (brought > 0)
    if not used.any():
        return 1.0, 0.0
    at, weight = brought[used] / n[used], n[used]
    ratio = square[used] / freedom[used] / at
    noise, lasting = _line(at, ratio, weight)
    return _line(at, ratio, weight / (noise + lasting * at) ** 2)


def _by_group(triangle: Triangle, values: Floats) -> Floats:
    summed = np.zeros((int(triangle.group.max()) + 1, values.shape[1]))
    np.add.at(summed, triangle.group, values)
    return summed


def _line(at: Floats, ratio: Floats, weight: Floats) -> tuple[float, float]:
    """Intercept and slope, neither below zero; the intercept is at least a twentieth of the mean ratio."""
    weight = weight / weight.sum()
    center, height = float(weight @ at), float(weight @ ratio)
    width = float(weight @ (at - center) ** 2)
    slope = max(0.0, float(weight @ ((at - center) * (ratio - height))) / width) if width > 0 else 0.0
    intercept, least = height - slope * center, 0.05 * height
    if intercept < least:
        intercept, slope = least, (height - least) / center
    return max(intercept, 1e-12), slope


def _require_value(triangle: Triangle) -> None:
    if triangle.totals.sum() <= 0:
        raise DataError(
            "curves.no_value",
            what=f"{triangle.n.sum():,.0f} users brought {triangle.totals.sum():,.2f} in all.",
            why="A curve of nothing, or of losses, has no shape to carry on.",
            do="Check the measure; take gross value rather than net of refunds.",
        )
