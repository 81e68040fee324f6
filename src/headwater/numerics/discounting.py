"""What purchases to come are worth today: any discounting is a weighted sum of expected counts at a few times.

With E(t) the expected purchases in (T, T + t] and a continuous rate d,

    integral of e^(-d t) dE(t) over (0, H]  =  e^(-d H) E(H) + d * integral of e^(-d t) E(t) dt

so a process needs to say E(t) only, and the integral, itself a small correction, is a sum over few nodes. For
ever, the first term is gone. By period (money at the end of each month) is a sum of differences of E.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headwater.core.errors import UsageError
from headwater.numerics.pareto_nbd import ParetoNbdParams, p_alive
from headwater.numerics.quadrature import unit_nodes
from headwater.numerics.rfm import Floats, RfmRows, compress, distinct, distinct_pairs

__all__ = [
    "Expectation",
    "Schedule",
    "by_period",
    "continuous",
    "discounted_purchases",
    "expected_transactions_for_ever",
    "for_ever",
]

_NODES = 8
_CROWDED = 5.0
_STEP = 0.4
_FROM, _TO = -18.0, 3.6
_TRIED = 64
_SAME = 1e-9

Expectation = Callable[[RfmRows, float], Floats]
"""Expected purchases of each customer in (T, T + horizon]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """Value = ``sum(weights * E(times))``; ``times`` in the unit of the customers, increasing, both ``(k,)``."""

    times: Floats
    weights: Floats


def continuous(rate: float, *, horizon: float, nodes: int = _NODES) -> Schedule:
    """Discounted by ``exp(-rate * time)`` up to ``horizon``; a rate of 0 is no discount.

    The nodes are those of Gauss and Legendre, crowded towards the start, where the expectation bends.
    """
    _require(rate >= 0 and horizon > 0, what=f"a rate of {rate:g} over {horizon:g}")
    u, weight = unit_nodes(nodes)
    grown = math.expm1(_CROWDED)
    times: Floats = horizon * np.expm1(_CROWDED * u) / grown
    pace = horizon * _CROWDED * np.exp(_CROWDED * u) / grown
    inner = rate * weight * pace * np.exp(-rate * times)
    last = [math.exp(-rate * horizon)]
    if rate == 0:
        return Schedule(times=np.array([horizon]), weights=np.array(last))
    return Schedule(times=np.append(times, horizon), weights=np.append(inner, last))


def by_period(rate: float, *, period: float, periods: int) -> Schedule:
    """Purchases of each period at its end, divided by ``(1 + rate)`` once for each period from now."""
    _require(
        rate >= 0 and period > 0 and periods >= 1, what=f"a rate of {rate:g}, {periods} periods of {period:g}"
    )
    number = np.arange(1, periods + 1, dtype=np.float64)
    factor = (1 + rate) ** -number
    return Schedule(times=period * number, weights=factor - np.append(factor[1:], 0.0))


def for_ever(rate: float) -> Schedule:
    """Discounted by ``exp(-rate * time)`` without end: a trapezoid rule in the logarithm of time.

    Raises ``UsageError`` (``value.rate``) without a discount: expected purchases grow without bound.
    """
    _require(rate > 0, what=f"a rate of {rate:g} for ever")
    steps = np.arange(_FROM, _TO + _STEP / 2, _STEP)
    scaled = np.exp(steps)
    return Schedule(times=scaled / rate, weights=_STEP * scaled * np.exp(-scaled))


def discounted_purchases(
    expected: Expectation, *, users: RfmRows, schedule: Schedule, threads: int = 2
) -> Floats:
    """Discounted expected purchases of each customer, ``(n,)``.

    Where the expectation is P(alive) times a function of (x, T), as in BG/NBD, MBG/NBD and Pareto/NBD, the sum
    is taken once for each distinct (x, T); whether it is, is tried on customers. Otherwise once for each history.
    """
    if _splits(expected, users=users, schedule=schedule):
        (x, T), pair = distinct_pairs(users.x, users.T)
        fresh = _just_bought(RfmRows.of(x, t_x=np.zeros_like(x), T=T))
        summed = _summed(expected, fresh, schedule=schedule, threads=threads)
        last = float(schedule.times[-1])
        return expected(users, last) * (summed / np.maximum(expected(fresh, last), 1e-300))[pair]
    rows, inverse = compress(users.x, t_x=users.t_x, T=users.T)
    return _summed(expected, rows, schedule=schedule, threads=threads)[inverse]


def expected_transactions_for_ever(
    params: ParetoNbdParams, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, rate: float
) -> Floats:
    """DERT of Pareto/NBD in closed form (Fader, Hardie & Lee 2005, RFM and CLV, eq. 2).

    ``P(alive) (r+x)/(alpha+T) rate^(s-1) (beta+T)^s U(s, s, rate (beta+T))`` with U of Tricomi; the last three
    factors are the mean of ``e^(-rate t)`` over the life to come, which is what is summed here: U itself
    overflows.
    """
    _require(rate > 0, what=f"a rate of {rate:g} for ever")
    count, age = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(T, np.float64))
    ages, which = distinct(age)
    steps = np.arange(_FROM * 2, _TO + _STEP / 2, _STEP)
    scaled = np.exp(steps)
    lives = -params.s * np.log1p(scaled / rate / (params.beta + ages)[:, None])
    stay = (_STEP * np.exp(steps - scaled + lives)).sum(axis=1) / rate
    pace = (params.r + count) / (params.alpha + age)
    return p_alive(params, x=x, t_x=t_x, T=T) * pace * stay[which]


def _summed(expected: Expectation, rows: RfmRows, *, schedule: Schedule, threads: int) -> Floats:
    def at(time: float) -> Floats:
        return expected(rows, time)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        counts = list(pool.map(at, schedule.times.tolist()))
    return np.einsum("k,kn->n", schedule.weights, np.array(counts))


def _splits(expected: Expectation, *, users: RfmRows, schedule: Schedule) -> bool:
    """Whether the ratio to a customer who has just bought is one number at two times, on customers who have not."""
    silent = np.flatnonzero((users.x > 0) & (users.t_x < users.T))
    if silent.size == 0:
        return True
    some = silent[np.unique(np.linspace(0, silent.size - 1, _TRIED).astype(np.int64))]
    rows = RfmRows.of(users.x[some], t_x=users.t_x[some], T=users.T[some])
    fresh = _just_bought(rows)
    early, late = float(schedule.times[0]), float(schedule.times[-1])
    one = expected(rows, early) * expected(fresh, late)
    other = expected(rows, late) * expected(fresh, early)
    return bool(np.allclose(one, other, rtol=_SAME, atol=0))


def _just_bought(rows: RfmRows) -> RfmRows:
    return RfmRows(x=rows.x, t_x=np.where(rows.x > 0, rows.T, 0.0), T=rows.T, weights=rows.weights)


def _require(holds: bool, *, what: str) -> None:
    if not holds:
        raise UsageError(
            "value.rate",
            what=f"A discounted value was asked for with {what}.",
            why="Purchases expected for ever, not discounted, have no finite sum; time does not run backwards.",
            do="Give a horizon, or a discount rate above zero (0.1 is ten percent a year).",
        )
