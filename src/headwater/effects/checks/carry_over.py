"""Carry-over: what an earlier experiment did to users weighs on every arm alike."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.checks._rates import ArmRates, arm_rates
from headwater.effects.facts import N_ELSEWHERE
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["CarryOver"]


class CarryOver:
    """Users who had met an arm of an earlier experiment, by arm."""

    about: ClassVar[str] = "users who met an earlier experiment are spread evenly over the arms"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks where arms differ at p < .001, over the earlier arms by Bonferroni."""
        name = "carry_over"
        rates = _rates(plan, gathered)
        if not rates:
            return CheckResult(name=name, about="the data tell of no earlier experiment", ran=False)
        worst = min(rates, key=lambda other: rates[other].p)
        p = min(1.0, rates[worst].p * len(rates))
        about = f"{len(rates)} earlier arms, the least even {worst}: {rates[worst].text}, p = {p:.2g} (by Bonferroni)"
        findings = (_uneven(worst, rates[worst], p),) if p < LEVEL else ()
        return CheckResult(name=name, about=about, ran=True, p_value=p, findings=findings)


def _rates(plan: Plan, gathered: Gathered) -> dict[str, ArmRates]:
    before, after = f"{N_ELSEWHERE}/", f"/{plan.control.name}"
    others = [
        key.removeprefix(before).removesuffix(after)
        for key in gathered.facts
        if key.startswith(before) and key.endswith(after)
    ]
    found = {other: arm_rates(plan, gathered, f"{N_ELSEWHERE}/{other}") for other in others}
    return {other: rates for other, rates in found.items() if rates is not None}


def _uneven(other: str, rates: ArmRates, p: float) -> Finding:
    return Finding(
        code="carry_over.uneven",
        severity=Severity.BLOCK,
        what=f"Arms hold different shares of users who had met '{other}' before: {rates.text}, p = {p:.2g}.",
        why="What the earlier experiment did to its users lasts into this one, and counts as this one's effect.",
        do="Assign anew with a salt of its own; where that is too late, give the earlier arm as strata.",
        numbers={"p_value": p, "earlier": other, "share": rates.share},
    )
