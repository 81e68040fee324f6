"""Means of arms, adjusted by covariates and strata within each arm, from moments alone.

In each arm the outcome is regressed on the covariates by itself (Lin 2013, the fully interacted regression;
split-sample adjustment in arXiv 2606.18750) within strata, and read at the means of the covariates and the shares of
the strata of everyone in the experiment. Without covariates that is post-stratification (Miratrix, Sekhon and Yu
2013), with neither it is the plain mean. The variance is that of users drawn at random: the residuals of the arm,
whatever their spread depends on (Huber and White, to first order), and what the means of everyone add, which the
arms share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.moments import Moments

__all__ = ["AdjustedMeans", "adjusted_means"]

Floats = NDArray[np.float64]
_SAME_COLUMN = 1e-10  # covariates that leave a smaller share of their variance are sums of the others


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdjustedMeans:
    """Adjusted means of c outcomes in each arm.

    ``means`` has shape (arms, c), ``covariance`` (arms, arms, c, c), ``df`` (arms,): users less strata less the
    covariates that say something of their own.
    """

    means: Floats
    covariance: Floats
    df: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fit:
    """One arm: ``slopes`` (k, c), means by stratum at everyone's covariates (strata, c), and the variance of its residuals' mean."""

    slopes: Floats
    by_stratum: Floats
    own: Floats
    df: float


def adjusted_means(arms: Sequence[Moments], everyone: Moments, *, n_outcomes: int) -> AdjustedMeans:
    """Adjust the means of some arms.

    Parameters
    ----------
    arms
        Moments of each arm, one group for each stratum, outcomes first, then covariates; two users or more in each
        stratum, and more users than strata and covariates together.
    everyone
        The same for all arms of the experiment, those not in ``arms`` too.
    n_outcomes
        How many of the columns are outcomes: c.
    """
    share = everyone.n / everyone.n.sum()
    fits = [_fitted(arm, everyone, share=share, c=n_outcomes) for arm in arms]
    means = np.stack([share @ fit.by_stratum for fit in fits])
    within = everyone.scatter.sum(axis=0)[n_outcomes:, n_outcomes:]
    away = [fit.by_stratum - mean for fit, mean in zip(fits, means, strict=True)]
    n = float(everyone.n.sum())
    covariance = np.empty((len(arms), len(arms), n_outcomes, n_outcomes))
    for i, one in enumerate(fits):
        for j, other in enumerate(fits):
            shared = one.slopes.T @ within @ other.slopes + (everyone.n[:, None] * away[i]).T @ away[j]
            covariance[i, j] = shared / (n - 1) / n + (one.own if i == j else 0)
    return AdjustedMeans(means=means, covariance=covariance, df=np.array([fit.df for fit in fits]))


def _fitted(arm: Moments, everyone: Moments, *, share: Floats, c: int) -> _Fit:
    scatter = arm.scatter.sum(axis=0)
    inverse, rank = _inverse(scatter[c:, c:])
    slopes = inverse @ scatter[c:, :c]
    left = np.concatenate([np.eye(c), -slopes])
    residual = np.einsum("sab,ai,bj->sij", arm.scatter, left, left)
    free = float(arm.n.sum()) - arm.n_groups
    by_stratum = arm.mean[:, :c] + (everyone.mean[:, c:] - arm.mean[:, c:]) @ slopes
    own = np.einsum("s,sij->ij", share**2 / (arm.n - 1) / arm.n, residual) * free / (free - rank)
    off = share @ (everyone.mean[:, c:] - arm.mean[:, c:])
    lever = float(off @ inverse @ off)
    return _Fit(
        slopes=slopes,
        by_stratum=by_stratum,
        own=own + lever * residual.sum(axis=0) / (free - rank),
        df=free - rank,
    )


def _inverse(scatter: Floats) -> tuple[Floats, int]:
    """The inverse over what the covariates say independently of each other, and how many directions that is."""
    size = np.sqrt(np.diagonal(scatter))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    values, vectors = np.linalg.eigh(scatter * scale[:, None] * scale)
    kept = values > _SAME_COLUMN
    half = vectors[:, kept] / np.sqrt(values[kept]) * scale[:, None]
    return half @ half.T, int(kept.sum())
