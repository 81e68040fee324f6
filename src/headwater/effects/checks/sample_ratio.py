"""Sample ratio: every arm got the share of users that was planned."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.checks._causes import causes
from headwater.effects.checks._counts import LEAST_EXPECTED, arm_counts, arms_text
from headwater.effects.facts import N_ASSIGNED, fact_of
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult
from headwater.numerics.sample_ratio import srm

__all__ = ["SampleRatio"]

NOTED = 0.01  # less sure than this is no news


class SampleRatio:
    """Users of each arm against the planned shares, of a triggered analysis also of all who were assigned."""

    about: ClassVar[str] = "arms got the shares of users that were planned"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks at p < .001, over both sets of a triggered analysis by Bonferroni."""
        counts = arm_counts(plan, gathered)
        share = np.array([arm.share for arm in plan.arms])
        if counts.sum() * share.min() / share.sum() < LEAST_EXPECTED:
            about = f"{counts.sum():,} users are too few to test the shares of arms"
            return CheckResult(name="sample_ratio", about=about, ran=False)
        sets = {"": counts}
        assigned = _assigned(plan, gathered)
        if assigned is not None:
            sets["of all who were assigned"] = assigned
        tested = {which: min(1.0, srm(n, share)[1] * len(sets)) for which, n in sets.items()}
        worst = min(tested, key=lambda which: tested[which])
        p = tested[worst]
        about = f"{arms_text(plan, sets[worst])} {worst}: p = {p:.2g}".replace(" :", ":")
        findings: tuple[Finding, ...] = ()
        if p < LEVEL:
            findings = (_mismatch(plan, gathered, sets[worst], p, worst),)
        elif p < NOTED:
            findings = (_close(plan, sets[worst], p),)
        return CheckResult(name="sample_ratio", about=about, ran=True, p_value=p, findings=findings)


def _assigned(plan: Plan, gathered: Gathered) -> NDArray[np.int64] | None:
    counts = [fact_of(gathered, N_ASSIGNED, arm.name) for arm in plan.arms]
    known = [round(n) for n in counts if n is not None]
    return np.array(known, dtype=np.int64) if len(known) == len(counts) and sum(known) else None


def _mismatch(plan: Plan, gathered: Gathered, counts: NDArray[np.int64], p: float, which: str) -> Finding:
    found = causes(plan, gathered)
    return Finding(
        code="srm.mismatch",
        severity=Severity.BLOCK,
        what=f"Arms did not get their shares{' ' + which if which else ''}: {arms_text(plan, counts)}, p = {p:.2g}. {found.seen}",
        why="The users who are missing are rarely like the others, so every effect is biased, by an unknown amount.",
        do=found.do,
        numbers={"p_value": p, **{f"n_{arm.name}": n for arm, n in zip(plan.arms, counts.tolist(), strict=True)}},
    )  # fmt: skip


def _close(plan: Plan, counts: NDArray[np.int64], p: float) -> Finding:
    return Finding(
        code="srm.close",
        severity=Severity.NOTE,
        what=f"Arms are somewhat uneven: {arms_text(plan, counts)}, p = {p:.2g}, not below {LEVEL:g}.",
        why=f"One sound experiment in {1 / p:,.0f} is as uneven as this; so is one that loses a few users of an arm.",
        do="Read on, but look at who assigns and logs exposures before a narrow decision is made.",
        numbers={"p_value": p},
    )
