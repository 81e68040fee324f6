"""Interaction: whether an arm's effect is another one for users who are treated in a second experiment too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.gathered import Gathered
from headwater.effects.linear import effects_by, linear
from headwater.effects.plan import Plan
from headwater.numerics.sample_ratio import homogeneity

__all__ = ["Interaction", "Interactions", "interactions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """The effect of ``arm`` for users of the other experiment's control and of its ``other_arm``, and their difference.

    ``contrast`` is what both treatments do together beyond what each does; ``p_value`` is its own,
    ``p_adjusted`` by Bonferroni over all contrasts of the experiment.
    """

    metric: str
    arm: str
    other_arm: str
    n_users: int
    alone: float
    together: float
    contrast: float
    std_error: float
    low: float
    high: float
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interactions:
    """Two experiments that share users. ``p_independent`` tests that one's arm says nothing of the other's."""

    rows: tuple[Interaction, ...]
    p_independent: float
    findings: tuple[Finding, ...]


def interactions(plan: Plan, gathered: Gathered, *, other_control: str, level: float = 0.95) -> Interactions:
    """Every metric and arm of a plan by the arms of another experiment, which are the strata of ``gathered``.

    Users who are not in the other experiment belong to no stratum (an empty name) and are left out. A contrast has
    twice the standard error of the effect itself at even shares: only large interactions are seen.
    """
    p_independent = _independent(plan, gathered)
    rows = _rows(plan, gathered, other_control, float(special.ndtri((1 + level) / 2)))
    findings: list[Finding] = []
    if p_independent < LEVEL:
        findings.append(_dependent(plan, p_independent))
    findings.extend(_finding(row) for row in rows if row.p_adjusted < LEVEL)
    return Interactions(rows=rows, p_independent=p_independent, findings=tuple(findings))


def _rows(plan: Plan, gathered: Gathered, other_control: str, reach: float) -> tuple[Interaction, ...]:
    made: list[Interaction] = []
    for metric in plan.metrics:
        column = linear(metric, gathered, [a.name for a in plan.arms])
        if column is None:
            continue
        for arm in plan.treatments:
            parts = effects_by(column, gathered, lambda g: g.stratum, control=plan.control.name, arm=arm.name)
            at = {name: i for i, name in enumerate(parts.parts)}
            if other_control not in at:
                continue
            alone = at[other_control]
            for other, both in at.items():
                if other != other_control:
                    contrast = float(parts.difference[both] - parts.difference[alone])
                    error = sqrt(float(parts.variance[both] + parts.variance[alone]))
                    p = 2 * float(special.ndtr(-abs(contrast) / error))
                    made.append(
                        Interaction(
                            metric=metric.name, arm=arm.name, other_arm=other,
                            n_users=int(parts.n_users[both] + parts.n_users[alone]),
                            alone=float(parts.difference[alone]), together=float(parts.difference[both]),
                            contrast=contrast, std_error=error, low=contrast - reach * error, high=contrast + reach * error,
                            p_value=p, p_adjusted=p,
                        )
                    )  # fmt: skip
    return tuple(replace(row, p_adjusted=min(1.0, row.p_value * len(made))) for row in made)


def _independent(plan: Plan, gathered: Gathered) -> float:
    arms = {arm.name: i for i, arm in enumerate(plan.arms)}
    others = {name: i for i, name in enumerate(sorted({g.stratum for g in gathered.groups if g.stratum}))}
    table = np.zeros((len(others), len(arms)), dtype=np.int64)
    for group, n in zip(gathered.groups, gathered.n_users, strict=True):
        if group.arm in arms and group.stratum in others:
            table[others[group.stratum], arms[group.arm]] += n
    return homogeneity(table[table.sum(axis=1) > 0])[1]


def _dependent(plan: Plan, p: float) -> Finding:
    return Finding(
        code="experiments.dependent",
        severity=Severity.BLOCK,
        what=f"The arms of {plan.name} hold different shares of the other experiment's arms (p = {p:.2g}).",
        why="The other treatment falls on the arms unevenly, and its effect counts as this one's.",
        do="Give each experiment a salt of its own, or put both into one layer so that no user is in both.",
        numbers={"p_value": p},
    )


def _finding(row: Interaction) -> Finding:
    return Finding(
        code="experiments.interact",
        severity=Severity.WARN,
        what=(
            f"The effect of '{row.arm}' on {row.metric} is {row.alone:+.4g} for users of the other control and {row.together:+.4g} with "
            f"'{row.other_arm}' (contrast {row.contrast:+.4g}, {row.low:+.4g} to {row.high:+.4g}, p = {row.p_adjusted:.2g})."
        ),
        why="The effect that was measured is that of today's mix: once the other experiment ends it is one or the other.",
        do="Decide on both together, by the four cells; run them one after the other where the sum is worse than its parts.",
        numbers={"contrast": row.contrast, "p_value": row.p_adjusted, "metric": row.metric},
    )
