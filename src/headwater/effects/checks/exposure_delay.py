"""Exposure delay: exposures are logged when they happen, in every arm alike."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.checks._rates import arm_rates
from headwater.effects.facts import N_DELAYED
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["ExposureDelay"]

MANY = 0.05  # share of users


class ExposureDelay:
    """Users whose exposure was logged late, by arm."""

    about: ClassVar[str] = "exposures are logged in time, in every arm alike"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks where arms differ at p < .001; warns where more than 5% of exposures are late."""
        name = "exposure_delay"
        rates = arm_rates(plan, gathered, N_DELAYED)
        if rates is None:
            return CheckResult(name=name, about="the data do not tell when exposures were logged", ran=False)
        about = f"logged late: {rates.text} (difference p = {rates.p:.2g})"
        findings: tuple[Finding, ...] = ()
        if rates.p < LEVEL or rates.share > MANY:
            differs = rates.p < LEVEL
            findings = (
                Finding(
                    code="exposure.late",
                    severity=Severity.BLOCK if differs else Severity.WARN,
                    what=f"{rates.share:.2%} of exposures were logged late: {rates.text} (difference p = {rates.p:.2g}).",
                    why=(
                        "What users did before a late exposure is not counted, and who left before it is lost: of one arm more than of the other."
                        if differs
                        else "What users did before a late exposure is not counted: the effect is understated."
                    ),
                    do="Log the exposure where the arm is decided, before anything differs, and count outcomes from the assignment on.",
                    numbers={"share": rates.share, "p_value": rates.p},
                ),
            )
        return CheckResult(name=name, about=about, ran=True, p_value=rates.p, findings=findings)
