"""Zero-inflated lognormal (ZILN): an outcome is zero with a chance of 1 - p, otherwise lognormal (mu, sigma).

Wang, Liu and Miao (2019), arXiv:1912.07753. Scores are (logit of p, mu, log of sigma); the paper takes softplus
for sigma, the logarithm has a curvature that does not depend on the score. An outcome at or below zero
counts as zero. All arrays have shape (n,), or broadcast to it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["fisher", "gradient", "limited_mean", "limited_variance", "loss", "mean", "quantile"]

Floats = NDArray[np.float64]
_HALF_LOG_TWO_PI = 0.9189385332046727


def loss(y: Floats, *, logit: Floats, mu: Floats, log_sigma: Floats) -> Floats:
    """Negative log-likelihood of each outcome: cross-entropy of paying, plus the lognormal's of what is paid."""
    pays = y > 0
    z = _standardized(y, mu, log_sigma)
    paid = _log_or_zero(y) + log_sigma + _HALF_LOG_TWO_PI + 0.5 * z**2
    return np.logaddexp(0.0, logit) - np.where(pays, logit, 0.0) + np.where(pays, paid, 0.0)


def gradient(y: Floats, *, logit: Floats, mu: Floats, log_sigma: Floats) -> Floats:
    """Derivatives of ``loss`` by (logit, mu, log_sigma), shape (n, 3)."""
    pays = y > 0
    z = _standardized(y, mu, log_sigma)
    by_logit = special.expit(logit) - pays
    return np.stack(
        [by_logit, np.where(pays, -z * np.exp(-log_sigma), 0.0), np.where(pays, 1.0 - z**2, 0.0)], axis=-1
    )


def fisher(y: Floats, *, logit: Floats, log_sigma: Floats) -> Floats:
    """Expected second derivatives by (logit, mu, log_sigma), shape (n, 3): never negative, so boosting can divide by them.

    For logit and mu they are the second derivatives themselves; for log_sigma that one is 2 z**2, whose mean is 2.
    """
    pays = (y > 0).astype(np.float64)
    chance = special.expit(logit)
    return np.stack([chance * (1 - chance), pays * np.exp(-2 * log_sigma), 2 * pays], axis=-1)


def mean(*, p: Floats, mu: Floats, sigma: Floats) -> Floats:
    """The mean, ``p * exp(mu + sigma**2 / 2)``. Nothing bounds it: a sigma of 10 multiplies by exp(50)."""
    return p * np.exp(mu + sigma**2 / 2)


def limited_mean(*, mu: Floats, sigma: Floats, cap: float) -> Floats:
    """The mean of min(Y, cap) for a lognormal Y (the limited expected value of Klugman et al.): never above ``cap``."""
    return _limited_moment(1, mu=mu, sigma=sigma, cap=cap)


def limited_variance(*, p: Floats, mu: Floats, sigma: Floats, cap: float) -> Floats:
    """The variance of an outcome that is zero with a chance of 1 - p, otherwise min(Y, cap)."""
    first = p * _limited_moment(1, mu=mu, sigma=sigma, cap=cap)
    second = p * _limited_moment(2, mu=mu, sigma=sigma, cap=cap)
    return np.maximum(second - first**2, 0.0)


def quantile(level: float, *, p: Floats, mu: Floats, sigma: Floats) -> Floats:
    """The outcome that is not exceeded with probability ``level``; it rises with ``level``, so quantiles never cross."""
    among_payers = np.clip((level - (1 - p)) / np.maximum(p, np.finfo(float).tiny), 0.0, 1.0)
    return np.where(among_payers > 0, np.exp(mu + sigma * special.ndtri(among_payers)), 0.0)


def _limited_moment(order: int, *, mu: Floats, sigma: Floats, cap: float) -> Floats:
    """E[min(Y, cap) ** order], in logs so that no large exponent meets a vanishing tail."""
    below = (np.log(cap) - mu) / sigma
    inside = order * mu + order**2 * sigma**2 / 2 + special.log_ndtr(below - order * sigma)
    beyond = order * np.log(cap) + special.log_ndtr(-below)
    return np.minimum(np.exp(np.minimum(np.logaddexp(inside, beyond), order * np.log(cap))), cap**order)


def _log_or_zero(y: Floats) -> Floats:
    return np.log(np.where(y > 0, y, 1.0))


def _standardized(y: Floats, mu: Floats, log_sigma: Floats) -> Floats:
    return (_log_or_zero(y) - mu) * np.exp(-log_sigma)
