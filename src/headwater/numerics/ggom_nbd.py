"""GGom/NBD: Pareto/NBD whose customers leave at a rate that grows with the age of the relationship.

Bemmaor & Glady (2012), Modeling Purchasing Behavior with Sudden "Death": A Flexible Customer Lifetime Model,
Management Science 58(5). While alive a customer buys at rate lambda ~ Gamma(r, alpha); his lifetime is Gompertz
with scale b and a chance eta ~ Gamma(s, beta), so that P(alive at t) = (beta / (beta - 1 + e^(bt)))^s over customers.

With D(u) = beta - 1 + e^(bu) and the two terms of ``either_first``::

    L = G { int_{t_x}^inf (alpha+u)^-(r+x) s b e^(bu) D(u)^-(s+1) du
            + (r+x) int_T^inf (alpha+u)^-(r+x+1) D(u)^-s du },    G = (r)_x alpha^r beta^s

As b and beta go to 0 together it becomes Pareto/NBD with scale beta/b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from headwater.numerics.either_first import PairedRows, mix
from headwater.numerics.gompertz import draw_stay, log_tail, mean_stay
from headwater.numerics.maximize import Box, Evaluation, Fit, in_logs, maximize
from headwater.numerics.quadrature import LogTail
from headwater.numerics.rfm import Floats, Ints, RfmRows, distinct, distinct_pairs, rising

__all__ = [
    "GgomNbdParams",
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

NAMES: Final = ("r", "alpha", "b", "s", "beta")
_BOX: Final = Box(
    names=NAMES, low=np.log([1e-4, 1e-6, 1e-8, 1e-4, 1e-10]), high=np.log([1e4, 1e6, 1e3, 1e4, 1e5])
)
_LARGEST_COUNT = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class GgomNbdParams:
    """``r, alpha``: Gamma shape and rate of buying; ``b``: Gompertz scale, in 1/time; ``s, beta``: Gamma of eta."""

    r: float
    alpha: float
    b: float
    s: float
    beta: float

    def rescale(self, factor: float) -> GgomNbdParams:
        """The same model in another unit of time: weeks become days with ``factor=7``."""
        return GgomNbdParams(r=self.r, alpha=self.alpha * factor, b=self.b / factor, s=self.s, beta=self.beta)

    def as_array(self) -> Floats:
        """``(5,)`` in written order."""
        return np.array([self.r, self.alpha, self.b, self.s, self.beta])


def log_likelihood(params: GgomNbdParams, *, rows: RfmRows) -> float:
    """Weighted log-likelihood of the rows."""
    return _evaluate(params.as_array(), rows=PairedRows.of(rows)).value


def fit(rows: RfmRows, *, start: GgomNbdParams | None = None) -> Fit[GgomNbdParams]:
    """Maximum-likelihood estimates, the same in any unit of time; ``Fit`` says how to read the diagnosis.

    ``start`` is where the climb begins, such as the estimate of a bootstrap; without it, at moments.
    """
    scale = rows.mean_age
    scaled = rows.in_units_of(scale)
    paired = PairedRows.of(scaled)

    def objective(logs: Floats) -> Evaluation:
        point = np.exp(logs)
        return in_logs(_evaluate(point, rows=paired), at=point)

    known = [] if start is None else [np.log(start.rescale(1 / scale).as_array())]
    top = maximize(objective, starts=[*known, *_starts(scaled)], box=_BOX)
    r, alpha, b, s, beta = np.exp(top.point).tolist()
    return Fit(
        params=GgomNbdParams(r=r, alpha=alpha, b=b, s=s, beta=beta),
        names=NAMES,
        log_likelihood=top.value,
        covariance=top.covariance,
        converged=top.converged,
        iterations=top.iterations,
        boundary=top.boundary,
        n_users=rows.n_users,
        dimension=rows.n_purchases,
    ).rescale(scale)


def p_alive(params: GgomNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
    """Probability that a customer has not left by T."""
    rows = _rows(x, t_x, T)
    ended, bought = _tails(params, rows=rows)
    still = -(params.r + rows.x) * np.log(params.alpha + rows.T)
    still -= params.s * (params.b * rows.T + np.log(_scaled_end(params, rows.T)))
    return np.exp(np.minimum(still - np.logaddexp(ended, bought), 0.0))


def expected_purchases(
    params: GgomNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Expected repeat purchases in (T, T + horizon] given the history."""
    rows = _rows(x, t_x, T)
    stay, _ = _stays(params, T=rows.T, horizon=horizon)
    return p_alive(params, x=x, t_x=t_x, T=T) * (params.r + rows.x) / (params.alpha + rows.T) * stay


def purchase_variance(
    params: GgomNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Predictive variance of the purchases in (T, T + horizon], the parameters taken as known."""
    rows = _rows(x, t_x, T)
    _, square = _stays(params, T=rows.T, horizon=horizon)
    shape = params.r + rows.x
    alive = p_alive(params, x=x, t_x=t_x, T=T)
    expected = expected_purchases(params, x=x, t_x=t_x, T=T, horizon=horizon)
    twice = alive * shape * (shape + 1) * square / (params.alpha + rows.T) ** 2
    return np.maximum(twice + expected - expected**2, 0.0)


def expected_for_new(params: GgomNbdParams, *, t: ArrayLike) -> Floats:
    """Expected repeat purchases of a new customer in (0, t], for each t."""
    times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    stays = [_stays(params, T=np.zeros(1), horizon=h)[0][0] for h in times.tolist()]
    return params.r / params.alpha * np.array(stays)


def probability_of_any_purchase(
    params: GgomNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Probability of a purchase in (T, T + horizon]: the next one comes before the end and in time."""
    rows = _rows(x, t_x, T)
    ended, bought = _tails(params, rows=rows)
    later = _bought_by_row(params, x=rows.x, T=rows.T + horizon)
    return np.exp(bought - np.logaddexp(ended, bought)) * -np.expm1(np.minimum(later - bought, 0.0))


def draw_future_purchases(
    params: GgomNbdParams,
    *,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    horizon: float,
    rng: np.random.Generator,
    n_draws: int,
) -> Ints:
    """Draws ``(n_draws, n)`` of the purchases in (T, T + horizon], exact.

    Given alive at T, lambda ~ Gamma(r + x, alpha + T), independent of the remaining life, whose chance to exceed v
    is (D(T) / D(T + v))^s; purchases are Poisson(lambda * min(horizon, remaining life)).
    """
    rows = _rows(x, t_x, T)
    shape = (n_draws, rows.x.size)
    alive = rng.random(shape) < p_alive(params, x=x, t_x=t_x, T=T)
    rate = rng.gamma(params.r + rows.x, 1 / (params.alpha + rows.T), size=shape)
    stay = draw_stay(_scaled_end(params, rows.T), b=params.b, s=params.s, rng=rng, shape=shape)
    wanted = rng.poisson(np.minimum(rate * np.minimum(stay, horizon), _LARGEST_COUNT))
    return np.where(alive, wanted, 0).astype(np.int64, copy=False)


def simulate(params: GgomNbdParams, *, T: ArrayLike, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Histories ``x, t_x`` of customers observed for ``T`` after their first purchase, from the model."""
    age = np.atleast_1d(np.asarray(T, dtype=np.float64))
    end = draw_stay(np.full_like(age, params.beta), b=params.b, s=params.s, rng=rng, shape=age.shape)
    seen = np.minimum(age, end)
    count = rng.poisson(rng.gamma(params.r, seen / params.alpha))
    position = rng.random(age.size) ** (1 / np.maximum(count, 1))
    return count.astype(np.float64), np.where(count > 0, seen * position, 0.0)


def _rows(x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> RfmRows:
    return RfmRows.of(np.atleast_1d(x), t_x=np.atleast_1d(t_x), T=np.atleast_1d(T))


def _scaled_end(params: GgomNbdParams, T: Floats) -> Floats:
    """D(T) e^(-bT), without overflow or cancellation."""
    return params.beta * np.exp(-params.b * T) - np.expm1(-params.b * T)


def _stays(params: GgomNbdParams, *, T: Floats, horizon: float) -> tuple[Floats, Floats]:
    """Mean and mean square of min(horizon, remaining life) given alive at T, once for each distinct T."""
    ages, which = distinct(T)
    stay, square = mean_stay(_scaled_end(params, ages), b=params.b, s=params.s, horizon=horizon)
    return stay[which], square[which]


def _starts(rows: RfmRows) -> list[Floats]:
    """Shape and rate by moments of the counts, then lives like Pareto's and truly Gompertz ones."""
    mean = max(rows.n_purchases / rows.n_users, 1e-3)
    spread = float((rows.weights * (rows.x - mean) ** 2).sum()) / rows.n_users
    r = float(np.clip(mean**2 / max(spread - mean, 0.05 * mean), 0.1, 10.0))
    return [
        np.log([r, r / (rise * mean), b, s, beta])
        for rise, b, s, beta in ((1.5, 0.5, 0.6, 0.3), (1.2, 2.0, 0.5, 3.0), (1.5, 0.02, 0.6, 0.01))
    ]


def _ended(point: Floats, *, x: Floats, t: Floats, derivatives: bool) -> LogTail:
    r, alpha, b, s, beta = point.tolist()
    tail = log_tail(
        r + x, alpha=alpha, b=b, s=s, power=np.full_like(t, s + 1), beta=beta, t=t, derivatives=derivatives
    )
    tail.value[:] += math.log(s) + math.log(b)
    if derivatives:
        tail.gradient[3] += 1 / s
        tail.hessian[3, 3] -= 1 / s**2
        tail.gradient[2] += 1 / b
        tail.hessian[2, 2] -= 1 / b**2
    return tail


def _bought(point: Floats, *, x: Floats, t: Floats, derivatives: bool) -> LogTail:
    r, alpha, b, s, beta = point.tolist()
    tail = log_tail(
        r + x + 1, alpha=alpha, b=b, s=s, power=np.full_like(t, s), beta=beta, t=t, derivatives=derivatives
    )
    tail.value[:] += np.log(r + x)
    if derivatives:
        tail.gradient[0] += 1 / (r + x)
        tail.hessian[0, 0] -= 1 / (r + x) ** 2
    return tail


def _bought_by_row(params: GgomNbdParams, *, x: Floats, T: Floats) -> Floats:
    (count, age), pair = distinct_pairs(x, T)
    return _bought(params.as_array(), x=count, t=age, derivatives=False).value[pair]


def _tails(params: GgomNbdParams, *, rows: RfmRows) -> tuple[Floats, Floats]:
    """Logarithms of the two terms of the likelihood by row."""
    (count, last), pair = distinct_pairs(rows.x, rows.t_x)
    ended = _ended(params.as_array(), x=count, t=last, derivatives=False).value[pair]
    return ended, _bought_by_row(params, x=rows.x, T=rows.T)


def _evaluate(point: Floats, *, rows: PairedRows) -> Evaluation:
    """Value, gradient and Hessian by ``(r, alpha, b, s, beta)``."""
    r, alpha, _, s, beta = point.tolist()
    ended = _ended(point, x=rows.last[0], t=rows.last[1], derivatives=True)
    bought = _bought(point, x=rows.age[0], t=rows.age[1], derivatives=True)
    mixed = mix(ended, bought, rows=rows)
    n = float(rows.users_by_x.sum())
    in_r = rising(rows.users_by_x, start=r)
    value = in_r[0] + n * (r * math.log(alpha) + s * math.log(beta))
    gradient = np.array([in_r[1] + n * math.log(alpha), n * r / alpha, 0.0, n * math.log(beta), n * s / beta])
    hessian = np.diag([in_r[2], -n * r / alpha**2, 0.0, 0.0, -n * s / beta**2])
    hessian[0, 1] = hessian[1, 0] = n / alpha
    hessian[3, 4] = hessian[4, 3] = n / beta
    return Evaluation(
        value=float(value) + mixed.value,
        gradient=gradient + mixed.gradient,
        hessian=hessian + mixed.hessian,
    )
