"""Why a score cannot be known for some users: what scores on the shelf refuse in the same words."""

from __future__ import annotations

from headwater.core.finding import Finding, Severity
from headwater.evaluation.scored import ScoredUsers

__all__ = [
    "refuse_constant_actual",
    "refuse_few_users",
    "refuse_no_chances",
    "refuse_no_intervals",
    "refuse_no_positive_total",
    "refuse_no_quantiles",
]


def refuse_no_positive_total(sample: ScoredUsers) -> Finding | None:
    """``score.no_positive_actual`` where the outcomes do not sum to more than zero."""
    total = float(sample.actual.sum())
    if total > 0:
        return None
    return Finding(
        code="score.no_positive_actual",
        severity=Severity.BLOCK,
        what=f"The outcomes of {sample.n_users:,} users sum to {total:g}.",
        why="A score in shares of the total would divide by nothing, or by net refunds.",
        do="Take a longer horizon, more users, or a target that is not net of refunds.",
        numbers={"n_users": sample.n_users, "total": total},
    )


def refuse_constant_actual(sample: ScoredUsers) -> Finding | None:
    """``score.constant_actual`` where all outcomes are equal."""
    if sample.actual.min() < sample.actual.max():
        return None
    return Finding(
        code="score.constant_actual",
        severity=Severity.BLOCK,
        what=f"All {sample.n_users:,} users have the outcome {sample.actual[0]:g}.",
        why="There is no order to predict, so no ranking is better than another.",
        do="Take a longer horizon or more users.",
        numbers={"n_users": sample.n_users},
    )


def refuse_few_users(sample: ScoredUsers, *, least: int = 10) -> Finding | None:
    """``score.too_few_users`` where there are fewer than ``least``."""
    if sample.n_users >= least:
        return None
    return Finding(
        code="score.too_few_users",
        severity=Severity.BLOCK,
        what=f"There are {sample.n_users} users.",
        why=f"The share of them that this score looks at is a fraction of one user below {least}.",
        do="Score more users.",
        numbers={"n_users": sample.n_users, "least": least},
    )


def refuse_no_intervals(sample: ScoredUsers) -> Finding | None:
    """``score.no_intervals`` where the model gave none."""
    if sample.low is not None:
        return None
    return Finding(
        code="score.no_intervals",
        severity=Severity.BLOCK,
        what="The predictions come without intervals.",
        why="Nobody can check how often outcomes fell inside.",
        do="Calibrate intervals (headwater.numerics.intervals.fit_bins) before scoring.",
    )


def refuse_no_quantiles(sample: ScoredUsers) -> Finding | None:
    """``score.no_quantiles`` where the model gave none."""
    if sample.quantiles is not None:
        return None
    return Finding(
        code="score.no_quantiles",
        severity=Severity.BLOCK,
        what="The predictions come without quantiles.",
        why="A whole distribution cannot be judged by its mean.",
        do="Learn quantiles from past errors (headwater.numerics.intervals.fit_bins) before scoring.",
    )


def refuse_no_chances(sample: ScoredUsers) -> Finding | None:
    """``score.no_chances`` where randomized intervals are not known."""
    if sample.chances is not None and sample.level is not None:
        return None
    return Finding(
        code="score.no_chances",
        severity=Severity.BLOCK,
        what="The predictions come without randomized intervals.",
        why="Where outcomes tie, fixed intervals cover too much, and nobody can say how much of it is the ties.",
        do="Learn intervals from past errors (headwater.numerics.intervals.fit_bins) before scoring.",
    )
