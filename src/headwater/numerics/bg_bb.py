"""BG/BB: how often a customer takes one of many equal opportunities, such as a day, before he leaves unseen.

Fader, Hardie & Shang (2010), Customer-Base Analysis in a Discrete-Time Noncontractual Setting, Marketing Science
29(6). At each of n opportunities a customer who is still there buys with chance p ~ Beta(alpha, beta); before each
he leaves for good with chance theta ~ Beta(gamma, delta). x counts the opportunities taken, t_x is the last of
them, T is n.

The two terms of ``either_first`` are sums over opportunities i of positive terms, cut at N after all that is seen::

    L = sum over t_x <= i < N of P(x, and gone right after i) + [ sum over T <= i < N of P(x, then bought at i+1)
        + P(x, and still there at N) ]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from headwater.core.errors import DataError
from headwater.numerics.either_first import PairedRows, mix
from headwater.numerics.maximize import Box, Evaluation, Fit, in_logs, maximize
from headwater.numerics.opportunities import bought_tails, ended_tails, log_there
from headwater.numerics.rfm import Floats, Ints, RfmRows, distinct, distinct_pairs

__all__ = [
    "BgBbParams",
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

NAMES: Final = ("alpha", "beta", "gamma", "delta")
_BOX: Final = Box(names=NAMES, low=np.log([1e-5] * 4), high=np.log([1e5] * 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class BgBbParams:
    """``alpha, beta``: Beta of taking an opportunity; ``gamma, delta``: Beta of leaving before one."""

    alpha: float
    beta: float
    gamma: float
    delta: float

    def rescale(self, factor: float) -> BgBbParams:
        """The same: an opportunity has no other unit."""
        del factor
        return self

    def as_array(self) -> Floats:
        """``(4,)`` in written order."""
        return np.array([self.alpha, self.beta, self.gamma, self.delta])


def log_likelihood(params: BgBbParams, *, rows: RfmRows) -> float:
    """Weighted log-likelihood of the rows."""
    _require_opportunities(rows)
    return _evaluate(params.as_array(), rows=PairedRows.of(rows)).value


def fit(rows: RfmRows, *, start: BgBbParams | None = None) -> Fit[BgBbParams]:
    """Maximum-likelihood estimates; ``Fit`` says how to read the diagnosis.

    ``start`` is where the climb begins, such as the estimate of a bootstrap. Raises ``DataError`` where time is not in
    whole opportunities (``rfm.not_opportunities``) or nobody was observed for one (``rfm.no_time``).
    """
    _require_opportunities(rows)
    taken = rows.n_purchases / (rows.n_users * rows.mean_age)
    paired = PairedRows.of(rows)

    def objective(logs: Floats) -> Evaluation:
        point = np.exp(logs)
        return in_logs(_evaluate(point, rows=paired), at=point)

    known = [] if start is None else [np.log(start.as_array())]
    top = maximize(objective, starts=[*known, *_starts(taken, age=rows.mean_age)], box=_BOX)
    alpha, beta, gamma, delta = np.exp(top.point).tolist()
    return Fit(
        params=BgBbParams(alpha=alpha, beta=beta, gamma=gamma, delta=delta),
        names=NAMES,
        log_likelihood=top.value,
        covariance=top.covariance,
        converged=top.converged,
        iterations=top.iterations,
        boundary=top.boundary,
        n_users=rows.n_users,
        dimension=0.0,
    )


def p_alive(params: BgBbParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
    """Probability of being there still at the opportunity after T, as the paper states it."""
    rows = _rows(x, t_x, T)
    stays = (params.delta + rows.T) / (params.gamma + params.delta + rows.T)
    return _there(params, rows=rows) * stays


def expected_purchases(
    params: BgBbParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Expected purchases in the ``horizon`` opportunities after T given the history; a fraction is cut off."""
    rows = _rows(x, t_x, T)
    mean, _ = _stays(params, T=rows.T, horizon=horizon)
    takes = (params.alpha + rows.x) / (params.alpha + params.beta + rows.T)
    return _there(params, rows=rows) * takes * mean


def purchase_variance(
    params: BgBbParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Predictive variance of the purchases in the opportunities after T, the parameters taken as known."""
    rows = _rows(x, t_x, T)
    mean, pairs = _stays(params, T=rows.T, horizon=horizon)
    shape, size = params.alpha + rows.x, params.alpha + params.beta + rows.T
    there = _there(params, rows=rows)
    expected = there * shape / size * mean
    twice = there * shape * (shape + 1) / (size * (size + 1)) * pairs
    return np.maximum(twice + expected - expected**2, 0.0)


def expected_for_new(params: BgBbParams, *, t: ArrayLike) -> Floats:
    """Expected purchases of a new customer in his first ``t`` opportunities, for each t."""
    times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    return np.array([expected_purchases(params, x=0, t_x=0, T=0, horizon=h)[0] for h in times.tolist()])


def probability_of_any_purchase(
    params: BgBbParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
) -> Floats:
    """Probability of at least one purchase in the ``horizon`` opportunities after T."""
    rows = _rows(x, t_x, T)
    (counts, ages), pair = distinct_pairs(rows.x, rows.T)
    alpha, beta, gamma, delta = params.as_array().tolist()
    chance, log_silent = np.zeros_like(counts), np.zeros_like(counts)
    for j in range(int(horizon)):
        size = alpha + beta + ages + j
        log_there = log_silent + np.log(delta + ages + j) - np.log(gamma + delta + ages + j)
        chance += np.exp(log_there) * (alpha + counts) / size
        log_silent = log_there + np.log(beta + ages - counts + j) - np.log(size)
    return _there(params, rows=rows) * np.minimum(chance, 1.0)[pair]


def draw_future_purchases(
    params: BgBbParams,
    *,
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    horizon: float,
    rng: np.random.Generator,
    n_draws: int,
) -> Ints:
    """Draws ``(n_draws, n)`` of the purchases in the opportunities after T, exact by conjugacy.

    Given there at T, p ~ Beta(alpha + x, beta + T - x) and theta ~ Beta(gamma, delta + T), independent; purchases are
    Binomial(p) over the opportunities before he leaves.
    """
    rows = _rows(x, t_x, T)
    shape = (n_draws, rows.x.size)
    there = rng.random(shape) < _there(params, rows=rows)
    takes = rng.beta(params.alpha + rows.x, params.beta + rows.T - rows.x, size=shape)
    stays = _life(params, seen=rows.T, rng=rng, shape=shape, most=int(horizon))
    return np.where(there, rng.binomial(stays, takes), 0).astype(np.int64, copy=False)


def simulate(params: BgBbParams, *, T: ArrayLike, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Histories ``x, t_x`` of customers given ``T`` opportunities after their first purchase, from the model."""
    age = np.atleast_1d(np.asarray(T, dtype=np.int64))
    takes = rng.beta(params.alpha, params.beta, size=age.shape)
    life = _life(params, seen=np.zeros(age.size), rng=rng, shape=age.shape, most=int(age.max()))
    count, last = np.zeros(age.size), np.zeros(age.size)
    for i in range(1, int(age.max()) + 1):
        bought = (rng.random(age.size) < takes) & (i <= np.minimum(age, life))
        count += bought
        last[bought] = i
    return count, last


def _life(
    params: BgBbParams, *, seen: Floats, rng: np.random.Generator, shape: tuple[int, ...], most: int
) -> Ints:
    """Opportunities to come, at most ``most``, before he leaves."""
    theta = np.maximum(rng.beta(params.gamma, params.delta + seen, size=shape), 1e-300)
    return np.minimum(rng.geometric(theta) - 1, most)


def _rows(x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> RfmRows:
    rows = RfmRows.of(np.atleast_1d(x), t_x=np.atleast_1d(t_x), T=np.atleast_1d(T))
    _require_opportunities(rows)
    return rows


def _there(params: BgBbParams, *, rows: RfmRows) -> Floats:
    """Probability of having been there still at T, the last opportunity seen."""
    paired = PairedRows.of(rows)
    point, n = params.as_array(), _beyond(paired)
    ended = ended_tails(point, pairs=paired.last, n=n, derivatives=False).value[paired.which_last]
    bought = bought_tails(point, pairs=paired.age, n=n, derivatives=False).value[paired.which_age]
    return np.exp(np.minimum(log_there(point, x=rows.x, T=rows.T) - np.logaddexp(ended, bought), 0.0))


def _stays(params: BgBbParams, *, T: Floats, horizon: float) -> tuple[Floats, Floats]:
    """Mean number of opportunities before he leaves, and of ordered pairs of them, given there at T."""
    ages, which = distinct(T)
    mean, pairs, log_there = np.zeros_like(ages), np.zeros_like(ages), np.zeros_like(ages)
    for j in range(int(horizon)):
        log_there += np.log(params.delta + ages + j) - np.log(params.gamma + params.delta + ages + j)
        there = np.exp(log_there)
        mean += there
        pairs += 2 * j * there
    return mean[which], pairs[which]


def _starts(taken: float, *, age: float) -> list[Floats]:
    """The share of opportunities taken, for customers who differ, and lives about as long as seen."""
    share = float(np.clip(taken, 1e-4, 0.9))
    return [
        np.log([size * rise * share, size, gamma, gamma * lives * age])
        for rise, size, gamma, lives in ((2.0, 1.0, 0.6, 1.0), (1.2, 10.0, 0.5, 4.0), (4.0, 3.0, 1.0, 0.3))
    ]


def _beyond(rows: PairedRows) -> int:
    return int(rows.age[1].max()) + 1


def _evaluate(point: Floats, *, rows: PairedRows) -> Evaluation:
    """Value, gradient and Hessian by ``(alpha, beta, gamma, delta)``."""
    n = _beyond(rows)
    return mix(ended_tails(point, pairs=rows.last, n=n), bought_tails(point, pairs=rows.age, n=n), rows=rows)


def _require_opportunities(rows: RfmRows) -> None:
    good = (rows.t_x == np.floor(rows.t_x)) & (np.floor(rows.T) == rows.T) & (rows.x <= rows.t_x)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise DataError(
            "rfm.not_opportunities",
            what=f"{int((~good).sum())} rows have times that are not whole opportunities, or more purchases than "
            f"those; the first is row {bad}: x={rows.x[bad]:g}, t_x={rows.t_x[bad]:g}, T={rows.T[bad]:g}.",
            why="The model counts opportunities (days, weeks, years), each of which is taken once or not.",
            do="Count time in whole periods and purchases at most once a period.",
        )
