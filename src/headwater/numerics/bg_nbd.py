"""BG/NBD: how many purchases a customer makes who may drop out, unseen, after any of them.

Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2). While alive a
customer buys at rate lambda ~ Gamma(r, alpha); after each repeat purchase he drops out with probability
p ~ Beta(a, b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from headwater.numerics.maximize import Box, Evaluation, Fit, in_logs, maximize
from headwater.numerics.quadrature import beta_nodes, chunks
from headwater.numerics.rfm import Floats, Ints, RfmRows, distinct, distinct_pairs, dot, rising, totals

__all__ = [
    "BgNbdParams",
    "draw_future_purchases",
    "expected_for_new",
    "expected_purchases",
    "fit",
    "log_likelihood",
    "p_alive",
    "probability_of_any_purchase",
    "purchase_variance",
    "simulate",
]

NAMES: Final = ("r", "alpha", "a", "b")
_BOX: Final = Box(names=NAMES, low=np.log([1e-4, 1e-6, 1e-5, 1e-5]), high=np.log([1e4, 1e6, 1e5, 1e5]))
_ROWS = 16_384
_LARGEST_COUNT = 1e15
_LEAST_CHANCE = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class BgNbdParams:
    """``r, alpha``: Gamma shape and rate of buying, alpha in units of time; ``a, b``: Beta of dropout."""

    r: float
    alpha: float
    a: float
    b: float

    def rescale(self, factor: float) -> BgNbdParams:
        """The same model in another unit of time: weeks become days with ``factor=7``."""
        return BgNbdParams(r=self.r, alpha=self.alpha * factor, a=self.a, b=self.b)

    def as_array(self) -> Floats:
        """``(4,)`` in written order."""
        return np.array([self.r, self.alpha, self.a, self.b])


def log_likelihood(params: BgNbdParams, *, rows: RfmRows) -> float:
    """Weighted log-likelihood of the rows (eq. 6, in the overflow-free form of Hardie's note 27)."""
    return _evaluate(params.as_array(), design=_Design.of(rows)).value


def fit(rows: RfmRows, *, start: BgNbdParams | None = None) -> Fit[BgNbdParams]:
    """Maximum-likelihood estimates, the same in any unit of time; ``Fit`` says how to read the diagnosis.

    ``start`` is where the climb begins, such as the estimate of a bootstrap; without it, at moments.
    """
    scale = dot(rows.weights, rows.T) / rows.n_users
    scaled = rows.in_units_of(scale)
    design = _Design.of(scaled)

    def objective(logs: Floats) -> Evaluation:
        point = np.exp(logs)
        return in_logs(_evaluate(point, design=design), at=point)

    known = [] if start is None else [np.log(start.rescale(1 / scale).as_array())]
    top = maximize(objective, starts=[*known, *_starts(scaled)], box=_BOX)
    r, alpha, a, b = np.exp(top.point).tolist()
    in_own_unit = Fit(
        params=BgNbdParams(r=r, alpha=alpha, a=a, b=b),
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


def p_alive(params: BgNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
    """Probability of not having dropped out by T; 1 where ``x`` is 0, since dropout needs a purchase."""
    count, last, age = _three(x, t_x, T)
    odds = (params.r + count) * (np.log(params.alpha + age) - np.log(params.alpha + last))
    odds += np.log(params.a) - np.log(params.b + np.maximum(count, 1.0) - 1)
    return np.where(count > 0, np.exp(-np.logaddexp(0.0, odds)), 1.0)


def expected_purchases(
    params: BgNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Expected repeat purchases in (T, T + horizon] given the history (eq. 10); finite at a = 1 too."""
    count, _, age = _three(x, t_x, T)
    (counts, ages), pair = distinct_pairs(count, age)
    return p_alive(params, x=x, t_x=t_x, T=T) * _moments(params, x=counts, T=ages, horizon=horizon)[0][pair]


def purchase_variance(
    params: BgNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Predictive variance of the purchases in (T, T + horizon], the parameters taken as known."""
    count, _, age = _three(x, t_x, T)
    (counts, ages), pair = distinct_pairs(count, age)
    mean, falling = _moments(params, x=counts, T=ages, horizon=horizon)
    alive = p_alive(params, x=x, t_x=t_x, T=T)
    expected = alive * mean[pair]
    return np.maximum(alive * falling[pair] + expected - expected**2, 0.0)


def expected_for_new(params: BgNbdParams, *, t: ArrayLike) -> Floats:
    """Expected repeat purchases of a new customer in (0, t] (eq. 9), for each t."""
    times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    nothing = np.zeros(1)
    return np.array([_moments(params, x=nothing, T=nothing, horizon=h)[0][0] for h in times.tolist()])


def probability_of_any_purchase(
    params: BgNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Probability of at least one purchase in (T, T + horizon]: alive, and the next one comes in time."""
    count, _, age = _three(x, t_x, T)
    in_time = -np.expm1(-(params.r + count) * np.log1p(horizon / (params.alpha + age)))
    return p_alive(params, x=x, t_x=t_x, T=T) * in_time


def draw_future_purchases(
    params: BgNbdParams,
    *,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    horizon: float,
    rng: np.random.Generator,
    n_draws: int,
) -> Ints:
    """Draws ``(n_draws, n)`` of the purchases in (T, T + horizon], exact by conjugacy.

    Given alive at T, lambda ~ Gamma(r + x, alpha + T) and p ~ Beta(a, b + x), independent; purchases are the
    smaller of a Poisson(lambda * horizon) and the Geometric(p) purchase that would be the last.
    """
    count, _, age = _three(x, t_x, T)
    shape = (n_draws, count.size)
    alive = rng.random(shape) < p_alive(params, x=x, t_x=t_x, T=T)
    rate = rng.gamma(params.r + count, horizon / (params.alpha + age), size=shape)
    wanted = rng.poisson(np.minimum(rate, _LARGEST_COUNT))
    last = rng.geometric(np.maximum(rng.beta(params.a, params.b + count, size=shape), _LEAST_CHANCE))
    return np.where(alive, np.minimum(wanted, last), 0).astype(np.int64, copy=False)


def simulate(params: BgNbdParams, *, T: ArrayLike, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Histories ``x, t_x`` of customers observed for ``T`` after their first purchase, from the model."""
    age = np.atleast_1d(np.asarray(T, dtype=np.float64))
    wanted = rng.poisson(rng.gamma(params.r, age / params.alpha))
    last = rng.geometric(np.maximum(rng.beta(params.a, params.b, size=age.size), _LEAST_CHANCE))
    count = np.minimum(wanted, last)
    position = rng.beta(np.maximum(count, 1), np.maximum(wanted - count, 0) + 1)
    return count.astype(np.float64), np.where(count > 0, age * position, 0.0)


def _moments(params: BgNbdParams, *, x: Floats, T: Floats, horizon: float) -> tuple[Floats, Floats]:
    """E[Y] and E[Y(Y-1)] of the purchases Y in the horizon, given alive at T."""
    mean, falling = np.empty_like(x), np.empty_like(x)
    for part in chunks(x.size):
        r = (params.r + x[part])[:, None]
        reach = (horizon / (params.alpha + T[part]))[:, None]
        p, stays, weight = beta_nodes(np.full(x[part].size, params.a), b=params.b + x[part])
        log_grown = np.log1p(p * reach)
        mean[part] = (weight * -np.expm1(-r * log_grown) / p).sum(axis=1)
        falling[part] = (
            2
            * (weight * stays * _second(p * reach, r=r, log_grown=log_grown)).sum(axis=1)
            * (reach[:, 0] ** 2)
        )
    return mean, falling


def _second(y: Floats, *, r: Floats, log_grown: Floats) -> Floats:
    """``[1 - (1+y)^-r - r y (1+y)^-(r+1)] / y^2``, by its series where that cancels."""
    safe = np.maximum(y, 1e-150)
    direct = (-np.expm1(-r * log_grown) - r * y * np.exp(-(r + 1) * log_grown)) / safe / safe
    series, term = np.zeros_like(direct), np.broadcast_to(r * (r + 1), y.shape)
    small = np.minimum(y, 1e-2 / (r + 8))
    for k in range(8):
        series = series + term / (k + 2)
        term = -term * small * (r + 2 + k) / (k + 1)
    return np.where(y * (r + 8) < 1e-2, series, direct)


def _three(x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> tuple[Floats, Floats, Floats]:
    rows = RfmRows.of(*np.broadcast_arrays(np.atleast_1d(x)), t_x=np.atleast_1d(t_x), T=np.atleast_1d(T))
    return rows.x, rows.t_x, rows.T


def _starts(rows: RfmRows) -> list[Floats]:
    """Shape and rate by moments of the counts, then rounder guesses; time is in units of its mean."""
    mean = max(rows.n_purchases / rows.n_users, 1e-3)
    spread = dot(rows.weights, (rows.x - mean) ** 2) / rows.n_users
    r = float(np.clip(mean**2 / max(spread - mean, 0.05 * mean), 0.1, 10.0))
    return [
        np.log([r, r / (rise * mean), a, b])
        for rise, a, b in ((1.5, 1.0, 3.0), (1.1, 0.3, 3.0), (4.0, 2.0, 2.0), (1.5, 0.1, 0.2))
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Design:
    """Rows as tables of distinct x, t_x and T: logarithms are taken once per table entry, not per row."""

    users_by_x: Floats
    users_by_age: Floats
    purchases_by_age: Floats
    T: Floats
    t_x: Floats
    which_age: Ints
    which_last: Ints
    x: Ints
    weights: Floats

    @classmethod
    def of(cls, rows: RfmRows) -> _Design:
        """Repeat buyers keep their rows; everything else needs sums only."""
        ages, which_age = distinct(rows.T)
        again = rows.x > 0
        lasts, which_last = distinct(rows.t_x[again]) if again.any() else (np.zeros(0), np.zeros(0, np.int64))
        return cls(
            users_by_x=totals(rows.x.astype(np.int64), rows.weights),
            users_by_age=totals(which_age, rows.weights),
            purchases_by_age=totals(which_age, rows.weights * rows.x),
            T=ages,
            t_x=lasts,
            which_age=which_age[again],
            which_last=which_last,
            x=rows.x[again].astype(np.int64),
            weights=rows.weights[again],
        )


def _evaluate(point: Floats, *, design: _Design) -> Evaluation:
    """Value, gradient and Hessian by ``(r, alpha, a, b)``.

    log L = log (r)_x + r log alpha - (r+x) log(alpha+T) + log (b)_x - log (a+b)_x + log(1 + e^u), where
    (c)_x is the rising factorial and the last term is there for x > 0 only:
    u = log a - log(b+x-1) + (r+x) log[(alpha+T)/(alpha+t_x)].
    """
    r, alpha, a, b = point.tolist()
    value, gradient, hessian = _everyone(r, alpha, a, b, design=design)
    log_T, log_t = np.log(alpha + design.T), np.log(alpha + design.t_x)
    by_T, by_t = 1 / (alpha + design.T), 1 / (alpha + design.t_x)
    before = b + np.arange(design.users_by_x.size) - 1.0
    before[0] = 1.0
    offset, slope = np.log(a) - np.log(before), -1 / before
    for part in chunks(design.x.size, size=_ROWS):
        x, weight = design.x[part], design.weights[part]
        when_T, when_t = design.which_age[part], design.which_last[part]
        log_ratio = log_T[when_T] - log_t[when_t]
        inv_T, inv_t = by_T[when_T], by_t[when_t]
        gap = inv_T - inv_t
        power = r + x
        u = offset[x] + power * log_ratio
        shrunk = np.exp(-np.abs(u))
        value += dot(weight, np.maximum(u, 0.0) + np.log1p(shrunk))
        dead = weight * np.where(u >= 0, 1.0, shrunk) / (1 + shrunk)
        unsure = dead * np.where(u >= 0, shrunk, 1.0) / (1 + shrunk)
        score = np.stack([log_ratio, power * gap, np.full_like(u, 1 / a), slope[x]])
        gradient += np.einsum("in,n->i", score, dead)
        hessian += np.einsum("in,jn->ij", score * unsure, score)
        crossed = dot(dead, gap)
        hessian[0, 1] += crossed
        hessian[1, 0] += crossed
        hessian[1, 1] -= dot(dead, score[1] * (inv_T + inv_t))
        hessian[2, 2] -= float(dead.sum()) / a**2
        hessian[3, 3] += dot(dead, score[3] ** 2)
    return Evaluation(value=float(value), gradient=gradient, hessian=hessian)


def _everyone(r: float, alpha: float, a: float, b: float, *, design: _Design) -> tuple[float, Floats, Floats]:
    """The part of the log-likelihood that is linear in tables: no row is looked at."""
    n = float(design.users_by_x.sum())
    in_r, in_b, in_ab = (rising(design.users_by_x, start=c) for c in (r, b, a + b))
    exposure = r * design.users_by_age + design.purchases_by_age
    log_T, by_T = np.log(alpha + design.T), 1 / (alpha + design.T)
    value = in_r[0] + in_b[0] - in_ab[0] + n * r * np.log(alpha) - dot(exposure, log_T)
    g_r = in_r[1] + n * np.log(alpha) - dot(design.users_by_age, log_T)
    g_alpha = n * r / alpha - dot(exposure, by_T)
    cross = n / alpha - dot(design.users_by_age, by_T)
    bend = dot(exposure, by_T**2) - n * r / alpha**2
    gradient = np.array([g_r, g_alpha, -in_ab[1], in_b[1] - in_ab[1]])
    hessian = np.zeros((4, 4))
    hessian[:2, :2] = [[in_r[2], cross], [cross, bend]]
    hessian[2:, 2:] = -in_ab[2]
    hessian[3, 3] += in_b[2]
    return value, gradient, hessian
