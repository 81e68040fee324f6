"""Crossed exposures: no user met more than one arm."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.checks._rates import arm_rates
from headwater.effects.facts import N_CROSSED
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["CrossedExposures"]

MOST = 0.01  # share of users


class CrossedExposures:
    """Users exposed to an arm beside that of their first exposure, by arm."""

    about: ClassVar[str] = "no user met more than one arm"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks above 1% of users, or where arms differ at p < .001."""
        name = "crossed_exposures"
        rates = arm_rates(plan, gathered, N_CROSSED, are_left_out=True)
        if rates is None:
            return CheckResult(name=name, about="the data tell one arm for each user", ran=False)
        about = f"met another arm too: {rates.text} (difference p = {rates.p:.2g})"
        findings: tuple[Finding, ...] = ()
        if rates.share > MOST or rates.p < LEVEL:
            findings = (
                Finding(
                    code="exposure.crossed",
                    severity=Severity.BLOCK,
                    what=f"{rates.share:.2%} of users met more than one arm: {rates.text} (difference p = {rates.p:.2g}).",
                    why=(
                        "Users who met both arms belong to neither and are left out; where they are many, or left out of "
                        "one arm more than of another, the arms hold different users."
                    ),
                    do=(
                        "Look for ids that change (a login, several devices), assignment by device where users are analyzed, or "
                        "shares changed under a running experiment. Assign by an id that lasts."
                    ),
                    numbers={"share": rates.share, "p_value": rates.p},
                ),
            )
        return CheckResult(name=name, about=about, ran=True, p_value=rates.p, findings=findings)
