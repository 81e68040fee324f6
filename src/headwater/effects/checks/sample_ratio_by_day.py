"""Sample ratio by day: on every day arms got the shares of new users that were planned."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.checks._counts import arms_text, counts_by
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["SampleRatioByDay"]


class SampleRatioByDay:
    """Users first exposed on each day, of each arm, against the planned shares."""

    about: ClassVar[str] = "arms got their shares on every day of exposure"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks where a day fails at p < .001, over the days by Bonferroni."""
        name = "sample_ratio_by_day"
        days = counts_by(plan, gathered, is_day=True)
        if days is None:
            return CheckResult(
                name=name, about="fewer than two days of exposure with enough users", ran=False
            )
        p = days.p_least
        about = f"{len(days.parts)} days, the least even p = {p:.2g} (by Bonferroni)"
        if p < LEVEL and days.follows(plan):
            about = f"{about}, on every day about as over all: see sample_ratio"
            return CheckResult(name=name, about=about, ran=True, p_value=p)
        if p >= LEVEL:
            return CheckResult(name=name, about=about, ran=True, p_value=p)
        worst = int(np.argmin(days.p))
        uneven = [day for day, one in zip(days.parts, days.p_adjusted, strict=True) if one < LEVEL]
        finding = Finding(
            code="srm.day",
            severity=Severity.BLOCK,
            what=(
                f"On {len(uneven)} of {len(days.parts)} days arms did not get their shares, most of all on "
                f"{days.parts[worst]}: {arms_text(plan, days.n[worst])}, p = {p:.2g}."
            ),
            why="Whoever was lost or doubled on those days differs between arms, and the effect is partly theirs.",
            do=(
                "Look for a release, an outage, a lost delivery or changed shares on those days, and analyze without them; "
                "where shares were changed on purpose, give the days as strata."
            ),
            numbers={"p_value": p, "n_days": len(uneven), "day": days.parts[worst]},
        )
        return CheckResult(name=name, about=about, ran=True, p_value=p, findings=(finding,))
