"""Untriggered users: those whom no arm could touch are alike in all arms, and as many are triggered in each."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.compared import RANDOMIZED
from headwater.effects.gathered import Gathered
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult
from headwater.effects.triggered import is_triggered_analysis, triggered_part, untriggered_part
from headwater.numerics.effect import effect_of
from headwater.numerics.rates import rates_differ

__all__ = ["UntriggeredAlike"]


class UntriggeredAlike:
    """An A/A test of every metric on users who were not triggered, and of the share that was."""

    about: ClassVar[str] = (
        "users whom no arm could touch do not differ by arm, and as many are triggered in each"
    )
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks where either fails at p < .001, over all tests by Bonferroni."""
        name = "untriggered_alike"
        if not is_triggered_analysis(gathered):
            return CheckResult(name=name, about="the experiment has no trigger", ran=False)
        tested = {**_shares(plan, gathered), **_metrics(plan, gathered)}
        worst = min(tested, key=lambda key: tested[key])
        p = min(1.0, tested[worst] * len(tested))
        about = f"{len(tested)} tests, the least alike p = {p:.2g} (by Bonferroni)"
        findings = (_differs(worst, p),) if p < LEVEL else ()
        return CheckResult(name=name, about=about, ran=True, p_value=p, findings=findings)


def _shares(plan: Plan, gathered: Gathered) -> dict[str, float]:
    part = triggered_part(gathered)
    arms = [arm.name for arm in plan.arms]
    p = rates_differ([part.users_of(a) for a in arms], [gathered.users_of(a) for a in arms])
    return {"the share of users who are triggered": p}


def _metrics(plan: Plan, gathered: Gathered) -> dict[str, float]:
    part, welch = untriggered_part(gathered), RANDOMIZED.load("welch")()
    found: dict[str, float] = {}
    for metric in plan.metrics:
        if metric.name not in part.metrics or not isinstance(METRIC_KINDS.load(metric.kind)(), SmoothKind):
            continue
        for arm in plan.treatments:
            compared = welch.compare(metric, part, control=plan.control.name, arm=arm.name)
            if isinstance(compared, Finding):
                continue
            effect = effect_of(compared.control, compared.arm, covariance=compared.covariance)
            if effect is not None:
                found[f"{metric.name} of untriggered users in '{arm.name}'"] = effect.p_value
    return found


def _differs(what: str, p: float) -> Finding:
    return Finding(
        code="trigger.untriggered_differ",
        severity=Severity.BLOCK,
        what=f"What no arm could touch differs by arm: {what} (p = {p:.2g}).",
        why="The trigger is not the same in all arms, or misses users whom the treatment touched: who is compared was chosen by the treatment.",
        do="Log in every arm, the control too, whether the other experience would have differed; compare all users until then.",
        numbers={"p_value": p},
    )
