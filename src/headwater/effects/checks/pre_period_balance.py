"""Pre-period balance: before the experiment, users of all arms were alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.gathered import Gathered
from headwater.effects.linear import by_arm, n_outcomes
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult
from headwater.numerics.hotelling import t_squared
from headwater.numerics.moments import Moments

__all__ = ["PrePeriodBalance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tested:
    """A treatment beside the control in some covariates."""

    arm: str
    covariates: tuple[str, ...]
    p: float
    means: tuple[float, float]


class PrePeriodBalance:
    """An A/A test on every covariate, and on all of a metric at once by Hotelling's T-squared."""

    about: ClassVar[str] = "users of all arms were alike before the experiment"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks where an arm differs from the control at p < .001, over all its tests by Bonferroni."""
        name = "pre_period_balance"
        tested = [
            one
            for columns, moments in _covariates(plan, gathered)
            for arm in plan.treatments
            for one in _tests(columns, by_arm(gathered, moments, (plan.control.name, arm.name)), arm.name)
        ]
        if not tested:
            return CheckResult(
                name=name, about="no metric has a covariate from before the experiment", ran=False
            )
        worst = min(tested, key=lambda one: one.p)
        p = min(1.0, worst.p * len(tested))
        about = f"{len(tested)} tests of covariates, the least balanced p = {p:.2g} (by Bonferroni)"
        findings = (_unbalanced(plan, tested, p),) if p < LEVEL else ()
        return CheckResult(name=name, about=about, ran=True, p_value=p, findings=findings)


def _covariates(plan: Plan, gathered: Gathered) -> list[tuple[tuple[str, ...], Moments]]:
    """Each set of covariates once, of the first metric that has it."""
    sets: dict[tuple[str, ...], Moments] = {}
    for metric in plan.metrics:
        state = gathered.metrics.get(metric.name)
        first = n_outcomes(metric)
        if state is not None and len(state.columns) > first and state.columns[first:] not in sets:
            sets[state.columns[first:]] = state.moments.columns(range(first, len(state.columns)))
    return list(sets.items())


def _tests(columns: tuple[str, ...], moments: Moments, arm: str) -> list[_Tested]:
    alone = [(i,) for i in range(len(columns))]
    together = [tuple(range(len(columns)))] if len(columns) > 1 else []
    tested: list[_Tested] = []
    for which in [*alone, *together]:
        found = t_squared(moments.columns(which))
        if found is not None:
            means: list[float] = moments.mean[:, which[0]].tolist()
            names = tuple(columns[i] for i in which)
            tested.append(_Tested(arm=arm, covariates=names, p=found[2], means=(means[0], means[1])))
    return tested


def _unbalanced(plan: Plan, tested: list[_Tested], p: float) -> Finding:
    order = np.argsort([one.p for one in tested])
    worst = tested[int(order[0])]
    named = next((tested[int(i)] for i in order if len(tested[int(i)].covariates) == 1), worst)
    return Finding(
        code="balance.pre_period",
        severity=Severity.BLOCK,
        what=(
            f"Before the experiment '{worst.arm}' already differed from '{plan.control.name}' in {' and '.join(worst.covariates)} "
            f"(p = {p:.2g}); most of all {named.covariates[0]} was {named.means[1]:.4g} beside {named.means[0]:.4g}."
        ),
        why="Arms that differ before the treatment differ after it without any: the effect is not the treatment's alone.",
        do=(
            "Look for an assignment that is not random (a hash shared with an earlier experiment, an arm that was filtered), "
            "and for a covariate that is measured after the exposure. Assign anew with another salt."
        ),
        numbers={"p_value": p, "arm": worst.arm, "covariate": named.covariates[0]},
    )  # fmt: skip
