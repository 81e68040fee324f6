"""Small sample: there are enough users for intervals that lean on the normal law."""

from __future__ import annotations

from math import sqrt
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
from headwater.numerics.effect import ArmEstimate

__all__ = ["SmallSample"]

EVENTS = 20  # of those who did and of those who did not, in each arm
USERS = 100  # of each arm, where nothing is known of the shape
SKEWED = 1 / sqrt(355)  # of a mean: n = 355 squared skewness (Kohavi et al. 2014)
VERY_SKEWED = 0.5  # a one-sided 2.5% is then about 3.9% on one side and 1.1% on the other


class SmallSample:
    """Users of each arm against what the shape of each outcome asks for."""

    about: ClassVar[str] = "there are enough users for the intervals"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Warns below 20 events or 100 users, or of a very skewed difference; notes a skewed one. A fact, no test."""
        name = "small_sample"
        states = [(m, gathered.metrics[m.name]) for m in plan.metrics if m.name in gathered.metrics]
        if not states:
            return CheckResult(name=name, about="no metric was gathered", ran=False)
        findings = tuple(
            found
            for metric, state in states
            if (found := _of_metric(plan, gathered, metric, state)) is not None
        )
        about = f"{len(states)} metrics, {len(findings)} with too few users for their shape"
        return CheckResult(name=name, about=about, ran=True, findings=findings)


def _of_metric(plan: Plan, gathered: Gathered, metric: Metric, state: MetricState) -> Finding | None:
    least = min(plan.arms, key=lambda arm: gathered.users_of(arm.name)).name
    n = gathered.users_of(least)
    if n < USERS:
        return _few(metric, f"'{least}' has {n:,} users, below {USERS}")
    if state.quantiles or n_outcomes(metric) > 1:
        return None
    arms = {arm.name: plain_arm(gathered, state, arm.name) for arm in plan.arms}
    if all(_is_share(one) for one in arms.values()):
        events = {arm: round(min(one.value, 1 - one.value) * one.n) for arm, one in arms.items()}
        fewest = min(events, key=lambda arm: events[arm])
        if events[fewest] < EVENTS:
            return _few(metric, f"'{fewest}' has {events[fewest]:,} events, below {EVENTS}")
        return None
    skewness = fact_of(gathered, SKEWNESS, metric.name)
    if skewness is None:
        skewness = _least_skewness(state, list(arms.values()))
    control = arms[plan.control.name]
    of_effect = {arm.name: _of_difference(skewness, control.n, arms[arm.name].n) for arm in plan.treatments}
    worst = max(of_effect, key=lambda arm: of_effect[arm])
    return _skewed(metric, worst, skewness, of_effect[worst]) if of_effect[worst] > SKEWED else None


def _is_share(one: ArmEstimate) -> bool:
    """Whether outcomes are 0 or 1: then, and only then, the mean square is the mean."""
    square = one.variance * (one.n - 1) + one.value**2
    return bool(np.isclose(square, one.value, rtol=1e-9))


def _least_skewness(state: MetricState, arms: list[ArmEstimate]) -> float:
    """What the largest outcome of all arms alone adds to the skewness, which is at least about that."""
    n = sum(one.n for one in arms)
    spread = sqrt(sum(one.variance * one.n * one.n for one in arms) / n)
    if state.largest is None or not spread:
        return 0.0
    mean = sum(one.value * one.n for one in arms) / n
    return (max(float(state.largest.max()) - mean, 0.0) / spread) ** 3 / n


def _of_difference(skewness: float, n_control: float, n_arm: float) -> float:
    """Skewness of the difference of two means of one shape: none where arms are even."""
    return abs(skewness) * abs(1 / n_arm - 1 / n_control) / sqrt(1 / n_arm + 1 / n_control)


def _few(metric: Metric, too_few: str) -> Finding:
    return Finding(
        code="sample.small",
        severity=Severity.WARN,
        what=f"{metric.name}: {too_few}.",
        why="The mean is not yet spread like the normal law: intervals hold less often than they say.",
        do="Wait for more users, or read the permutation method's p-value.",
        numbers={"metric": metric.name},
    )


def _skewed(metric: Metric, arm: str, skewness: float, of_effect: float) -> Finding:
    off = of_effect / 6 * (1.96**2 - 1) * 0.0584  # Edgeworth: skewness / 6 (z^2 - 1) phi(z)
    return Finding(
        code="sample.skewed",
        severity=Severity.WARN if of_effect > VERY_SKEWED else Severity.NOTE,
        what=(
            f"{metric.name} has a skewness of at least {skewness:,.0f}, and '{arm}' and the control differ in size: the skewness "
            f"of their difference is {of_effect:.2f}."
        ),
        why=f"An interval that misses 2.5% on each side misses about {max(0.025 - off, 0):.1%} on one and {0.025 + off:.1%} on the other.",
        do="Winsorize, make the arms even, or read the permutation method's p-value.",
        numbers={"metric": metric.name, "skewness": skewness, "of_difference": of_effect},
    )
