"""Small sample: there are enough users for intervals that lean on the normal law."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.checks._arms import plain_arm
from headwater.effects.facts import SKEWNESS, fact_of
from headwater.effects.gathered import Gathered, MetricState
from headwater.effects.linear import n_outcomes
from headwater.effects.metric import Metric
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["SmallSample"]

EVENTS = 20  # of those who did and of those who did not, in each arm
USERS = 100  # of each arm, where nothing is known of the shape
PER_SQUARED_SKEWNESS = 355  # Kohavi et al. (2014)


class SmallSample:
    """Users of each arm against what the shape of each outcome asks for."""

    about: ClassVar[str] = "there are enough users for the intervals"

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Warns below 20 events, 355 squared skewness, or 100 users, in any arm. A fact, no test."""
        name = "small_sample"
        states = [(m, gathered.metrics[m.name]) for m in plan.metrics if m.name in gathered.metrics]
        if not states:
            return CheckResult(name=name, about="no metric was gathered", ran=False)
        findings = tuple(
            _finding(metric.name, too_few)
            for metric, state in states
            if (too_few := _too_few(plan, gathered, metric, state))
        )
        about = f"{len(states)} metrics, {len(findings)} with too few users"
        return CheckResult(name=name, about=about, ran=True, findings=findings)


def _too_few(plan: Plan, gathered: Gathered, metric: Metric, state: MetricState) -> str:
    """The worst arm in words; empty where all have enough."""
    least = min(plan.arms, key=lambda arm: gathered.users_of(arm.name)).name
    n = gathered.users_of(least)
    if n < USERS:
        return f"'{least}' has {n:,} users, below {USERS}"
    if state.quantiles or n_outcomes(metric) > 1:
        return ""
    for arm in plan.arms:
        found = _of_arm(gathered, metric, state, arm.name)
        if found:
            return found
    return ""


def _of_arm(gathered: Gathered, metric: Metric, state: MetricState, arm: str) -> str:
    one = plain_arm(gathered, state, arm)
    if _is_share(state, gathered, arm):
        events = round(min(one.value, 1 - one.value) * one.n)
        return f"'{arm}' has {events:,} events, below {EVENTS}" if events < EVENTS else ""
    skewness = fact_of(gathered, SKEWNESS, metric.name)
    if skewness is None and state.largest is not None and one.variance > 0:
        skewness = _least_skewness(float(state.largest[gathered.of_arm(arm)].max(initial=0.0)), one.value, one.variance, one.n)  # fmt: skip
    needed = PER_SQUARED_SKEWNESS * skewness**2 if skewness is not None else 0.0
    return (
        f"'{arm}' has {one.n:,.0f} users, and its skewness asks for {needed:,.0f}" if one.n < needed else ""
    )


def _is_share(state: MetricState, gathered: Gathered, arm: str) -> bool:
    """Whether outcomes are 0 or 1: then, and only then, the mean square is the mean."""
    moments = state.moments.of(gathered.of_arm(arm)).pooled()
    mean, n = float(moments.mean[0, 0]), float(moments.n[0])
    square = float(moments.scatter[0, 0, 0]) / n + mean**2 if n else 0.0
    return bool(n and np.isclose(square, mean, rtol=1e-9))


def _least_skewness(largest: float, mean: float, variance_of_mean: float, n: float) -> float:
    """What the largest outcome alone adds to the skewness, which is at least about that."""
    spread = np.sqrt(variance_of_mean * n)
    return float(((largest - mean) / spread) ** 3 / n)


def _finding(metric: str, too_few: str) -> Finding:
    return Finding(
        code="sample.small",
        severity=Severity.WARN,
        what=f"{metric}: {too_few}.",
        why="The mean is not yet spread like the normal law: intervals hold less often than they say.",
        do="Wait for more users, winsorize, or read the permutation method's p-value.",
        numbers={"metric": metric},
    )
