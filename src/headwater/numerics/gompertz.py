"""Gamma-mixed Gompertz lifetimes: their integrals against a Gamma buyer, their mean stay, and draws.

D(u) = beta - 1 + e^(bu) is written e^(bu) M(u) with M(u) = beta e^(-bu) + (1 - e^(-bu)): both parts positive, so it
neither overflows nor cancels, however small b and beta are.
"""

from __future__ import annotations

import math

import numpy as np

from headwater.numerics.quadrature import LogTail, chunks
from headwater.numerics.rfm import Floats

__all__ = ["draw_stay", "log_tail", "mean_stay"]

_DROP = 38.0
_SIZE = 160
_FIRST = -3.5
_SCAN = np.linspace(-1.0, 64.0, 66)


def _finite_nodes(n: int = 120, *, reach: float = 3.2) -> tuple[Floats, Floats]:
    """Double-exponential nodes and weights on (0, 1): dense at both ends (Takahasi & Mori 1974)."""
    step = 2 * reach / (n - 1)
    y = np.linspace(-reach, reach, n)
    weight = step * math.pi / 4 * np.cosh(y) / np.cosh(math.pi / 2 * np.sinh(y)) ** 2
    return 1 / (1 + np.exp(-math.pi * np.sinh(y))), weight


_NODE, _WEIGHT = _finite_nodes()


def log_tail(
    p: Floats,
    *,
    alpha: float,
    b: float,
    s: float,
    power: Floats,
    beta: float,
    t: Floats,
    derivatives: bool = True,
) -> LogTail:
    """Log of the integral of (alpha+u)^-p e^(-sbu) M(u)^-power over u from t to infinity.

    ``power`` is s or s + 1. Derivatives are by ``(r, alpha, b, s, beta)``, where p is r plus a constant and power is
    s plus a constant: ``(5, n)`` and ``(5, 5, n)``.

    The substitution ``u = t + scale exp(y - e^-y)`` makes every length a shift of y: the integrand then falls double
    exponentially at the lower end, and is cut at the upper end where it has fallen by e^-38.
    """
    k = 5 if derivatives else 0
    value, gradient, hessian = np.empty(t.size), np.empty((k, t.size)), np.empty((k, k, t.size))
    for part in chunks(t.size, size=1024):
        from_t, log_height, node_weight = _nodes(
            p[part], alpha=alpha, b=b, s=s, power=power[part], beta=beta, t=t[part]
        )
        top = log_height.max(axis=1)
        mass = node_weight * np.exp(log_height - top[:, None])
        total = mass.sum(axis=1)
        value[part] = np.log(total) + top
        if derivatives:
            gradient[:, part], hessian[:, :, part] = _derivatives(
                mass / total[:, None],
                u=t[part][:, None] + from_t,
                p=p[part][:, None],
                power=power[part][:, None],
                point=(alpha, b, s, beta),
            )
    return LogTail(value=value, gradient=gradient, hessian=hessian)


def mean_stay(scaled_end: Floats, *, b: float, s: float, horizon: float) -> tuple[Floats, Floats]:
    """Mean and mean square of min(horizon, remaining life), ``(n,)`` each, for M(T) = ``scaled_end``.

    In z = log D(T + v) - log D(T) the chance to stay is e^(-sz), v = log(1 + M(T)(e^z - 1)) / b and
    dv = M(T) e^z / (1 + M(T)(e^z - 1)) dz / b; the horizon is at z = log(1 + (e^(b horizon) - 1) / M(T)).
    """
    log_start = np.log(scaled_end)[:, None]
    whole = np.logaddexp(0.0, _log_expm1(b * np.atleast_1d(horizon)) - log_start[:, 0])
    span = np.minimum(whole, _DROP / s)[:, None]
    z = span * _NODE
    grown = np.logaddexp(0.0, log_start + _log_expm1(z))
    v = grown / b
    mass = span * _WEIGHT * np.exp(log_start + (1 - s) * z - grown) / b
    return mass.sum(axis=1), 2 * (mass * v).sum(axis=1)


def draw_stay(
    scaled_end: Floats, *, b: float, s: float, rng: np.random.Generator, shape: tuple[int, ...]
) -> Floats:
    """Draws of the remaining life given alive at T, by inversion; ``scaled_end`` is M(T)."""
    z = np.maximum(rng.exponential(size=shape) / s, 1e-300)
    return np.logaddexp(0.0, np.log(scaled_end) + _log_expm1(z)) / b


def _log_expm1(z: Floats) -> Floats:
    """log(e^z - 1), for any z > 0."""
    return z + np.log(-np.expm1(-z))


def _log_height(
    u: Floats, *, p: Floats, alpha: float, b: float, s: float, power: Floats, beta: float
) -> Floats:
    fading = np.exp(-b * u)
    return -p * np.log(alpha + u) - s * b * u - power * np.log(beta * fading - np.expm1(-b * u))


def _nodes(
    p: Floats, *, alpha: float, b: float, s: float, power: Floats, beta: float, t: Floats
) -> tuple[Floats, Floats, Floats]:
    """Distances from t, log of the integrand, and weights, each ``(n, nodes)``."""
    fading = np.exp(-b * t)
    end = beta * fading - np.expm1(-b * t)
    scale = 1 / (p / (alpha + t) + s * b + power * b * abs(1 - beta) * fading / end)

    def height(ahead: Floats) -> Floats:
        u = t[:, None] + ahead
        return _log_height(u, p=p[:, None], alpha=alpha, b=b, s=s, power=power[:, None], beta=beta)

    ahead = scale[:, None] * np.exp(_SCAN - np.exp(-_SCAN))
    seen = height(ahead) + np.log(ahead)
    above = seen > seen.max(axis=1)[:, None] - _DROP
    last = np.minimum(_SCAN.size - 1 - np.argmax(above[:, ::-1], axis=1) + 1, _SCAN.size - 1)
    step = (_SCAN[last] - _FIRST) / (_SIZE - 1)
    y = _FIRST + step[:, None] * np.arange(_SIZE)
    from_t = scale[:, None] * np.exp(y - np.exp(-y))
    weight = step[:, None] * from_t * (1 + np.exp(-y))
    return from_t, height(from_t), weight


def _derivatives(
    share: Floats, *, u: Floats, p: Floats, power: Floats, point: tuple[float, float, float, float]
) -> tuple[Floats, Floats]:
    """Gradient of the log integral = mean score; Hessian = mean second derivative + covariance of the score."""
    alpha, b, s, beta = point
    fading = np.exp(-b * u)
    end = beta * fading - np.expm1(-b * u)
    by_b, by_beta = u * fading * (1 - beta) / end, fading / end
    inverse = 1 / (alpha + u)
    scores = [-np.log(alpha + u), -p * inverse, -s * u - power * by_b, -b * u - np.log(end), -power * by_beta]
    n = share.shape[0]
    mean = [_mean(share, score) for score in scores]
    hessian = np.empty((5, 5, n))
    centered = [score - m[:, None] for score, m in zip(scores, mean, strict=True)]
    for i in range(5):
        weighted = share * centered[i]
        for j in range(i, 5):
            hessian[i, j] = hessian[j, i] = _mean(weighted, centered[j])
    second = {
        (0, 1): -inverse,
        (1, 1): p * inverse**2,
        (2, 2): power * (u * by_b + by_b**2),
        (2, 3): -u - by_b,
        (2, 4): power * (u * by_beta + by_b * by_beta),
        (3, 4): -by_beta,
        (4, 4): power * by_beta**2,
    }
    for (i, j), value in second.items():
        hessian[i, j] += _mean(share, value)
        hessian[j, i] = hessian[i, j]
    return np.array(mean), hessian


def _mean(share: Floats, value: Floats) -> Floats:
    return np.einsum("nk,nk->n", share, value)
