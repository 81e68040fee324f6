"""Pareto/NBD: how many purchases a customer makes who may leave, unseen, at any moment.

Schmittlein, Morrison & Colombo (1987), Counting Your Customers, Management Science 33(1). While alive a
customer buys at rate lambda ~ Gamma(r, alpha); he leaves at rate mu ~ Gamma(s, beta).

The likelihood is usually written with differences of hypergeometric functions, which cancel. Asking instead
which comes first, the end or the next purchase, gives a sum of two positive integrals (``log_tail``)::

    L = G { s int_{t_x}^inf (alpha+u)^-(r+x) (beta+u)^-(s+1) du
            + (r+x) int_T^inf (alpha+u)^-(r+x+1) (beta+u)^-s du }

with G = Gamma(r+x)/Gamma(r) alpha^r beta^s. The first depends on (x, t_x) only, the second on (x, T) only, so
they are computed once for each distinct pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from headwater.numerics.either_first import PairedRows, mix
from headwater.numerics.maximize import Box, Evaluation, Fit, Objective, in_logs, maximize
from headwater.numerics.quadrature import LogTail, log_tail, unit_nodes
from headwater.numerics.rfm import Floats, Ints, RfmRows, distinct, distinct_pairs, dot, rising

__all__ = [
    "ParetoNbdParams",
    "by_logs",
    "draw_future_purchases",
    "expected_for_new",
    "expected_purchases",
    "fit",
    "log_likelihood",
    "p_alive",
    "probability_of_any_purchase",
    "purchase_variance",
    "simulate",
    "slopes_by_time",
]

NAMES: Final = ("r", "alpha", "s", "beta")
_BOX: Final = Box(names=NAMES, low=np.log([1e-4, 1e-6, 1e-4, 1e-6]), high=np.log([1e4, 1e6, 1e4, 1e6]))
_LARGEST_COUNT = 1e15
_LEAST_RATE = 1e-300
_NODE, _NODE_WEIGHT = unit_nodes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoNbdParams:
    """``r, alpha``: Gamma shape and rate of buying; ``s, beta``: of leaving; alpha, beta in time units."""

    r: float
    alpha: float
    s: float
    beta: float

    def rescale(self, factor: float) -> ParetoNbdParams:
        """The same model in another unit of time: weeks become days with ``factor=7``."""
        return ParetoNbdParams(r=self.r, alpha=self.alpha * factor, s=self.s, beta=self.beta * factor)

    def as_array(self) -> Floats:
        """``(4,)`` in written order."""
        return np.array([self.r, self.alpha, self.s, self.beta])


def log_likelihood(params: ParetoNbdParams, *, rows: RfmRows) -> float:
    """Weighted log-likelihood of the rows."""
    return _evaluate(params.as_array(), rows=PairedRows.of(rows)).value


def slopes_by_time(params: ParetoNbdParams, *, rows: RfmRows) -> tuple[Floats, Floats]:
    """Derivatives of each row's log-likelihood by ``t_x`` and by ``T``, ``(n,)`` each; never positive."""
    ended, bought = _tails(params, rows=rows)
    both = np.logaddexp(ended, bought)
    r, alpha, s, beta = params.as_array().tolist()
    by_last = math.log(s) - (r + rows.x) * np.log(alpha + rows.t_x) - (s + 1) * np.log(beta + rows.t_x)
    by_age = np.log(r + rows.x) - (r + rows.x + 1) * np.log(alpha + rows.T) - s * np.log(beta + rows.T)
    return -np.exp(by_last - both), -np.exp(by_age - both)


def fit(rows: RfmRows, *, start: ParetoNbdParams | None = None) -> Fit[ParetoNbdParams]:
    """Maximum-likelihood estimates, the same in any unit of time; ``Fit`` says how to read the diagnosis.

    ``start`` is where the climb begins, such as the estimate of a bootstrap; without it, at moments.
    """
    scale = rows.mean_age
    scaled = rows.in_units_of(scale)
    known = [] if start is None else [np.log(start.rescale(1 / scale).as_array())]
    top = maximize(by_logs(scaled), starts=[*known, *_starts(scaled)], box=_BOX)
    r, alpha, s, beta = np.exp(top.point).tolist()
    return Fit(
        params=ParetoNbdParams(r=r, alpha=alpha, s=s, beta=beta),
        names=NAMES,
        log_likelihood=top.value,
        covariance=top.covariance,
        converged=top.converged,
        iterations=top.iterations,
        boundary=top.boundary,
        n_users=rows.n_users,
        dimension=rows.n_purchases,
    ).rescale(scale)


def by_logs(rows: RfmRows) -> Objective:
    """The log-likelihood of rows with its derivatives, by the logarithms of the parameters in written order."""
    paired = PairedRows.of(rows)

    def objective(logs: Floats) -> Evaluation:
        point = np.exp(logs)
        return in_logs(_evaluate(point, rows=paired), at=point)

    return objective


def p_alive(params: ParetoNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
    """Probability that a customer has not left by T."""
    rows = RfmRows.of(np.atleast_1d(x), t_x=np.atleast_1d(t_x), T=np.atleast_1d(T))
    ended, bought = _tails(params, rows=rows)
    still = -(params.r + rows.x) * np.log(params.alpha + rows.T) - params.s * np.log(params.beta + rows.T)
    return np.exp(np.minimum(still - np.logaddexp(ended, bought), 0.0))


def expected_purchases(
    params: ParetoNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Expected repeat purchases in (T, T + horizon] given the history; finite at s = 1 too."""
    count, age = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(T, np.float64))
    stay = _mean_stay(np.full_like(age, horizon), s=params.s, beta=params.beta + age)
    rate = (params.r + count) / (params.alpha + age)
    return p_alive(params, x=x, t_x=t_x, T=T) * rate * stay


def purchase_variance(
    params: ParetoNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Predictive variance of the purchases in (T, T + horizon], the parameters taken as known."""
    shape = params.r + np.atleast_1d(np.asarray(x, np.float64))
    ages, which = distinct(np.atleast_1d(np.asarray(T, np.float64)))
    square = _mean_square_stay(horizon, s=params.s, beta=params.beta + ages) / (params.alpha + ages) ** 2
    alive = p_alive(params, x=x, t_x=t_x, T=T)
    expected = expected_purchases(params, x=x, t_x=t_x, T=T, horizon=horizon)
    return np.maximum(alive * shape * (shape + 1) * square[which] + expected - expected**2, 0.0)


def expected_for_new(params: ParetoNbdParams, *, t: ArrayLike) -> Floats:
    """Expected repeat purchases of a new customer in (0, t], for each t."""
    times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    return params.r / params.alpha * _mean_stay(times, s=params.s, beta=np.full_like(times, params.beta))


def probability_of_any_purchase(
    params: ParetoNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Probability of a purchase in (T, T + horizon]: the next one comes before the end and in time."""
    rows = RfmRows.of(np.atleast_1d(x), t_x=np.atleast_1d(t_x), T=np.atleast_1d(T))
    ended, bought = _tails(params, rows=rows)
    power = params.r + rows.x
    later = np.log(power) + _tail_of_pairs(rows.x, rows.T + horizon, _bought(params.as_array()))
    return np.exp(bought - np.logaddexp(ended, bought)) * -np.expm1(np.minimum(later - bought, 0.0))


def draw_future_purchases(
    params: ParetoNbdParams,
    *,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    horizon: float,
    rng: np.random.Generator,
    n_draws: int,
) -> Ints:
    """Draws ``(n_draws, n)`` of the purchases in (T, T + horizon], exact by conjugacy.

    Given alive at T, lambda ~ Gamma(r + x, alpha + T) and mu ~ Gamma(s, beta + T), independent; purchases are
    Poisson(lambda * min(horizon, remaining life)), remaining life exponential at rate mu.
    """
    count, age = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(T, np.float64))
    shape = (n_draws, count.size)
    alive = rng.random(shape) < p_alive(params, x=x, t_x=t_x, T=T)
    rate = rng.gamma(params.r + count, 1 / (params.alpha + age), size=shape)
    stay = np.minimum(_lifetimes(params.s, beta=params.beta + age, rng=rng, shape=shape), horizon)
    wanted = rng.poisson(np.minimum(rate * stay, _LARGEST_COUNT))
    return np.where(alive, wanted, 0).astype(np.int64, copy=False)


def simulate(params: ParetoNbdParams, *, T: ArrayLike, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Histories ``x, t_x`` of customers observed for ``T`` after their first purchase, from the model."""
    age = np.atleast_1d(np.asarray(T, dtype=np.float64))
    end = _lifetimes(params.s, beta=np.full_like(age, params.beta), rng=rng, shape=age.shape)
    seen = np.minimum(age, end)
    count = rng.poisson(rng.gamma(params.r, seen / params.alpha))
    position = rng.random(age.size) ** (1 / np.maximum(count, 1))
    return count.astype(np.float64), np.where(count > 0, seen * position, 0.0)


def _lifetimes(s: float, *, beta: Floats, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    rate = rng.gamma(s, 1 / beta, size=shape)
    return rng.exponential(size=shape) / np.maximum(rate, _LEAST_RATE)


def _mean_stay(horizon: Floats, *, s: float, beta: Floats) -> Floats:
    """E[min(horizon, D)] for D with P(D > d) = (beta / (beta + d))^s."""
    log_grown = np.log1p(horizon / beta)
    return beta * log_grown * _mean_growth((1 - s) * log_grown)


def _mean_square_stay(horizon: float, *, s: float, beta: Floats) -> Floats:
    """E[min(horizon, D)^2] = 2 beta^2 l int_0^1 e^{(1-s) l v} (e^{l v} - 1) dv, l = log(1 + horizon/beta)."""
    span = np.log1p(horizon / beta)
    low, high = (1 - s) * span, (2 - s) * span
    smooth = np.minimum(np.abs(low), np.abs(high)) <= 1
    v = span[:, None] * _NODE
    calm = np.where(smooth, 1 - s, 0.0)[:, None]
    summed = (_NODE_WEIGHT * np.exp(calm * v) * np.expm1(v)).sum(axis=1)
    divisor = np.where(smooth, 1.0, low * high)
    closed = span * (np.exp(low) * (low * _mean_growth(span) - 1) + 1) / divisor
    return 2 * beta**2 * span * np.where(smooth, summed, closed)


def _mean_growth(rate: Floats) -> Floats:
    """Integral of e^(rate v) over v from 0 to 1."""
    safe = np.where(rate == 0, 1.0, rate)
    return np.where(rate == 0, 1.0, np.expm1(safe) / safe)


def _starts(rows: RfmRows) -> list[Floats]:
    """Shape and rate by moments of the counts, then rounder guesses; time is in units of its mean."""
    mean = max(rows.n_purchases / rows.n_users, 1e-3)
    spread = dot(rows.weights, (rows.x - mean) ** 2) / rows.n_users
    r = float(np.clip(mean**2 / max(spread - mean, 0.05 * mean), 0.1, 10.0))
    return [
        np.log([r, r / (rise * mean), s, beta])
        for rise, s, beta in ((1.5, 0.6, 0.6), (1.1, 0.5, 3.0), (4.0, 0.1, 0.01), (1.0, 2.0, 20.0))
    ]


TailOfPairs = Callable[[Floats, Floats, bool], LogTail]


def _ended(point: Floats) -> TailOfPairs:
    r, alpha, s, beta = point.tolist()

    def tail(x: Floats, t: Floats, derivatives: bool) -> LogTail:
        q = np.full_like(t, s + 1)
        return log_tail(r + x, alpha=alpha, q=q, beta=beta, t=t, derivatives=derivatives)

    return tail


def _bought(point: Floats) -> TailOfPairs:
    r, alpha, s, beta = point.tolist()

    def tail(x: Floats, t: Floats, derivatives: bool) -> LogTail:
        q = np.full_like(t, s)
        return log_tail(r + x + 1, alpha=alpha, q=q, beta=beta, t=t, derivatives=derivatives)

    return tail


def _tail_of_pairs(x: Floats, t: Floats, tail: TailOfPairs) -> Floats:
    (count, time), pair = distinct_pairs(x, t)
    return tail(count, time, False).value[pair]


def _tails(params: ParetoNbdParams, *, rows: RfmRows) -> tuple[Floats, Floats]:
    """Logarithms of the two terms of the likelihood: the end came first, the next purchase came first."""
    point = params.as_array()
    ended = math.log(params.s) + _tail_of_pairs(rows.x, rows.t_x, _ended(point))
    bought = np.log(params.r + rows.x) + _tail_of_pairs(rows.x, rows.T, _bought(point))
    return ended, bought


def _evaluate(point: Floats, *, rows: PairedRows) -> Evaluation:
    """Value, gradient and Hessian by ``(r, alpha, s, beta)``."""
    r, alpha, s, beta = point.tolist()
    ended, bought = _both(point, rows=rows)
    n = float(rows.users_by_x.sum())
    in_r = rising(rows.users_by_x, start=r)
    value = in_r[0] + n * (r * math.log(alpha) + s * math.log(beta))
    gradient = np.array([in_r[1] + n * math.log(alpha), n * r / alpha, n * math.log(beta), n * s / beta])
    hessian = np.diag([in_r[2], -n * r / alpha**2, 0.0, -n * s / beta**2])
    hessian[0, 1] = hessian[1, 0] = n / alpha
    hessian[2, 3] = hessian[3, 2] = n / beta
    mixed = mix(ended, bought, rows=rows)
    return Evaluation(
        value=float(value) + mixed.value,
        gradient=gradient + mixed.gradient,
        hessian=hessian + mixed.hessian,
    )


def _both(point: Floats, *, rows: PairedRows) -> tuple[LogTail, LogTail]:
    """Both terms with derivatives, side by side on two threads; neither depends on the other."""
    with ThreadPoolExecutor(max_workers=1) as aside:
        waiting = aside.submit(_ended(point), *rows.last, True)
        bought = _bought(point)(*rows.age, True)
        ended = waiting.result()
    r, s = float(point[0]), float(point[2])
    power = r + rows.age[0]
    _add_log(ended, of=np.full_like(rows.last[0], s), row=2)
    _add_log(bought, of=power, row=0)
    return ended, bought


def _add_log(tail: LogTail, *, of: Floats, row: int) -> None:
    tail.value[:] += np.log(of)
    tail.gradient[row] += 1 / of
    tail.hessian[row, row] -= of**-2.0
