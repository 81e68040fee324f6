"""Gamma-Gamma: what a customer spends per purchase, when customers differ and few purchases have been seen.

Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value, brucehardie.com note 25. Each purchase of a
customer is Gamma(shape p, rate nu), and nu ~ Gamma(shape q, rate v) over customers; v is in units of money.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.numerics.maximize import Box, Evaluation, Fit, in_logs, maximize
from headwater.numerics.rfm import Floats, Ints, distinct, dot, totals

__all__ = [
    "GammaGammaParams",
    "SpendRows",
    "check_finite_mean",
    "draw_total_spend",
    "expected_spend",
    "fit",
    "log_likelihood",
    "population_mean",
    "total_spend_variance",
]

NAMES: Final = ("p", "q", "v")
_BOX: Final = Box(names=NAMES, low=np.log([1e-4, 1e-4, 1e-8]), high=np.log([1e5, 1e5, 1e8]))
_LEAST_RATE = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaGammaParams:
    """``p``: shape of one purchase; ``q, v``: shape and rate of nu over customers, v in units of money."""

    p: float
    q: float
    v: float

    def rescale(self, factor: float) -> GammaGammaParams:
        """The same model in another unit of money: pounds become pence with ``factor=100``."""
        return GammaGammaParams(p=self.p, q=self.q, v=self.v * factor)

    def as_array(self) -> Floats:
        """``(3,)`` in written order."""
        return np.array([self.p, self.q, self.v])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpendRows:
    """Customers with at least one repeat purchase, arrays ``(n,)``.

    Attributes
    ----------
    x, z
        Repeat purchases (whole, at least 1) and their mean value (positive, finite).
    weights
        Customers that share the row.

    Raises
    ------
    DataError
        ``spend.*`` where shapes differ, nothing is there, or a value is not positive.
    """

    x: Floats
    z: Floats
    weights: Floats

    def __post_init__(self) -> None:
        for name in ("x", "z", "weights"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        _require_spend(self)

    @classmethod
    def of(cls, x: ArrayLike, *, z: ArrayLike, weights: ArrayLike | None = None) -> SpendRows:
        """Rows from anything array-like; without ``weights`` each row is one customer."""
        counts = np.asarray(x, dtype=np.float64)
        given = np.ones_like(counts) if weights is None else np.asarray(weights, dtype=np.float64)
        return cls(x=counts, z=np.asarray(z, dtype=np.float64), weights=given)


def log_likelihood(params: GammaGammaParams, *, rows: SpendRows) -> float:
    """Weighted log-density of the mean values given the counts (note 25, eq. 1a)."""
    return _evaluate(params.as_array(), design=_Design.of(rows)).value


def fit(rows: SpendRows) -> Fit[GammaGammaParams]:
    """Maximum-likelihood estimates, the same in any unit of money; ``Fit`` says how to read the diagnosis."""
    n = float(rows.weights.sum())
    scale = math.exp(dot(rows.weights, np.log(rows.z)) / n)
    scaled = SpendRows(x=rows.x, z=rows.z / scale, weights=rows.weights)
    design = _Design.of(scaled)

    def objective(logs: Floats) -> Evaluation:
        point = np.exp(logs)
        return in_logs(_evaluate(point, design=design), at=point)

    top = maximize(objective, starts=_starts(scaled), box=_BOX)
    p, q, v = np.exp(top.point).tolist()
    return Fit(
        params=GammaGammaParams(p=p, q=q, v=v),
        names=NAMES,
        log_likelihood=top.value,
        covariance=top.covariance,
        converged=top.converged,
        iterations=top.iterations,
        boundary=top.boundary,
        n_users=n,
        dimension=n,
    ).rescale(scale)


def check_finite_mean(params: GammaGammaParams) -> tuple[Finding, ...]:
    """A blocking finding where q <= 1: the mean spend of the population is infinite."""
    if params.q > 1:
        return ()
    return (
        Finding(
            code="gamma_gamma.infinite_mean",
            severity=Severity.BLOCK,
            what=f"The fitted q is {params.q:.4g}, not above 1.",
            why="Spend has so heavy a tail that its population mean is infinite: any value for customers "
            "without repeat purchases would be made up (the usual formula gives negative money).",
            do="Winsorize the largest purchases with a logged cap, or value only customers who bought again.",
            numbers={"q": params.q},
        ),
    )


def population_mean(params: GammaGammaParams) -> float:
    """Mean spend per purchase over customers, p v / (q - 1).

    Raises ``DataError`` (``gamma_gamma.infinite_mean``) where q <= 1.
    """
    for finding in check_finite_mean(params):
        raise DataError(finding.code, what=finding.what, why=finding.why, do=finding.do, **finding.numbers)
    return params.p * params.v / (params.q - 1)


def expected_spend(params: GammaGammaParams, *, x: ArrayLike, z: ArrayLike) -> Floats:
    """Expected spend per future purchase (note 25, eq. 5); where ``x`` is 0, the population mean.

    Raises ``DataError`` (``gamma_gamma.infinite_mean``) where it is infinite: p x + q <= 1, for
    a customer with ``x = 0`` q <= 1.
    """
    shape, rate = _posterior(params, x=x, z=z)
    if (shape <= 1).any():
        population_mean(params)
    return params.p * rate / (shape - 1)


def total_spend_variance(
    params: GammaGammaParams,
    *,
    x: ArrayLike,
    z: ArrayLike,
    mean_purchases: ArrayLike,
    purchase_variance: ArrayLike,
) -> Floats:
    """Predictive variance of the spend of a random number of purchases that is independent of nu.

    Infinite where p x + q <= 2: the spend then has no second moment.
    """
    shape, rate = _posterior(params, x=x, z=z)
    mean, spread = np.asarray(mean_purchases, np.float64), np.asarray(purchase_variance, np.float64)
    known = shape > 2
    safe = np.where(known, shape, 3.0)
    square = rate**2 / ((safe - 1) * (safe - 2))
    first = params.p * mean * rate / (safe - 1)
    second = (params.p * mean + params.p**2 * (spread + mean**2)) * square
    return np.where(known, np.maximum(second - first**2, 0.0), np.where(mean > 0, np.inf, 0.0))


def draw_total_spend(
    params: GammaGammaParams, *, x: ArrayLike, z: ArrayLike, n_purchases: Ints, rng: np.random.Generator
) -> Floats:
    """Draws of the total spend of ``n_purchases`` ``(n_draws, n)`` future purchases, exact by conjugacy.

    nu ~ Gamma(p x + q, rate v + x z), then the total of k purchases is Gamma(p k, rate nu); 0 where k is 0.
    """
    shape, rate = _posterior(params, x=x, z=z)
    nu = np.maximum(rng.gamma(shape, 1 / rate, size=n_purchases.shape), _LEAST_RATE)
    total = rng.gamma(params.p * np.maximum(n_purchases, 1)) / nu
    return np.where(n_purchases > 0, total, 0.0)


def _posterior(params: GammaGammaParams, *, x: ArrayLike, z: ArrayLike) -> tuple[Floats, Floats]:
    counts, mean = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(z, np.float64))
    return params.p * counts + params.q, params.v + np.where(counts > 0, counts * mean, 0.0)


def _starts(rows: SpendRows) -> list[Floats]:
    """By moments of log z, which exist however heavy the tail; money is in units of its geometric mean.

    Var(log z) = trigamma(q) + trigamma(p x), and trigamma(q) is about 1/q + 1/(2 q^2).
    """
    spread = max(dot(rows.weights, np.log(rows.z) ** 2) / float(rows.weights.sum()), 1e-4)
    starts: list[Floats] = []
    for share, p in ((0.7, None), (0.3, 1.0), (0.95, 6.0), (0.5, 30.0)):
        between = share * spread
        q = (1 + math.sqrt(1 + 2 * between)) / (2 * between)
        shape = 2 * q if p is None else p
        starts.append(np.log([shape, q, q / shape]))
    return starts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Design:
    counts: Floats
    which: Ints
    x: Floats
    total: Floats
    weights: Floats
    users: Floats
    constant: float
    log_total: float

    @classmethod
    def of(cls, rows: SpendRows) -> _Design:
        """Gamma functions are taken once for each distinct count."""
        counts, which = distinct(rows.x)
        total = rows.x * rows.z
        log_totals = np.log(total)
        return cls(
            counts=counts,
            which=which,
            x=rows.x,
            total=total,
            weights=rows.weights,
            users=totals(which, rows.weights, size=counts.size),
            constant=-dot(rows.weights, np.log(rows.z)),
            log_total=dot(rows.weights * rows.x, log_totals),
        )


def _evaluate(point: Floats, *, design: _Design) -> Evaluation:
    """Value, gradient and Hessian by ``(p, q, v)``; total = x z.

    log f = lgamma(px+q) - lgamma(px) - lgamma(q) + q log v + px log(total) - log z - (px+q) log(v + total).
    """
    p, q, v = point.tolist()
    k, users, weights = design.counts, design.users, design.weights
    n = float(users.sum())
    own, post = p * k, p * k + q
    grown = v + design.total
    log_grown = np.log(grown)
    by_grown = weights / grown
    logs = dot(weights, log_grown)
    logs_x = dot(weights * design.x, log_grown)
    inverse, inverse_x = float(by_grown.sum()), dot(by_grown, design.x)
    inverse_2 = dot(by_grown, (p * design.x + q) / grown)
    gammas = dot(users, special.gammaln(post) - special.gammaln(own)) + n * (
        q * math.log(v) - float(special.gammaln(q))
    )
    value = gammas + p * design.log_total + design.constant - p * logs_x - q * logs
    slope, bend = special.psi(post), _trigamma(post)
    gradient = np.array(
        [
            dot(users * k, slope - special.psi(own)) + design.log_total - logs_x,
            dot(users, slope) + n * (math.log(v) - float(special.psi(q))) - logs,
            n * q / v - p * inverse_x - q * inverse,
        ]
    )
    hessian = np.empty((3, 3))
    hessian[0, 0] = dot(users * k**2, bend - _trigamma(own))
    hessian[0, 1] = hessian[1, 0] = dot(users * k, bend)
    hessian[1, 1] = dot(users, bend) - n * float(_trigamma(np.array(q)))
    hessian[0, 2] = hessian[2, 0] = -inverse_x
    hessian[1, 2] = hessian[2, 1] = n / v - inverse
    hessian[2, 2] = inverse_2 - n * q / v**2
    return Evaluation(value=float(value), gradient=gradient, hessian=hessian)


def _trigamma(value: Floats) -> Floats:
    return np.asarray(special.polygamma(1, value), dtype=np.float64)  # pyright: ignore[reportUnknownMemberType]


def _require_spend(rows: SpendRows) -> None:
    if len({rows.x.shape, rows.z.shape, rows.weights.shape}) != 1 or rows.x.ndim != 1 or rows.x.size == 0:
        raise DataError(
            "spend.shape",
            what=f"x, z and weights have the shapes {rows.x.shape}, {rows.z.shape} and {rows.weights.shape}.",
            why="Each customer needs one value of each, and there must be a customer with a repeat purchase.",
            do="Pass one-dimensional arrays of one length, at least 1.",
        )
    good = (rows.x >= 1) & (rows.x == np.floor(rows.x)) & (rows.z > 0) & (rows.weights > 0)
    good &= np.isfinite(rows.x) & np.isfinite(rows.z) & np.isfinite(rows.weights)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise DataError(
            "spend.impossible",
            what=f"{int((~good).sum())} rows lack a whole x of at least 1, a positive z or a positive "
            f"weight; the first is row {bad}: x={rows.x[bad]:g}, z={rows.z[bad]:g}, "
            f"weight={rows.weights[bad]:g}.",
            why="The model describes positive mean values of at least one repeat purchase.",
            do="Leave out customers without repeat purchases, and net out or drop refunds and free orders.",
        )
