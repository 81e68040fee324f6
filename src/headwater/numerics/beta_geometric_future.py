"""What BG/NBD and its relatives say of customers: who is alive, what is to come, and draws of it.

Given alive at T with x repeats, p ~ Beta(a, b + chances) and, given that j phases of the running gap are over,
lambda ~ Gamma(r + kx + j, alpha + T), independent: everything below is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from headwater.numerics.beta_geometric import BetaGeometricParams
from headwater.numerics.erlang import chance_of_phases, mean_purchases, phase_shares
from headwater.numerics.quadrature import beta_nodes, chunks
from headwater.numerics.rfm import Floats, Ints, RfmRows, distinct_pairs

__all__ = [
    "draw_future_purchases",
    "expected_for_new",
    "expected_purchases",
    "p_alive",
    "probability_of_any_purchase",
    "purchase_variance",
    "simulate",
]

_LARGEST_COUNT = 1e15
_LEAST_CHANCE = 1e-300


def p_alive(params: BetaGeometricParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
    """Probability of not having dropped out by T; 1 where there was no chance to (BG/NBD: ``x`` is 0)."""
    return _alive(params, rows=_rows(x, t_x, T))[0]


def expected_purchases(
    params: BetaGeometricParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Expected repeat purchases in (T, T + horizon] given the history; finite at a = 1 too."""
    rows = _rows(x, t_x, T)
    alive, share = _alive(params, rows=rows)
    (counts, ages), pair = distinct_pairs(rows.x, rows.T)
    power, reach = params.r + params.phases * counts, horizon / (params.alpha + ages)
    later = params.b + counts + params.at_first
    given_alive = np.zeros_like(alive)
    for j in range(params.phases):
        mean = mean_purchases(power + j, reach=reach, a=params.a, b=later, phases=params.phases, over=j)
        given_alive += share[j] * mean[pair]
    return alive * given_alive


def purchase_variance(
    params: BetaGeometricParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Predictive variance of the purchases of Poisson buyers in (T, T + horizon], the parameters taken as known."""
    rows = _rows(x, t_x, T)
    (counts, ages), pair = distinct_pairs(rows.x, rows.T)
    falling = _falling(params, x=counts, T=ages, horizon=horizon)
    expected = expected_purchases(params, x=x, t_x=t_x, T=T, horizon=horizon)
    return np.maximum(_alive(params, rows=rows)[0] * falling[pair] + expected - expected**2, 0.0)


def expected_for_new(params: BetaGeometricParams, *, t: ArrayLike) -> Floats:
    """Expected repeat purchases of a new customer in (0, t], for each t."""
    times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    return np.array([expected_purchases(params, x=0, t_x=0, T=0, horizon=h)[0] for h in times.tolist()])


def probability_of_any_purchase(
    params: BetaGeometricParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Probability of at least one purchase in (T, T + horizon]: alive, and the next one comes in time."""
    rows = _rows(x, t_x, T)
    alive, share = _alive(params, rows=rows)
    power, reach = params.r + params.phases * rows.x, horizon / (params.alpha + rows.T)
    if params.phases == 1:
        return alive * -np.expm1(-power * np.log1p(reach))
    left = range(params.phases)
    in_time = [chance_of_phases(power + j, reach=reach, at_least=params.phases - j) for j in left]
    return alive * np.minimum((share * np.stack(in_time)).sum(axis=0), 1.0)


def draw_future_purchases(
    params: BetaGeometricParams,
    *,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    horizon: float,
    rng: np.random.Generator,
    n_draws: int,
) -> Ints:
    """Draws ``(n_draws, n)`` of the purchases in (T, T + horizon], exact by conjugacy.

    Phases are Poisson(lambda * horizon) and join those of the running gap; purchases are the smaller of the gaps
    they fill and the Geometric(p) purchase that would be the last.
    """
    rows = _rows(x, t_x, T)
    shape = (n_draws, rows.x.size)
    p, share = _alive(params, rows=rows)
    alive = rng.random(shape) < p
    over = _draw_phase(share, shape=shape, rng=rng)
    rate = rng.gamma(params.r + params.phases * rows.x + over, horizon / (params.alpha + rows.T), size=shape)
    wanted = (rng.poisson(np.minimum(rate, _LARGEST_COUNT)) + over) // params.phases
    leaves = rng.beta(params.a, params.b + rows.x + params.at_first, size=shape)
    last = rng.geometric(np.maximum(leaves, _LEAST_CHANCE))
    return np.where(alive, np.minimum(wanted, last), 0).astype(np.int64, copy=False)


def simulate(params: BetaGeometricParams, *, T: ArrayLike, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Histories ``x, t_x`` of customers observed for ``T`` after their first purchase, from the model."""
    age = np.atleast_1d(np.asarray(T, dtype=np.float64))
    passed = rng.poisson(rng.gamma(params.r, age / params.alpha))
    chance = np.maximum(rng.beta(params.a, params.b, size=age.size), _LEAST_CHANCE)
    count = np.minimum(passed // params.phases, rng.geometric(chance) - params.at_first)
    place = params.phases * count
    position = rng.beta(np.maximum(place, 1), np.maximum(passed - place, 0) + 1)
    return count.astype(np.float64), np.where(count > 0, age * position, 0.0)


def _alive(params: BetaGeometricParams, *, rows: RfmRows) -> tuple[Floats, Floats]:
    """P(alive) ``(n,)``, and the chance of each number of phases over given alive, ``(k, n)``."""
    power = params.r + params.phases * rows.x
    grown = params.alpha + rows.T
    log_still, share = phase_shares(power, silence=(rows.T - rows.t_x) / grown, phases=params.phases)
    chances = rows.x + params.at_first
    odds = power * (np.log(grown) - np.log(params.alpha + rows.t_x)) - log_still
    odds += np.log(params.a) - np.log(params.b + np.maximum(chances, 1.0) - 1)
    return np.where(chances > 0, np.exp(-np.logaddexp(0.0, odds)), 1.0), share


def _draw_phase(share: Floats, *, shape: tuple[int, int], rng: np.random.Generator) -> Ints:
    """Phases of the running gap that are over; Poisson buyers have none, and no random number is spent on them."""
    if share.shape[0] == 1:
        return np.zeros(shape[1], dtype=np.int64)
    uniform = rng.random(shape)
    over = np.zeros(shape, dtype=np.int64)
    for bound in share.cumsum(axis=0)[:-1]:
        over += uniform > bound
    return over


def _falling(params: BetaGeometricParams, *, x: Floats, T: Floats, horizon: float) -> Floats:
    """E[Y(Y-1)] of the purchases Y of Poisson buyers in the horizon, given alive at T."""
    falling = np.empty_like(x)
    for part in chunks(x.size):
        r = (params.r + x[part])[:, None]
        reach = (horizon / (params.alpha + T[part]))[:, None]
        b = params.b + x[part] + params.at_first
        p, stays, weight = beta_nodes(np.full(b.size, params.a), b=b)
        second = _second(p * reach, r=r, log_grown=np.log1p(p * reach))
        falling[part] = 2 * (weight * stays * second).sum(axis=1) * reach[:, 0] ** 2
    return falling


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


def _rows(x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> RfmRows:
    return RfmRows.of(np.atleast_1d(x), t_x=np.atleast_1d(t_x), T=np.atleast_1d(T))
