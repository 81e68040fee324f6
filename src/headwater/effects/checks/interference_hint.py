"""Interference: users of the control do not feel the treatment of their neighbors."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.facts import STRATA_ARE_CLUSTERS
from headwater.effects.gathered import Gathered
from headwater.effects.linear import linear
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult
from headwater.numerics.slope import Slope, robust_slope

__all__ = ["InterferenceHint"]

LEAST_CLUSTERS = 20


class InterferenceHint:
    """The control's outcome in clusters against the share of each cluster that was treated, for the primary metrics."""

    about: ClassVar[str] = "the control does not move with the share of neighbors who are treated"
    shows_effects: ClassVar[bool] = True

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Warns where the control moves with that share at p < .001, over primary metrics by Bonferroni."""
        name = "interference_hint"
        if not gathered.facts.get(STRATA_ARE_CLUSTERS):
            about = "no cluster (city, friends, market) was given: these data cannot tell whether users feel each other's arm"
            return CheckResult(name=name, about=about, ran=False)
        slopes = {
            metric.name: found
            for metric in plan.metrics_of(Part.PRIMARY)
            if (found := _slope(plan, gathered, metric)) is not None
        }
        if not slopes:
            about = f"fewer than {LEAST_CLUSTERS} clusters whose treated share differs and who hold controls"
            return CheckResult(name=name, about=about, ran=False)
        worst = min(slopes, key=lambda metric: slopes[metric].p_value)
        p = min(1.0, slopes[worst].p_value * len(slopes))
        about = f"{worst} of the control moves by {slopes[worst].slope:+.4g} from nobody treated to everybody treated (p = {p:.2g})"
        findings = (_finding(about, worst, p),) if p < LEVEL else ()
        return CheckResult(name=name, about=about, ran=True, p_value=p, findings=findings)


def _slope(plan: Plan, gathered: Gathered, metric: Metric) -> Slope | None:
    column = linear(metric, gathered, [a.name for a in plan.arms])
    if column is None:
        return None
    names = sorted({g.stratum for g in gathered.groups if g.stratum})
    at = {name: i for i, name in enumerate(names)}
    users, treated, n = np.zeros(len(names)), np.zeros(len(names)), np.zeros(len(names))
    total = np.zeros(len(names))
    for i, group in enumerate(gathered.groups):
        if group.stratum:
            users[at[group.stratum]] += gathered.n_users[i]
            if group.arm == plan.control.name:
                n[at[group.stratum]] += column.n[i]
                total[at[group.stratum]] += column.n[i] * column.mean[i, 0]
            else:
                treated[at[group.stratum]] += gathered.n_users[i]
    used = n > 0
    if used.sum() < LEAST_CLUSTERS:
        return None
    return robust_slope(treated[used] / users[used], total[used] / n[used], weight=n[used])


def _finding(about: str, metric: str, p: float) -> Finding:
    return Finding(
        code="interference.hint",
        severity=Severity.WARN,
        what=f"{about[0].upper()}{about[1:]}.",
        why=(
            "Users of the control feel the treatment of their neighbors (shared stock, budget, prices or friends): "
            "the difference of arms is not the effect of treating everybody."
        ),
        do="Randomize whole clusters, or switch all users between time spans, and analyze by cluster.",
        numbers={"p_value": p, "metric": metric},
    )
