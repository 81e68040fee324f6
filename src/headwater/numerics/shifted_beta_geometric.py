"""Shifted beta-geometric: how long customers under contract stay, when each has a chance of leaving of his own.

Fader & Hardie (2007), How to Project Customer Retention, Journal of Interactive Marketing 21(1). At each renewal
a customer leaves with probability theta, always the same for him; theta ~ Beta(alpha, beta) over customers. That
retention rises with age is then sorting, not loyalty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from headwater.numerics.maximize import Box, Evaluation, Fit, in_logs, maximize
from headwater.numerics.renewals import Renewals
from headwater.numerics.rfm import Floats, Ints, rising

__all__ = [
    "ShiftedBetaGeometricParams",
    "fit",
    "log_likelihood",
    "log_survival",
    "retention",
    "simulate",
    "survival",
]

NAMES: Final = ("alpha", "beta")
_BOX: Final = Box(names=NAMES, low=np.log([1e-5, 1e-5]), high=np.log([1e6, 1e6]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedBetaGeometricParams:
    """``alpha, beta``: the Beta of the chance to leave at a renewal; its mean is alpha / (alpha + beta)."""

    alpha: float
    beta: float

    def rescale(self, factor: float) -> ShiftedBetaGeometricParams:
        """Renewals are counted, so there is no unit."""
        del factor
        return self

    def as_array(self) -> Floats:
        """``(2,)`` in written order."""
        return np.array([self.alpha, self.beta])


def log_likelihood(params: ShiftedBetaGeometricParams, *, rows: Renewals) -> float:
    """Log-likelihood of all customers (eq. 7 and 8)."""
    return _evaluate(params.as_array(), rows=rows).value


def fit(
    rows: Renewals, *, start: ShiftedBetaGeometricParams | None = None
) -> Fit[ShiftedBetaGeometricParams]:
    """Maximum-likelihood estimates; ``boundary`` names both where customers do not differ."""

    def objective(logs: Floats) -> Evaluation:
        point = np.exp(logs)
        return in_logs(_evaluate(point, rows=rows), at=point)

    known = [] if start is None else [np.log(start.as_array())]
    leave = float(np.clip(rows.left.sum() / rows.at_risk.sum(), 1e-4, 1 - 1e-4))
    starts = [np.log([leave * size, (1 - leave) * size]) for size in (2.0, 20.0, 0.2)]
    top = maximize(objective, starts=[*known, *starts], box=_BOX)
    alpha, beta = np.exp(top.point).tolist()
    return Fit(
        params=ShiftedBetaGeometricParams(alpha=alpha, beta=beta),
        names=NAMES,
        log_likelihood=top.value,
        covariance=top.covariance,
        converged=top.converged,
        iterations=top.iterations,
        boundary=top.boundary,
        n_users=rows.n_users,
        dimension=0.0,
    )


def log_survival(params: ShiftedBetaGeometricParams, *, renewals: int) -> Floats:
    """Logarithm of the share still there after 0, 1, ... ``renewals``, ``(renewals + 1,)``: a sum, so exact."""
    steps = np.arange(renewals)
    return np.append(0.0, np.cumsum(np.log1p(-params.alpha / (params.alpha + params.beta + steps))))


def survival(params: ShiftedBetaGeometricParams, *, renewals: int) -> Floats:
    """Share still there after 0, 1, ... ``renewals``."""
    return np.exp(log_survival(params, renewals=renewals))


def retention(params: ShiftedBetaGeometricParams, *, renewals: int) -> Floats:
    """Share of those who come to renewal 1, 2, ... ``renewals`` that survive it (eq. 6), ``(renewals,)``."""
    steps = np.arange(renewals)
    return (params.beta + steps) / (params.alpha + params.beta + steps)


def simulate(params: ShiftedBetaGeometricParams, *, n: int, rng: np.random.Generator) -> Ints:
    """The renewal at which each of ``n`` customers leaves, from 1 on."""
    leave = rng.beta(params.alpha, params.beta, n)
    return rng.geometric(np.maximum(leave, 1e-15)).astype(np.int64, copy=False)


def _evaluate(point: Floats, *, rows: Renewals) -> Evaluation:
    """Value, gradient and Hessian by ``(alpha, beta)``.

    Leaving at renewal t has probability alpha (beta)_(t-1) / (alpha + beta)_t, surviving it
    (beta)_t / (alpha + beta)_t, where (c)_t is the rising factorial.
    """
    alpha, beta = point.tolist()
    n_left = float(rows.left.sum())
    survived = np.append(rows.left, 0.0) + np.append(0.0, rows.kept)
    came = np.append(0.0, rows.left + rows.kept)
    in_beta, in_both = rising(survived, start=beta), rising(came, start=alpha + beta)
    value = n_left * np.log(alpha) + in_beta[0] - in_both[0]
    gradient = np.array([n_left / alpha - in_both[1], in_beta[1] - in_both[1]])
    hessian = np.full((2, 2), -in_both[2])
    hessian[0, 0] -= n_left / alpha**2
    hessian[1, 1] += in_beta[2]
    return Evaluation(value=float(value), gradient=gradient, hessian=hessian)
