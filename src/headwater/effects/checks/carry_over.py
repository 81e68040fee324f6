"""Carry-over: what an earlier experiment did to users weighs on every arm alike."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.checks._rates import arm_rates
from headwater.effects.facts import N_ELSEWHERE
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["CarryOver"]


class CarryOver:
    """Users who were treated in an earlier experiment, by arm."""

    about: ClassVar[str] = "users treated in an earlier experiment are spread evenly over the arms"

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks where arms differ at p < .001."""
        name = "carry_over"
        rates = arm_rates(plan, gathered, N_ELSEWHERE)
        if rates is None:
            return CheckResult(name=name, about="the data tell of no earlier experiment", ran=False)
        about = f"treated in an earlier experiment: {rates.text} (difference p = {rates.p:.2g})"
        findings: tuple[Finding, ...] = ()
        if rates.p < LEVEL:
            findings = (
                Finding(
                    code="carry_over.uneven",
                    severity=Severity.BLOCK,
                    what=f"Arms hold different shares of users treated in an earlier experiment: {rates.text} (p = {rates.p:.2g}).",
                    why="What the earlier treatment did to its users lasts into this experiment, and counts as this one's effect.",
                    do="Assign anew with a salt of its own; where that is too late, give the earlier arm as strata.",
                    numbers={"share": rates.share, "p_value": rates.p},
                ),
            )
        return CheckResult(name=name, about=about, ran=True, p_value=rates.p, findings=findings)
