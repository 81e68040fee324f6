"""Totals of groups of users with intervals: cohorts, channels, audiences.

Single users' luck averages out over a group; what all users share (the season), and what a group shares (a
campaign that brought other people), does not. Both are estimated from past origins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from headwater.core.answer import Estimate
from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity
from headwater.evaluation.grouping import Grouping
from headwater.numerics import totals

__all__ = ["GroupError", "GroupTotals", "SharedError", "group_error", "group_intervals", "shared_error"]

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_FEWEST_USERS = 20
_FEWEST_GROUPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupError:
    """How far totals of groups of one kind were off beyond what all users shared, relative to the forecast.

    ``share`` is its standard deviation, ``df`` how well that is known (groups less origins, shrunk where
    windows overlap). ``factors`` replace plus and minus z at ``level`` where past groups were enough to
    read them off.
    """

    share: float
    df: float
    n_groups: int
    factors: tuple[float, float] | None = None
    level: float = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedError:
    """How far a model's totals were off at past origins, relative to the forecast.

    ``share`` is common to all users. ``windows`` counts the origins by how little their windows overlap: 1 for
    the first, and for each further one the share of a horizon that lies between. ``groups`` holds, by kind of
    group, what groups do not share with each other. The same origins chose the model, so ``share``
    is a little too small; nothing but later origins can tell by how much.
    """

    share: float
    n_origins: int
    windows: float
    groups: Mapping[str, GroupError] = field(default_factory=dict[str, GroupError])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupTotals:
    """Of one kind of group at one origin, shape (groups,): users, predicted and actual totals, variances of the forecast."""

    names: tuple[str, ...]
    n_users: Floats
    predicted: Floats
    actual: Floats
    variance: Floats

    @classmethod
    def of(cls, grouping: Grouping, *, predicted: Floats, actual: Floats, variance: Floats) -> GroupTotals:
        """Add users up."""
        return cls(
            names=grouping.names,
            n_users=grouping.sums(np.ones_like(predicted)),
            predicted=grouping.sums(predicted),
            actual=grouping.sums(actual),
            variance=grouping.sums(variance),
        )


def shared_error(
    sums: Sequence[tuple[float, float]], origins: Sequence[int], horizon_days: int
) -> SharedError:
    """Root mean square of the relative errors of totals (predicted, actual) at each origin; nothing came is off by all."""
    shares = [came / predicted - 1 for predicted, came in sums if predicted > 0]
    share = float(np.sqrt(np.mean(np.square(shares)))) if shares else 1.0
    windows = min(float(len(origins)), 1 + (max(origins) - min(origins)) / horizon_days)
    return SharedError(share=share, n_origins=max(1, len(shares)), windows=windows)


def group_error(past: Sequence[GroupTotals], *, windows: float, level: float) -> GroupError | None:
    """What groups of one kind do not share, from past origins; None where too few groups are large enough."""
    errors, variances, at = [], [], []
    for origin, groups in enumerate(past):
        known = (groups.n_users >= _FEWEST_USERS) & (groups.predicted > 0)
        forecast = groups.predicted[known]
        errors.append(groups.actual[known] / forecast - 1)
        variances.append(groups.variance[known] / forecast**2)
        at.append(np.full(forecast.size, origin, dtype=np.intp))
    y, v, origins = np.concatenate(errors), np.concatenate(variances), np.concatenate(at)
    n_origins = np.unique(origins).size
    if y.size - n_origins < _FEWEST_GROUPS - 1:
        return None
    _, origins = np.unique(origins, return_inverse=True)
    between = totals.between_variance(y, v, origins)
    past_errors = totals.standardized(y, v, origins, between=between)
    independent = min(1.0, windows / n_origins)
    return GroupError(
        share=sqrt(between),
        df=max(1.0, (y.size - n_origins) * independent),
        n_groups=y.size,
        factors=totals.tail_factors(past_errors, level=level),
        level=level,
    )


def group_intervals(
    mean: Floats,
    *,
    variance: Floats,
    groups: Grouping,
    shared: SharedError,
    kind: str = "",
    level: float = 0.9,
    unit: str = "",
    estimand: str = "total",
    at_least: float | None = None,
) -> dict[str, Estimate]:
    """The total of every group of users with its interval.

    Parameters
    ----------
    mean, variance
        Of each user's forecast, shape (users,).
    groups
        Which group each user is in.
    shared
        From a backtest of the model that made the forecast.
    kind
        What the groups are (``"month"``, ``"channel"``), as named in the backtest. Groups of a kind that was not
        tested take the largest error of those that were; where none was, a finding says so.
    at_least
        No interval begins below it (0 for what cannot be negative).

    Raises ``UsageError`` (``totals.shapes``) where arrays are not over the same users.
    """
    _require_same(mean, variance, groups)
    between, findings = _between(shared, kind)
    sums = GroupTotals.of(groups, predicted=mean, actual=mean, variance=variance)
    below, above = totals.reaches(
        sums.predicted,
        sums.variance,
        common=(shared.share, shared.windows),
        between=(between.share, between.df),
        level=level,
        factors=between.factors if between.level == level else None,
    )
    low = sums.predicted - below
    if at_least is not None:
        low = np.minimum(np.maximum(low, at_least), sums.predicted)
    errors = np.sqrt(sums.variance + (shared.share**2 + between.share**2) * sums.predicted**2)
    method = (
        f"users' variances added; {shared.share:.1%} that all share, from {shared.n_origins} past origins; "
        f"{between.share:.1%} that a group shares, from {between.n_groups} groups at past origins"
    )
    return {
        name: Estimate(
            estimand=f"{estimand} of {name}",
            value=float(sums.predicted[i]),
            low=float(low[i]),
            high=float(sums.predicted[i] + above[i]),
            level=level,
            unit=unit,
            n_users=int(sums.n_users[i]),
            method=method,
            std_error=float(errors[i]),
            findings=findings,
        )
        for i, name in enumerate(sums.names)
    }


def _between(shared: SharedError, kind: str) -> tuple[GroupError, tuple[Finding, ...]]:
    if kind in shared.groups:
        return shared.groups[kind], ()
    if shared.groups:
        return max(shared.groups.values(), key=lambda g: g.share), ()
    found = Finding(
        code="totals.group_untested",
        severity=Severity.WARN,
        what=f"How far totals of single groups ({kind or 'of this kind'}) were off was not tested at past origins.",
        why="A group can be off where the total of all users is right; these intervals leave that out and are too narrow.",
        do="Run the backtest with these groups.",
    )
    return GroupError(share=0.0, df=1.0, n_groups=0), (found,)


def _require_same(mean: Floats, variance: Floats, groups: Grouping) -> None:
    if mean.ndim != 1 or mean.shape != variance.shape or mean.size != groups.codes.size:
        raise UsageError(
            "totals.shapes",
            what=f"Means have shape {mean.shape}, variances {variance.shape}, groups {groups.codes.shape}.",
            why="Every user has one mean, one variance and one group.",
            do="Pass arrays over the same users in the same order.",
        )
