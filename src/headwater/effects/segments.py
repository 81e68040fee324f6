"""Segments: the effect in every segment, drawn towards all, false discoveries held, and labeled as what it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.gathered import Gathered
from headwater.effects.linear import PartEffects, effects_by, linear
from headwater.effects.metric import Metric
from headwater.effects.plan import Plan
from headwater.numerics.multiplicity import adjusted
from headwater.numerics.sample_ratio import homogeneity
from headwater.numerics.shrinkage import Shrunk, cochran_q, shrunk

__all__ = ["Segment", "Segments", "segments"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The effect in one segment, in the unit of the metric.

    ``difference`` is the segment's own; ``value`` with ``low`` and ``high`` is drawn towards all segments by how
    little they differ, which is the better guess of the segment's truth (the own figures where segments are fewer
    than three). ``p_adjusted`` is by Benjamini and Hochberg over the segments.
    """

    name: str
    n_users: int
    difference: float
    std_error: float
    p_value: float
    p_adjusted: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Effects of an arm on a metric by segment.

    ``p_differs`` tests that all segments have one effect (Cochran's Q), ``spread`` is the standard deviation of
    true effects between segments (None where they are fewer than three). ``is_exploratory``: the plan did not ask.
    """

    metric: str
    arm: str
    overall: float
    rows: tuple[Segment, ...]
    q: float
    p_differs: float
    spread: float | None
    is_exploratory: bool
    findings: tuple[Finding, ...]


def segments(
    plan: Plan, gathered: Gathered, metric: Metric, *, arm: str, is_planned: bool = False, level: float = 0.95
) -> Segments | Finding:
    """Effects by stratum of ``gathered``, of segments with at least 20 users in both arms.

    Parameters
    ----------
    is_planned
        Whether the plan, written down before, asked for these segments; otherwise they are exploratory.
    level
        Of the intervals.
    """
    column = linear(metric, gathered, [a.name for a in plan.arms])
    if column is None:
        return _nothing(metric, "it has no mean, or none that is known in both arms")
    control = plan.control.name
    parts = effects_by(column, gathered, lambda g: g.stratum, control=control, arm=arm)
    if len(parts.parts) < 2:
        return _nothing(metric, f"{len(parts.parts)} segments have 20 users in both arms")
    overall = float(effects_by(column, gathered, lambda _: "all", control=control, arm=arm).difference[0])
    q, p = cochran_q(parts.difference, parts.variance)
    drawn = shrunk(parts.difference, parts.variance)
    rows = _rows(parts, drawn, level)
    is_exploratory = not is_planned or plan.registered_on is None
    findings = [_exploratory(metric, rows, plan.alpha)] if is_exploratory else []
    if p < plan.alpha:
        findings.append(_differ(metric, rows, q, p))
    if _turns(overall, parts) and _shares_differ(gathered, control, arm):
        findings.append(_simpson(metric, overall, len(rows)))
    return Segments(
        metric=metric.name,
        arm=arm,
        overall=overall,
        rows=rows,
        q=q,
        p_differs=p,
        spread=None if drawn is None else drawn.spread,
        is_exploratory=is_exploratory,
        findings=tuple(findings),
    )


def _rows(parts: PartEffects, drawn: Shrunk | None, level: float) -> tuple[Segment, ...]:
    error = np.sqrt(parts.variance)
    p = 2 * np.asarray(special.ndtr(-np.abs(parts.difference) / error), dtype=np.float64)
    p_adjusted = adjusted(p, how="bh")
    value = parts.difference if drawn is None else drawn.value
    reach = float(special.ndtri((1 + level) / 2)) * (error if drawn is None else drawn.std_error)
    return tuple(
        Segment(
            name=name,
            n_users=int(parts.n_users[i]),
            difference=float(parts.difference[i]),
            std_error=float(error[i]),
            p_value=float(p[i]),
            p_adjusted=float(p_adjusted[i]),
            value=float(value[i]),
            low=float(value[i] - reach[i]),
            high=float(value[i] + reach[i]),
        )
        for i, name in enumerate(parts.parts)
    )


def _turns(overall: float, parts: PartEffects) -> bool:
    return bool((np.sign(parts.difference) == -np.sign(overall)).all()) and overall != 0


def _shares_differ(gathered: Gathered, control: str, arm: str) -> bool:
    """Whether the two arms are mixed otherwise over the segments, more than chance does."""
    names = sorted({g.stratum for g in gathered.groups})
    table: NDArray[np.int64] = np.zeros((len(names), 2), dtype=np.int64)
    for group, n in zip(gathered.groups, gathered.n_users, strict=True):
        if group.arm in (control, arm):
            table[names.index(group.stratum), int(group.arm == arm)] += n
    return homogeneity(table[table.sum(axis=1) > 0])[1] < LEVEL


def _nothing(metric: Metric, because: str) -> Finding:
    return Finding(
        code="segments.nothing",
        severity=Severity.BLOCK,
        what=f"{metric.name} cannot be told by segment: {because}.",
        why="An effect needs users of both arms who differ, in each of at least two segments.",
        do="Name a coarser column, or wait for more users.",
    )


def _exploratory(metric: Metric, rows: tuple[Segment, ...], alpha: float) -> Finding:
    clear = sum(row.p_adjusted < alpha for row in rows)
    return Finding(
        code="segments.exploratory",
        severity=Severity.NOTE,
        what=(
            f"{metric.name} was looked at in {len(rows)} segments that the plan did not name; {clear} are clear after "
            f"Benjamini-Hochberg."
        ),
        why=(
            f"Who looks at {len(rows)} segments without any effect finds one below {alpha:g} in "
            f"{1 - (1 - alpha) ** len(rows):.0%} of experiments: this is fishing, and what is caught is an idea, no proof."
        ),
        do="Plan an experiment for the segment, or read the shrunken effects.",
        numbers={"n_segments": len(rows), "n_clear": clear},
    )


def _differ(metric: Metric, rows: tuple[Segment, ...], q: float, p: float) -> Finding:
    low, high = min(rows, key=lambda r: r.value), max(rows, key=lambda r: r.value)
    return Finding(
        code="segments.differ",
        severity=Severity.NOTE,
        what=(
            f"The effect on {metric.name} is not the same in all segments (Q = {q:.1f}, p = {p:.2g}): from {low.value:+.4g} in "
            f"'{low.name}' to {high.value:+.4g} in '{high.name}', drawn towards all."
        ),
        why="The mean effect is that of this mix of users; another mix has another.",
        do="See whether the same segments differ in other experiments before users are treated by segment.",
        numbers={"q": q, "p_value": p},
    )


def _simpson(metric: Metric, overall: float, n: int) -> Finding:
    return Finding(
        code="segments.simpson",
        severity=Severity.WARN,
        what=(
            f"Over all the effect on {metric.name} is {overall:+.4g}, in each of {n} segments it has the other sign, and arms "
            f"hold different shares of the segments."
        ),
        why="The effect over all is that of the mix (Simpson's paradox): the arm that got more of the better segment looks better.",
        do="Compare within segments (post-stratify), and find out why the shares differ.",
        numbers={"overall": overall, "n_segments": n},
    )
