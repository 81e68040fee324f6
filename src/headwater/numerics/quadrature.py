"""The two integrals of buy-till-you-die models as nodes and weights: every moment and derivative is a sum.

Both integrands are log-concave and analytic in a strip in the variable used here, so each is cut where it
has fallen by ``exp(-38)`` and summed with a trapezoid rule under a double-exponential map (Takahasi & Mori
1974) or a Gauss-Legendre rule, to about 1e-12. Nothing overflows: only differences of logarithms are ever
exponentiated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss

from headwater.numerics.rfm import Floats

__all__ = ["LogTail", "beta_nodes", "chunks", "log_tail", "unit_nodes"]

_DROP = 38.0
_NEWTON = 8
_TINY = 1e-300
_SPLIT = 1.5
_SLOW = 0.3
_BEYOND = 4.0


def chunks(n: int, *, size: int = 2048) -> Iterator[slice]:
    """Slices of at most ``size`` rows that cover ``n``: a chunk's nodes stay in cache."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def unit_nodes(n: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights on (0, 1), each ``(n,)``."""
    node, weight = leggauss(n)
    return (node + 1) / 2, weight / 2


def _exponential_nodes() -> tuple[Floats, Floats]:
    start, stop, n = -3.47, math.log(_DROP) + 0.026, 52
    step = (stop - start) / (n - 1)
    y = start + step * np.arange(n)
    x = np.exp(y - np.exp(-y))
    return x / x[-1], step * x * (1 + np.exp(-y)) / x[-1]


_TAIL_NODE, _TAIL_WEIGHT = _exponential_nodes()
_HEAD_NODE, _HEAD_WEIGHT = unit_nodes(64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogTail:
    """``log J`` ``(n,)`` with its derivatives by ``(p, alpha, q, beta)``, ``(4, n)`` and ``(4, 4, n)``."""

    value: Floats
    gradient: Floats
    hessian: Floats


def log_tail(
    p: Floats, *, alpha: float, q: Floats, beta: float, t: Floats, derivatives: bool = True
) -> LogTail:
    """The logarithm of J = integral of (alpha + u)^-p (beta + u)^-q du from t to infinity.

    The Gauss hypergeometric function of Pareto/NBD (Fader & Hardie 2005, note 9), without differences:
    ``J = (alpha+t)^(1-p) (beta+t)^-q / (p+q-1) * 2F1(1, q; p+q; 1 - (alpha+t)/(beta+t))``.

    Parameters
    ----------
    p, q, t
        Arrays ``(n,)`` with ``p + q > 1``, ``t >= 0``.
    alpha, beta
        Positive. They may be equal, and may differ by many orders of magnitude.
    derivatives
        Without them ``gradient`` and ``hessian`` are empty.
    """
    if alpha > beta:
        flipped = log_tail(q, alpha=beta, q=p, beta=alpha, t=t, derivatives=derivatives)
        order = [2, 3, 0, 1] if derivatives else []
        return LogTail(
            value=flipped.value,
            gradient=flipped.gradient[order],
            hessian=flipped.hessian[np.ix_(order, order)],
        )
    n = t.size
    value = np.empty(n)
    k = 4 if derivatives else 0
    gradient, hessian = np.empty((k, n)), np.empty((k, k, n))
    split = (beta - alpha > np.exp(_SPLIT) * (alpha + t)) | (p + q - 1 < _SLOW)
    for group, head in ((np.flatnonzero(~split), False), (np.flatnonzero(split), True)):
        for part in chunks(group.size, size=1024):
            rows = group[part]
            piece = _tail_chunk(p[rows], alpha, q[rows], beta, t[rows], head=head, derivatives=derivatives)
            value[rows] = piece.value
            gradient[:, rows], hessian[:, :, rows] = piece.gradient, piece.hessian
    return LogTail(value=value, gradient=gradient, hessian=hessian)


def _tail_chunk(
    p: Floats, alpha: float, q: Floats, beta: float, t: Floats, *, head: bool, derivatives: bool
) -> LogTail:
    """In u = log((alpha+time)/(alpha+t)) the integrand is exp(-psi(u)), psi convex, steepest p + q - 1."""
    rho, delta = (alpha + t) / (beta + t), (beta - alpha) / (beta + t)
    slope = p + q - 1
    with np.errstate(divide="ignore"):
        kink = np.log(delta) - np.log(rho)
        mode = np.where(p < 1, np.maximum(np.log(np.maximum(1 - p, 0)) - np.log(slope) + kink, 0.0), 0.0)
    lowest = _psi(mode, slope=slope, q=q, rho=rho, delta=delta)
    end = _fallen(lowest + _DROP, slope=slope, q=q, rho=rho, delta=delta)
    cut = np.zeros_like(t)
    if head:
        cut = np.minimum(np.maximum(kink, 0.0) + np.where(slope < _SLOW, _BEYOND, 0.0), end)
    u, weight = _tail_nodes(cut, end=end, head=head)
    decay = np.exp(-u)
    mixed = rho[:, None] + delta[:, None] * decay
    log_mixed = np.log(mixed)
    mass = weight * np.exp(lowest[:, None] - slope[:, None] * u - q[:, None] * log_mixed)
    total = mass.sum(axis=1)
    value = np.log(total) - lowest - (p - 1) * np.log(alpha + t) - q * np.log(beta + t)
    if not derivatives:
        return LogTail(value=value, gradient=np.empty((0, t.size)), hessian=np.empty((0, 0, t.size)))
    share = mass / total[:, None]
    logs = (np.log(alpha + t)[:, None] + u, np.log(beta + t)[:, None] + u + log_mixed)
    inverses = (decay / (alpha + t)[:, None], decay / mixed / (beta + t)[:, None])
    gradient, hessian = _tail_derivatives(share, logs=logs, inverses=inverses, powers=(p, q))
    return LogTail(value=value, gradient=gradient, hessian=hessian)


def _psi(u: Floats, *, slope: Floats, q: Floats, rho: Floats, delta: Floats) -> Floats:
    return slope * u + q * np.log(rho + delta * np.exp(-u))


def _fallen(level: Floats, *, slope: Floats, q: Floats, rho: Floats, delta: Floats) -> Floats:
    """Where psi reaches ``level``: Newton from the asymptote stays on the far side, psi being convex."""
    u = (level - q * np.log(rho)) / slope
    for _ in range(_NEWTON):
        decay = delta * np.exp(-u)
        rise = slope - q * decay / (rho + decay)
        ahead = _psi(u, slope=slope, q=q, rho=rho, delta=delta) - level
        u = np.where(rise > 0, np.maximum(u - ahead / np.where(rise > 0, rise, 1.0), 0.0), u)
    return u


def _tail_nodes(cut: Floats, *, end: Floats, head: bool) -> tuple[Floats, Floats]:
    length = (end - cut)[:, None]
    u, weight = cut[:, None] + length * _TAIL_NODE, length * _TAIL_WEIGHT
    if not head:
        return u, weight
    early = cut[:, None]
    return np.hstack([early * _HEAD_NODE, u]), np.hstack([early * _HEAD_WEIGHT, weight])


def _tail_derivatives(
    share: Floats,
    *,
    logs: tuple[Floats, Floats],
    inverses: tuple[Floats, Floats],
    powers: tuple[Floats, Floats],
) -> tuple[Floats, Floats]:
    """Gradient of log J = mean score; Hessian = mean second derivative + covariance of the score."""
    n = share.shape[0]
    hessian = np.empty((4, 4, n))
    scores: list[Floats] = []
    for power, log, inverse in zip(powers, logs, inverses, strict=True):
        scores += [-log, -power[:, None] * inverse]
    gradient = np.array([_mean(share, score) for score in scores])
    centered = [score - mean[:, None] for score, mean in zip(scores, gradient, strict=True)]
    for i in range(4):
        weighted = share * centered[i]
        for j in range(i, 4):
            hessian[i, j] = hessian[j, i] = _mean(weighted, centered[j])
    for i, power, inverse in ((0, powers[0], inverses[0]), (2, powers[1], inverses[1])):
        crossed = _mean(share, inverse)
        hessian[i, i + 1] -= crossed
        hessian[i + 1, i] -= crossed
        hessian[i + 1, i + 1] += power * _mean(share, inverse**2)
    return gradient, hessian


def _mean(share: Floats, value: Floats) -> Floats:
    return np.einsum("nk,nk->n", share, value)


def beta_nodes(a: Floats, *, b: Floats, size: int = 112) -> tuple[Floats, Floats, Floats]:
    """Nodes for expectations over Beta(a, b), any a, b > 0, of functions smooth on [0, 1].

    Returns
    -------
    p, complement, weight
        Arrays ``(n, size)``: the node, one minus it (exact near 1), and weights that sum to 1 by row.
    """
    mode = np.log(a) - np.log(b)
    lowest = -_log_beta_density(mode, a=a, b=b)
    knee = np.log(np.maximum(a, 1.0)) - np.log(np.maximum(b, 1.0))
    width = np.minimum(1.0, np.sqrt(1 / a + 1 / b))
    low = _beta_edge(-(lowest + _DROP) / a, a=a, b=b, level=lowest + _DROP)
    high = _beta_edge((lowest + _DROP) / b, a=a, b=b, level=lowest + _DROP)
    start, stop = np.arcsinh((low - knee) / width), np.arcsinh((high - knee) / width)
    y = start[:, None] + (stop - start)[:, None] * np.linspace(0, 1, size)
    logit = knee[:, None] + width[:, None] * np.sinh(y)
    weight = np.cosh(y) * np.exp(_log_beta_density(logit, a=a[:, None], b=b[:, None]) + lowest[:, None])
    p = np.exp(-np.logaddexp(0.0, -logit))
    return np.maximum(p, _TINY), np.exp(-np.logaddexp(0.0, logit)), weight / weight.sum(axis=1)[:, None]


def _log_beta_density(logit: Floats, *, a: Floats, b: Floats) -> Floats:
    return -a * np.logaddexp(0.0, -logit) - b * np.logaddexp(0.0, logit)


def _beta_edge(logit: Floats, *, a: Floats, b: Floats, level: Floats) -> Floats:
    for _ in range(_NEWTON):
        rise = b - (a + b) * np.exp(-np.logaddexp(0.0, logit))
        step = (-_log_beta_density(logit, a=a, b=b) - level) / np.where(rise == 0, 1.0, rise)
        logit = np.where(rise == 0, logit, logit - step)
    return logit
