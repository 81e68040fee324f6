"""Outlier influence: no single user makes the effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.checks._arms import plain_arm
from headwater.effects.gathered import Gathered
from headwater.effects.linear import n_outcomes
from headwater.effects.metric import Metric
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult
from headwater.numerics.effect import ArmEstimate, effect_of

__all__ = ["OutlierInfluence"]

NOTED = 1.0  # standard errors without the user
MOVES = 1.5  # standard errors from which on it is a warning; from one on where clearness hangs on the user


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dropped:
    """The effect with and without the largest outcome of one arm; ``moves`` in standard errors without it."""

    metric: str
    arm: str
    of: str
    largest: float
    share: float
    before: float
    after: float
    moves: float
    was_clear: bool
    is_clear: bool

    @property
    def matters(self) -> bool:
        """Whether one user makes the effect."""
        return self.moves > NOTED

    @property
    def severity(self) -> Severity:
        """A warning where the verdict may hang on the user."""
        return Severity.WARN if self.moves > MOVES or self.was_clear != self.is_clear else Severity.NOTE


class OutlierInfluence:
    """The effect without the largest outcome of each arm, of metrics that are means."""

    about: ClassVar[str] = "no single user makes the effect"
    shows_effects: ClassVar[bool] = True

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Notes one user who moves the effect by a standard error; warns at 1.5, or where clearness hangs on the user."""
        name = "outlier_influence"
        dropped = [one for metric in plan.metrics for one in _each_dropped(plan, gathered, metric)]
        if not dropped:
            return CheckResult(
                name=name, about="no metric is a mean whose largest outcome is known", ran=False
            )
        worst = max(dropped, key=lambda d: d.moves)
        about = f"at most {worst.moves:.2f} standard errors of {worst.metric} are one user's"
        findings = {
            (d.metric, d.of): _finding(d) for d in sorted(dropped, key=lambda d: d.moves) if d.matters
        }
        return CheckResult(name=name, about=about, ran=True, findings=tuple(findings.values()))


def _each_dropped(plan: Plan, gathered: Gathered, metric: Metric) -> list[_Dropped]:
    """Each treatment beside the control without the largest outcome of either, of a metric that is a mean."""
    state = gathered.metrics.get(metric.name)
    if state is None or state.largest is None or state.quantiles or n_outcomes(metric) > 1:
        return []
    arms = {arm.name: plain_arm(gathered, state, arm.name) for arm in plan.arms}
    largest = {a: float(state.largest[gathered.of_arm(a)].max(initial=0.0)) for a in arms}
    return [
        one
        for arm in plan.treatments
        for of in (plan.control.name, arm.name)
        if (one := _drop(plan, metric.name, arms, arm=arm.name, of=of, size=largest[of])) is not None
    ]


def _drop(
    plan: Plan, metric: str, arms: Mapping[str, ArmEstimate], *, arm: str, of: str, size: float
) -> _Dropped | None:
    """The difference of ``arm`` without a user of ``of`` whose outcome has this ``size`` and the sign of the mean."""
    one = arms[of]
    if min(arms[a].n for a in (plan.control.name, arm)) < 3 or not one.value:
        return None
    largest = float(np.copysign(size, one.value))
    before = effect_of(arms[plan.control.name], arms[arm], level=1 - plan.alpha)
    without = {**arms, of: _without(one, largest)}
    after = effect_of(without[plan.control.name], without[arm], level=1 - plan.alpha)
    if before is None or after is None:
        return None
    return _Dropped(
        metric=metric,
        arm=arm,
        of=of,
        largest=largest,
        share=largest / (one.value * one.n),
        before=before.difference,
        after=after.difference,
        moves=abs(after.difference - before.difference) / after.std_error,
        was_clear=before.p_value < plan.alpha,
        is_clear=after.p_value < plan.alpha,
    )


def _without(arm: ArmEstimate, largest: float) -> ArmEstimate:
    """The arm without one user, from its moments."""
    n, away = arm.n, largest - arm.value
    scatter = arm.variance * n * (n - 1) - away**2 * n / (n - 1)
    return ArmEstimate(
        value=arm.value - away / (n - 1),
        variance=max(scatter, 0.0) / (n - 2) / (n - 1),
        df=n - 2,
        n=n - 1,
    )


def _finding(dropped: _Dropped) -> Finding:
    clear = {True: "clear", False: "not clear"}
    return Finding(
        code="outlier.influence",
        severity=dropped.severity,
        what=(
            f"One user of '{dropped.of}' with {dropped.largest:,.6g} has {dropped.share:.2%} of that arm's {dropped.metric}: without them "
            f"the difference of '{dropped.arm}' is {dropped.after:+.4g} ({clear[dropped.is_clear]}), with them {dropped.before:+.4g} "
            f"({clear[dropped.was_clear]})."
        ),
        why="Which arm that user fell into was chance: another draw gives another verdict.",
        do="Look at the user (a test account, a reseller, a bot?), and winsorize the metric (for both arms, by the same cap).",
        numbers={
            "share": dropped.share,
            "standard_errors": dropped.moves,
            "metric": dropped.metric,
            "arm": dropped.of,
            "largest": dropped.largest,
        },
    )
