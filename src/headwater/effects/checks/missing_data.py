"""Missing data: outcomes are missing for the same share of users in every arm."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.gathered import Gathered, MetricState
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult
from headwater.numerics.rates import rates_differ

__all__ = ["MissingData"]

LEAST_DIFFERENCE = 0.001  # of shares: a smaller one moves little, however sure it is
MANY = 0.2
UNFINISHED = 0.99  # share of missing outcomes from which the windows of a day of exposure are not over


class MissingData:
    """Users without an outcome, by metric and arm."""

    about: ClassVar[str] = "outcomes are missing for the same share of users in every arm"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks where shares differ at p < .001 (Bonferroni over metrics) by a tenth of a point; warns of many missing."""
        name = "missing_data"
        states = {m.name: gathered.metrics[m.name] for m in plan.metrics if m.name in gathered.metrics}
        if not states:
            return CheckResult(name=name, about="no metric was gathered", ran=False)
        findings: list[Finding] = []
        least = 1.0
        for metric, state in states.items():
            missing, users = _missing(plan, gathered, state)
            p = min(1.0, rates_differ(missing, users) * len(states))
            least = min(least, p)
            shares = [m / max(n, 1) for m, n in zip(missing, users, strict=True)]
            text = ", ".join(f"{arm.name} {share:.2%}" for arm, share in zip(plan.arms, shares, strict=True))
            if p < LEVEL:
                findings.append(_differs(metric, text, p, max(shares) - min(shares)))
            elif sum(missing) > MANY * max(sum(users), 1):
                findings.append(_many(metric, text, sum(missing) / sum(users)))
        about = f"{len(states)} metrics, the least even p = {least:.2g} (by Bonferroni)"
        return CheckResult(name=name, about=about, ran=True, p_value=least, findings=tuple(findings))


def _missing(plan: Plan, gathered: Gathered, state: MetricState) -> tuple[list[int], list[int]]:
    """Users without an outcome and all users of each arm; days on which nobody has one are not over, and left out."""
    lost, n = Counter[int | None](), Counter[int | None]()
    for i, group in enumerate(gathered.groups):
        lost[group.day] += int(state.n_missing[i])
        n[group.day] += int(gathered.n_users[i])
    is_over = np.array([lost[g.day] < UNFINISHED * n[g.day] for g in gathered.groups])
    arms = [(at := gathered.of_arm(arm.name))[is_over[at]] for arm in plan.arms]
    return [int(state.n_missing[at].sum()) for at in arms], [int(gathered.n_users[at].sum()) for at in arms]


def _differs(metric: str, text: str, p: float, difference: float) -> Finding:
    blocks = difference >= LEAST_DIFFERENCE
    return Finding(
        code="missing.differs",
        severity=Severity.BLOCK if blocks else Severity.WARN,
        what=f"The outcome of {metric} is missing for different shares of users: {text} (p = {p:.2g}).",
        why=(
            "Users without an outcome are left out, and the arms compare different users."
            if blocks
            else "The arms compare slightly different users; so few are missing that the effect moves little."
        ),
        do=(
            "Find out why outcomes are missing in one arm (a crash, a log that the treatment breaks, users who left). "
            "Where missing means nothing happened, declare it as zero."
        ),
        numbers={"p_value": p, "metric": metric, "difference_share": difference},
    )


def _many(metric: str, text: str, share: float) -> Finding:
    return Finding(
        code="missing.many",
        severity=Severity.WARN,
        what=f"The outcome of {metric} is missing for {share:.0%} of users: {text}.",
        why="The effect is that on users whose outcome is known, who may be a kind of their own.",
        do="Where missing means nothing happened, declare it as zero; otherwise say of whom the effect is.",
        numbers={"share": share, "metric": metric},
    )
