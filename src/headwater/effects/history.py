"""What history says about an experiment to come: the spread of its metrics, what covariates explain, who arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding, Severity
from headwater.effects.gathered import Gathered, MetricState
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.metric import Metric
from headwater.numerics.moments import Moments
from headwater.numerics.power import cluster_inflation

__all__ = ["Arrivals", "Explained", "MetricHistory", "cluster_inflation_of", "history_of", "whole_weeks"]

Floats = NDArray[np.float64]
_WEEK = 7
_RECENT = 28  # days that say how many come after the end of history
_LEAST_CLUSTERS = 10
_FULL = 3.919928  # from the low to the high order statistic of a quantile, in standard errors: 2 x 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The share of the variance that some covariates explain: what CUPED with them takes away."""

    covariates: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricHistory:
    """A metric among historic users.

    Parameters
    ----------
    value
        The metric, in its unit.
    variance
        Of one user's part in it: that of users for a mean, of the linear form for a ratio or quantile. The
        variance of the metric among n users is this over n.
    explained
        By each covariate alone, and last by all of them; empty where there are none.
    inflation
        How many times the variance grows because clusters are assigned (``numerics.power.design_effect``).
    """

    metric: Metric
    value: float
    variance: float
    n_users: int
    explained: tuple[Explained, ...] = ()
    inflation: float = 1.0

    @property
    def left(self) -> float:
        """The share of the variance that is left when all covariates are used."""
        return 1 - self.explained[-1].share if self.explained else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Users seen for the first time on each day since the experiment would have begun.

    First times, not visits: they fall while regular users are counted once, so the days of a history begin where an
    experiment could have begun. After the last day the mean of each weekday over the last four weeks goes on.
    """

    by_day: tuple[int, ...]

    def cumulative(self, n_days: int) -> Floats:
        """Users by the end of day 1, 2, ... ``n_days``, shape (n_days,)."""
        days = np.array(self.by_day[:n_days], dtype=np.float64)
        recent = np.array(self.by_day[-_RECENT:], dtype=np.float64)
        if days.size < n_days and recent.size:
            first = len(self.by_day) - recent.size
            weekday = (np.arange(recent.size) + first) % _WEEK
            counts = np.bincount(weekday, minlength=_WEEK)
            means = np.bincount(weekday, weights=recent, minlength=_WEEK) / np.maximum(counts, 1)
            means[counts == 0] = recent.mean()
            days = np.append(days, means[np.arange(days.size, n_days) % _WEEK])
        return np.cumsum(days)

    def days_until(self, n_users: float, *, most: int) -> int | None:
        """The day by whose end ``n_users`` have come; None where ``most`` days are not enough."""
        so_far = self.cumulative(most)
        day = int(np.searchsorted(so_far, n_users - 1e-9)) + 1
        return day if day <= so_far.size else None

    @property
    def weekly_swing(self) -> float | None:
        """The busiest weekday over the quietest, of the last four weeks; None for less than two weeks."""
        recent = np.array(self.by_day[-_RECENT:], dtype=np.float64)
        if recent.size < 2 * _WEEK:
            return None
        whole = recent[recent.size % _WEEK :].reshape(-1, _WEEK).mean(axis=0)
        return float(whole.max() / whole.min()) if whole.min() > 0 else None


def history_of(metric: Metric, gathered: Gathered, *, inflation: float = 1.0) -> MetricHistory | Finding:
    """A metric among all historic users, whatever arm or stratum they stand under; a finding where it is not known."""
    state = gathered.metrics[metric.name]
    if state.quantiles:
        return _of_quantile(metric, state, inflation)
    kind = METRIC_KINDS.load(metric.kind)()
    if not isinstance(kind, SmoothKind):
        return _unknown(metric, f"the kind {metric.kind} has no variance here")
    moments = state.moments.pooled()
    n_own = len(kind.columns(metric))
    blocking = [
        f
        for f in kind.findings(metric, moments.columns(range(n_own)), arm="history")
        if f.severity is Severity.BLOCK
    ]
    if blocking:
        return blocking[0]
    slope = kind.gradient(moments.mean[0, :n_own])
    linear = np.zeros((moments.mean.shape[1], 1 + moments.mean.shape[1] - n_own))
    linear[:n_own, 0] = slope
    linear[n_own:, 1:] = np.eye(moments.mean.shape[1] - n_own)
    parts = moments.mapped(linear)
    variance = float(parts.covariance()[0, 0, 0])
    if not variance > 0:
        return _unknown(metric, "all historic users have the same outcome")
    return MetricHistory(
        metric=metric,
        value=kind.value(moments.mean[0, :n_own]),
        variance=variance,
        n_users=int(moments.n[0]),
        explained=_explained(parts, state.columns[n_own:]),
        inflation=inflation,
    )


def cluster_inflation_of(metric: Metric, gathered: Gathered) -> float | Finding:
    """How many times the variance grows if the strata of ``gathered`` are assigned as a whole; by the linear form of the metric."""
    kind = METRIC_KINDS.load(metric.kind)()
    clusters = sorted({g.stratum for g in gathered.groups})
    if not isinstance(kind, SmoothKind) or len(clusters) < _LEAST_CLUSTERS:
        return _unknown_clusters(metric, len(clusters))
    moments = gathered.metrics[metric.name].moments
    n_own = len(kind.columns(metric))
    slope = np.zeros((moments.mean.shape[1], 1))
    slope[:n_own, 0] = kind.gradient(moments.pooled().mean[0, :n_own])
    by_cluster = moments.merged([clusters.index(g.stratum) for g in gathered.groups], len(clusters))
    peopled = by_cluster.of(np.flatnonzero(by_cluster.n > 0))
    return cluster_inflation(peopled.mapped(slope))


def _of_quantile(metric: Metric, state: MetricState, inflation: float) -> MetricHistory | Finding:
    biggest = max(state.quantiles, key=lambda q: q.n_users)
    error = (biggest.high - biggest.low) / _FULL
    if not error > 0:
        return _unknown(metric, "so many historic users tie at the quantile that its error cannot be seen")
    return MetricHistory(
        metric=metric,
        value=biggest.value,
        variance=biggest.n_users * biggest.inflation * error * error,
        n_users=biggest.n_users,
        inflation=inflation,
    )


def _explained(parts: Moments, names: Sequence[str]) -> tuple[Explained, ...]:
    """R squared of the first column on each of the others alone, then on all, less what chance explains."""
    sets = [(i,) for i in range(len(names))] + ([tuple(range(len(names)))] if len(names) > 1 else [])
    return tuple(
        Explained(
            covariates=tuple(names[i] for i in chosen), share=_r_squared(parts, [1 + i for i in chosen])
        )
        for chosen in sets
    )


def _r_squared(parts: Moments, which: Sequence[int]) -> float:
    scatter, n = parts.scatter[0], float(parts.n[0])
    cross = scatter[0, which]
    found = float(cross @ np.linalg.pinv(scatter[np.ix_(which, which)], rcond=1e-10, hermitian=True) @ cross)
    share = found / float(scatter[0, 0])
    free = n - len(which) - 1
    return max(0.0, 1 - (1 - share) * (n - 1) / free) if free > 0 else 0.0


def _unknown_clusters(metric: Metric, n: int) -> Finding:
    return Finding(
        code="design.unknown_clusters",
        severity=Severity.WARN,
        what=f"{metric.name}: how alike users of a cluster are cannot be told from {n} clusters, or of a {metric.kind}.",
        why="Clusters assigned as a whole carry less than their users; planned as single users they are too few.",
        do=f"Give a history of {_LEAST_CLUSTERS} clusters or more, or the design effect itself.",
        numbers={"n_clusters": n},
    )


def _unknown(metric: Metric, reason: str) -> Finding:
    return Finding(
        code="design.unknown_spread",
        severity=Severity.BLOCK,
        what=f"{metric.name}: {reason}.",
        why="Without the spread of users no sample size can be said.",
        do="Give a longer history, or plan by another metric.",
    )


def whole_weeks(n_days: int) -> int:
    """So many days, rounded up to whole weeks, so that every weekday counts alike."""
    return ceil(n_days / _WEEK) * _WEEK
