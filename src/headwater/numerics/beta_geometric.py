"""Buyers with a chance of leaving at each purchase: the likelihood that BG/NBD and its relatives share.

While alive a customer buys at rate lambda ~ Gamma(r, alpha); at each chance he drops out with probability
p ~ Beta(a, b). Members of the family differ in two whole numbers: how many exponential phases a gap has
(``phases``: 1 for Poisson buyers) and whether the first purchase is a chance to leave too (``at_first``).

Fader, Hardie & Lee (2005), Marketing Science 24(2); Batislam, Denizel & Filiztekin (2007), International Journal
of Research in Marketing 24(3); Reutterer, Platzer & Schroeder (2021), same journal, 38(1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self, TypeVar

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.erlang import still_waiting
from headwater.numerics.maximize import Box, Evaluation, Fit, in_logs, maximize
from headwater.numerics.quadrature import chunks
from headwater.numerics.rfm import Floats, Ints, RfmRows, distinct, dot, rising, totals

__all__ = ["NAMES", "BetaGeometricParams", "Family", "evaluate", "fit_family", "log_likelihood"]

NAMES: Final = ("r", "alpha", "a", "b")
_BOX: Final = Box(names=NAMES, low=np.log([1e-4, 1e-6, 1e-5, 1e-5]), high=np.log([1e4, 1e6, 1e5, 1e5]))
_ROWS = 16_384
_TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaGeometricParams:
    """``r, alpha``: Gamma shape and rate of buying, alpha in units of time; ``a, b``: Beta of dropout."""

    r: float
    alpha: float
    a: float
    b: float

    @property
    def phases(self) -> int:
        """Exponential phases of a gap between purchases."""
        return 1

    @property
    def at_first(self) -> int:
        """Chances to leave at the first purchase: 0 or 1. A customer with x repeats had x + at_first in all."""
        return 0

    def rescale(self, factor: float) -> Self:
        """The same model in another unit of time: weeks become days with ``factor=7``."""
        return replace(self, alpha=self.alpha * factor)

    def as_array(self) -> Floats:
        """``(4,)`` in written order."""
        return np.array([self.r, self.alpha, self.a, self.b])


P = TypeVar("P", bound=BetaGeometricParams)


def log_likelihood(params: BetaGeometricParams, *, rows: RfmRows) -> float:
    """Weighted log-likelihood of the rows."""
    return evaluate(params.as_array(), family=Family.of(rows, like=params)).value


def fit_family(rows: RfmRows, *, like: P, start: P | None = None) -> Fit[P]:
    """Maximum-likelihood estimates, the same in any unit of time; ``Fit`` says how to read the diagnosis.

    ``like`` says which member of the family (its own numbers are not used); ``start`` is where the climb begins,
    without it at moments.
    """
    scale = rows.mean_age
    scaled = rows.in_units_of(scale)
    family = Family.of(scaled, like=like)

    def objective(logs: Floats) -> Evaluation:
        point = np.exp(logs)
        return in_logs(evaluate(point, family=family), at=point)

    known = [] if start is None else [np.log(start.rescale(1 / scale).as_array())]
    top = maximize(objective, starts=[*known, *_starts(scaled, phases=like.phases)], box=_BOX)
    r, alpha, a, b = np.exp(top.point).tolist()
    in_own_unit = Fit(
        params=replace(like, r=r, alpha=alpha, a=a, b=b),
        names=NAMES,
        log_likelihood=top.value,
        covariance=top.covariance,
        converged=top.converged,
        iterations=top.iterations,
        boundary=top.boundary,
        n_users=rows.n_users,
        dimension=rows.n_purchases,
    )
    return in_own_unit.rescale(scale)


def _starts(rows: RfmRows, *, phases: int) -> list[Floats]:
    """Shape and rate by moments of the counts, then rounder guesses; time is in units of its mean."""
    mean = max(rows.n_purchases / rows.n_users, 1e-3)
    spread = dot(rows.weights, (rows.x - mean) ** 2) / rows.n_users
    r = float(np.clip(mean**2 / max(spread - mean, 0.05 * mean), 0.1, 10.0))
    return [
        np.log([r, r / (rise * mean * phases), a, b])
        for rise, a, b in ((1.5, 1.0, 3.0), (1.1, 0.3, 3.0), (4.0, 2.0, 2.0), (1.5, 0.1, 0.2))
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """Rows of a member as tables of distinct x, t_x and T: logarithms are taken once per table entry, not per row."""

    phases: int
    at_first: int
    users_by_x: Floats
    users_by_age: Floats
    purchases_by_age: Floats
    T: Floats
    t_x: Floats
    which_age: Ints
    which_last: Ints
    x: Ints
    weights: Floats
    constant: float

    @classmethod
    def of(cls, rows: RfmRows, *, like: BetaGeometricParams) -> Family:
        """Customers who had a chance to leave keep their rows; everything else needs sums only."""
        ages, which_age = distinct(rows.T)
        chance = rows.x + like.at_first > 0
        lasts, which_last = (
            distinct(rows.t_x[chance]) if chance.any() else (np.zeros(0), np.zeros(0, np.int64))
        )
        return cls(
            phases=like.phases,
            at_first=like.at_first,
            users_by_x=totals(rows.x.astype(np.int64), rows.weights),
            users_by_age=totals(which_age, rows.weights),
            purchases_by_age=totals(which_age, rows.weights * rows.x),
            T=ages,
            t_x=lasts,
            which_age=which_age[chance],
            which_last=which_last,
            x=rows.x[chance].astype(np.int64),
            weights=rows.weights[chance],
            constant=_constant(rows, phases=like.phases),
        )


def _constant(rows: RfmRows, *, phases: int) -> float:
    """What k changes in the density of t_x beyond the parameters, relative to k = 1 (where it is 0)."""
    if phases == 1:
        return 0.0
    x, last = np.maximum(rows.x, 1.0), np.log(np.maximum(rows.t_x, _TINY))
    each = (phases - 1) * x * last - special.gammaln(phases * x) + special.gammaln(x)
    return dot(rows.weights, np.where(rows.x > 0, each, 0.0))


def evaluate(point: Floats, *, family: Family) -> Evaluation:
    """Value, gradient and Hessian by ``(r, alpha, a, b)``.

    With k phases, d = x + at_first chances and (c)_x the rising factorial,

    log L = log (r)_kx + r log alpha - (r+kx) log(alpha+T) + log (b)_d - log (a+b)_d + log(W + e^u),
    u = log a - log(b+d-1) + (r+kx) log[(alpha+T)/(alpha+t_x)],
    W = sum over j < k of (r+kx)_j / j! [(T-t_x)/(alpha+T)]^j,

    where e^u is there for d > 0 only. For k > 1 it is the likelihood of (x, t_x), not of all gaps, times that of
    the gaps given (x, t_x) under k = 1, which no parameter and no k changes: likelihoods compare over k.
    """
    r, alpha, a, b = point.tolist()
    value, gradient, hessian = _everyone(r, alpha, a, b, family=family)
    log_T, log_t = np.log(alpha + family.T), np.log(alpha + family.t_x)
    by_T, by_t = 1 / (alpha + family.T), 1 / (alpha + family.t_x)
    before = b + np.arange(family.users_by_x.size + family.at_first) - 1.0
    before[0] = 1.0
    offset, slope = np.log(a) - np.log(before), -1 / before
    for part in chunks(family.x.size, size=_ROWS):
        x, weight = family.x[part], family.weights[part]
        when_T, when_t, chances = family.which_age[part], family.which_last[part], x + family.at_first
        log_ratio = log_T[when_T] - log_t[when_t]
        inv_T, inv_t = by_T[when_T], by_t[when_t]
        gap = inv_T - inv_t
        power = r + family.phases * x
        u = offset[chances] + power * log_ratio
        score = np.stack([log_ratio, power * gap, np.full_like(u, 1 / a), slope[chances]])
        bend = -score[1] * (inv_T + inv_t)
        still = None
        if family.phases > 1:
            silence = (family.T[when_T] - family.t_x[when_t]) * inv_T
            still = still_waiting(power, silence=silence, inverse=inv_T, phases=family.phases)
            u = u - still.value
            score[:2] -= still.gradient
        shrunk = np.exp(-np.abs(u))
        value += dot(weight, np.maximum(u, 0.0) + np.log1p(shrunk))
        dead = weight * np.where(u >= 0, 1.0, shrunk) / (1 + shrunk)
        unsure = dead * np.where(u >= 0, shrunk, 1.0) / (1 + shrunk)
        gradient += np.einsum("in,n->i", score, dead)
        hessian += np.einsum("in,jn->ij", score * unsure, score)
        crossed = dot(dead, gap)
        hessian[0, 1] += crossed
        hessian[1, 0] += crossed
        hessian[1, 1] += dot(dead, bend)
        hessian[2, 2] -= float(dead.sum()) / a**2
        hessian[3, 3] += dot(dead, slope[chances] ** 2)
        if still is not None:
            value += dot(weight, still.value)
            gradient[:2] += np.einsum("in,n->i", still.gradient, weight)
            hessian[:2, :2] += np.einsum("ijn,n->ij", still.hessian, weight - dead)
    return Evaluation(value=float(value), gradient=gradient, hessian=hessian)


def _everyone(r: float, alpha: float, a: float, b: float, *, family: Family) -> tuple[float, Floats, Floats]:
    """The part of the log-likelihood that is linear in tables: no row is looked at."""
    n = float(family.users_by_x.sum())
    in_r = rising(_stretched(family.users_by_x, family.phases), start=r)
    by_chances = np.concatenate([np.zeros(family.at_first), family.users_by_x])
    in_b, in_ab = (rising(by_chances, start=c) for c in (b, a + b))
    exposure = r * family.users_by_age + family.phases * family.purchases_by_age
    log_T, by_T = np.log(alpha + family.T), 1 / (alpha + family.T)
    value = in_r[0] + in_b[0] - in_ab[0] + n * r * np.log(alpha) - dot(exposure, log_T) + family.constant
    g_r = in_r[1] + n * np.log(alpha) - dot(family.users_by_age, log_T)
    g_alpha = n * r / alpha - dot(exposure, by_T)
    cross = n / alpha - dot(family.users_by_age, by_T)
    bend = dot(exposure, by_T**2) - n * r / alpha**2
    gradient = np.array([g_r, g_alpha, -in_ab[1], in_b[1] - in_ab[1]])
    hessian = np.zeros((4, 4))
    hessian[:2, :2] = [[in_r[2], cross], [cross, bend]]
    hessian[2:, 2:] = -in_ab[2]
    hessian[3, 3] += in_b[2]
    return value, gradient, hessian


def _stretched(users_by_x: Floats, phases: int) -> Floats:
    """Users by x as users by phases seen, k x."""
    table = np.zeros(phases * (users_by_x.size - 1) + 1)
    table[::phases] = users_by_x
    return table
