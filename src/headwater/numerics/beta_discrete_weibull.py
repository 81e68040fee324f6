"""Beta-discrete-Weibull: the shifted beta-geometric for customers whose own chance of leaving changes with age.

Fader, Hardie, Liu, Davin & Steenburgh (2018), "How to Project Customer Retention" Revisited, Journal of
Interactive Marketing 43. A customer survives t renewals with probability (1 - theta)^(t^c), theta ~ Beta(gamma,
delta); so S(t) = B(gamma, delta + t^c) / B(gamma, delta). At c = 1 it is the shifted beta-geometric; above 1
a customer grows more likely to leave, below 1 less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.maximize import Box, Fit, maximize, with_numeric_hessian
from headwater.numerics.renewals import Renewals
from headwater.numerics.rfm import Floats, Ints, dot
from headwater.numerics.shifted_beta_geometric import fit as fit_shifted_beta_geometric

__all__ = [
    "BetaDiscreteWeibullParams",
    "fit",
    "log_likelihood",
    "log_survival",
    "retention",
    "simulate",
    "survival",
]

NAMES: Final = ("gamma", "delta", "c")
_BOX: Final = Box(names=NAMES, low=np.log([1e-4, 1e-4, 0.02]), high=np.log([1e4, 1e5, 20.0]))
_LEAST = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaDiscreteWeibullParams:
    """``gamma, delta``: the Beta of the chance to leave at the first renewal; ``c``: how it changes with age."""

    gamma: float
    delta: float
    c: float

    def rescale(self, factor: float) -> BetaDiscreteWeibullParams:
        """Renewals are counted, so there is no unit."""
        del factor
        return self

    def as_array(self) -> Floats:
        """``(3,)`` in written order."""
        return np.array([self.gamma, self.delta, self.c])


def log_likelihood(params: BetaDiscreteWeibullParams, *, rows: Renewals) -> float:
    """Log-likelihood of all customers."""
    return _evaluate(params.as_array(), rows=rows)[0]


def fit(rows: Renewals, *, start: BetaDiscreteWeibullParams | None = None) -> Fit[BetaDiscreteWeibullParams]:
    """Maximum-likelihood estimates, from those of the shifted beta-geometric at c = 1 and around it."""

    def value_and_gradient(logs: Floats) -> tuple[float, Floats]:
        point = np.exp(logs)
        value, gradient = _evaluate(point, rows=rows)
        return value, point * gradient

    plain = np.log(fit_shifted_beta_geometric(rows).params.as_array())
    inside = np.clip(plain, np.log(0.05), np.log(200.0))
    known = [] if start is None else [np.log(start.as_array())]
    starts = [np.append(inside, np.log(c)) for c in (1.0, 1.5, 0.7)]
    top = maximize(with_numeric_hessian(value_and_gradient), starts=[*known, *starts], box=_BOX)
    gamma, delta, c = np.exp(top.point).tolist()
    return Fit(
        params=BetaDiscreteWeibullParams(gamma=gamma, delta=delta, c=c),
        names=NAMES,
        log_likelihood=top.value,
        covariance=top.covariance,
        converged=top.converged,
        iterations=top.iterations,
        boundary=top.boundary,
        n_users=rows.n_users,
        dimension=0.0,
    )


def log_survival(params: BetaDiscreteWeibullParams, *, renewals: int) -> Floats:
    """Logarithm of the share still there after 0, 1, ... ``renewals``, ``(renewals + 1,)``."""
    aged = np.arange(renewals + 1, dtype=np.float64) ** params.c
    return _log_survival(aged, gamma=params.gamma, delta=params.delta)


def survival(params: BetaDiscreteWeibullParams, *, renewals: int) -> Floats:
    """Share still there after 0, 1, ... ``renewals``."""
    return np.exp(log_survival(params, renewals=renewals))


def retention(params: BetaDiscreteWeibullParams, *, renewals: int) -> Floats:
    """Share of those who come to renewal 1, 2, ... ``renewals`` that survive it, ``(renewals,)``."""
    return np.exp(np.diff(log_survival(params, renewals=renewals)))


def simulate(params: BetaDiscreteWeibullParams, *, n: int, rng: np.random.Generator) -> Ints:
    """The renewal at which each of ``n`` customers leaves, from 1 on: the first t with (1 - theta)^(t^c) < U."""
    leave = rng.beta(params.gamma, params.delta, n)
    aged = rng.exponential(size=n) / np.maximum(-np.log1p(-np.minimum(leave, 1 - 1e-16)), 1e-15)
    return np.maximum(np.ceil(aged ** (1 / params.c)), 1).astype(np.int64)


def _log_survival(aged: Floats, *, gamma: float, delta: float) -> Floats:
    """log B(gamma, delta + u) - log B(gamma, delta)."""
    return special.betaln(gamma, delta + aged) - special.betaln(gamma, delta)


def _evaluate(point: Floats, *, rows: Renewals) -> tuple[float, Floats]:
    """Value and gradient by ``(gamma, delta, c)``; leaving at t has log-probability log(S(t-1) - S(t))."""
    gamma, delta, c = point.tolist()
    t = np.arange(rows.left.size + 1, dtype=np.float64)
    aged = t**c
    alive = _log_survival(aged, gamma=gamma, delta=delta)
    later, all_in = special.psi(delta + aged), special.psi(gamma + delta + aged)
    by_age = aged * np.log(np.maximum(t, 1.0)) * (later - all_in)
    slope = np.stack([all_in[0] - all_in, later - later[0] + all_in[0] - all_in, by_age])
    drop = np.maximum(-np.expm1(np.diff(alive)), _LEAST)
    lost = alive[:-1] + np.log(drop)
    stay = np.exp(np.diff(alive))
    lost_slope = (slope[:, :-1] - stay * slope[:, 1:]) / drop
    value = dot(rows.left, lost) + dot(rows.kept, alive[1:])
    gradient = np.einsum("n,in->i", rows.left, lost_slope) + np.einsum("n,in->i", rows.kept, slope[:, 1:])
    return value, gradient
