"""The design of an experiment from history: how many users, how long, with which looks, and what each choice costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

import numpy as np

from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity
from headwater.effects.designed import CurvePoint, Design, MetricDesign, thinnest
from headwater.effects.history import Arrivals, MetricHistory, whole_weeks
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Plan, StopRule
from headwater.effects.stop_costs import stop_costs
from headwater.numerics.power import Sides, alpha_each, detectable, users_needed

__all__ = ["design"]

MOST_DAYS = 182
SHORT_HISTORY = 14
_SWING = 1.5


def design(
    plan: Plan,
    histories: Sequence[MetricHistory],
    *,
    effects: Mapping[str, float],
    arrivals: Arrivals,
    looks: Sequence[float] | int = 1,
    traffic: float = 1.0,
    most_days: int = MOST_DAYS,
) -> Design:
    """Design an experiment from what history says.

    Parameters
    ----------
    plan
        Arms, metrics, alpha and power; its stop rule is replaced by what comes out.
    histories
        One for each metric that shall be able to decide; primary metrics set the users, guardrails with a margin too.
    effects
        By metric: the relative effect to be found (0.02 for 2%). A guardrail goes by its margin.
    arrivals
        New users by day.
    looks
        Shares of the users at which the test may stop, the last 1; or how many equal ones.
    traffic
        The share of arrivals that takes part.
    """
    spaced = tuple((i + 1) / looks for i in range(looks)) if isinstance(looks, int) else tuple(looks)
    costs = stop_costs(spaced, alpha=plan.alpha, power=plan.power)
    method = _recommended(arrivals, len(spaced))
    inflation = next(c.inflation for c in costs if c.method == method) or 1.0
    rough = tuple(_needed(plan, h, effects, inflation) for h in histories)
    deciding = [m for m in rough if m.history.metric.part is not Part.SECONDARY] or list(rough)
    n_users = max(m.n_users for m in deciding)
    joined = Arrivals(by_day=tuple(round(n * traffic) for n in arrivals.by_day))
    window = plan.window_days or 0
    found = joined.days_until(n_users, most=most_days)
    n_days = None if found is None else whole_weeks(found) + window
    metrics = tuple(_timed(m, plan, joined, n_users / inflation, most_days) for m in rough)
    stop = StopRule(method=method, n_users=n_users, looks=spaced if method == "group_sequential" else ())
    return Design(
        plan=replace(plan, stop=stop),
        metrics=metrics,
        curve=_curve(plan, metrics, joined, n_days or most_days, inflation),
        stopping=costs,
        n_users=n_users,
        n_days=n_days,
        users_a_day=float(joined.cumulative(28)[-1]) / 28 if joined.by_day else 0.0,
        findings=_findings(plan, metrics, arrivals, n_users=n_users, n_days=n_days, most_days=most_days),
    )


def _recommended(arrivals: Arrivals, n_looks: int) -> str:
    """Spotify's rule: group sequential where the most users can be foretold, always-valid where they cannot."""
    if n_looks == 1:
        return "fixed"
    return "group_sequential" if len(arrivals.by_day) >= SHORT_HISTORY else "confidence_sequence"


def _alpha_of(plan: Plan, metric: Metric) -> float:
    """Primary metrics share alpha with all their arms (Holm begins as Bonferroni); a guardrail's margin is tested on one side."""
    if metric.part is Part.GUARDRAIL and metric.margin is not None:
        return plan.alpha / 2
    if metric.part is not Part.PRIMARY:
        return plan.alpha
    n = len(plan.metrics_of(Part.PRIMARY)) * len(plan.treatments)
    return alpha_each(
        plan.alpha, n_comparisons=n, correction="none" if plan.correction == "none" else "bonferroni"
    )


def _sides(metric: Metric) -> Sides:
    return "one_sided" if metric.part is Part.GUARDRAIL and metric.margin is not None else "two_sided"


def _needed(
    plan: Plan, history: MetricHistory, effects: Mapping[str, float], inflation: float
) -> MetricDesign:
    metric = history.metric
    sides = _sides(metric)
    rel = metric.margin if sides == "one_sided" and metric.margin is not None else effects.get(metric.name)
    if rel is None or rel == 0:
        raise UsageError(
            "design.no_effect",
            what=f"No effect is named that {metric.name} shall find.",
            why="The smaller the effect, the more users: without it no number can be said.",
            do=f"Name it as a relative change, such as {metric.name} = 0.02.",
        )
    difference, alpha = abs(rel * history.value), _alpha_of(plan, metric)
    if difference == 0:
        raise UsageError(
            "design.no_base",
            what=f"{metric.name} is zero in history, so a relative effect of {rel:.1%} is none.",
            why="A relative effect is a share of the level in history.",
            do="Take a history in which the metric happens, or another metric.",
        )
    plain, left = (
        users_needed(
            0.0 if sides == "one_sided" else difference,
            margin=difference if sides == "one_sided" else 0.0,
            variances=(history.variance, history.variance),
            alpha=alpha,
            power=plan.power,
            sides=sides,
            shares=thinnest(plan),
            inflation=history.inflation * share,
        )
        for share in (1.0, history.left)
    )
    return MetricDesign(
        history=history,
        rel_effect=rel,
        difference=difference,
        alpha=alpha,
        n_users=ceil(left * inflation),
        n_users_plain=ceil(plain * inflation),
        n_days=None,
        rel_detectable=None,
    )


def _timed(
    metric: MetricDesign, plan: Plan, arrivals: Arrivals, n_users: float, most_days: int
) -> MetricDesign:
    days = arrivals.days_until(metric.n_users, most=most_days)
    return replace(
        metric,
        n_days=None if days is None else days + (plan.window_days or 0),
        rel_detectable=_detectable(metric, plan, n_users, metric.history.left),
    )


def _detectable(metric: MetricDesign, plan: Plan, n_users: float, left: float) -> float:
    """The relative effect (of a guardrail the margin) that the users find, in size."""
    history, sides = metric.history, _sides(metric.history.metric)
    found = detectable(
        n_users,
        variances=(history.variance, history.variance),
        alpha=metric.alpha,
        power=plan.power,
        sides=sides,
        shares=thinnest(plan),
        inflation=history.inflation * left,
    )
    return found / abs(history.value)


def _curve(
    plan: Plan, metrics: Sequence[MetricDesign], arrivals: Arrivals, n_days: int, inflation: float
) -> tuple[CurvePoint, ...]:
    window = plan.window_days or 0
    longest = max(whole_weeks(n_days - window), 28)
    so_far = arrivals.cumulative(longest) if arrivals.by_day else np.zeros(0)
    return tuple(
        CurvePoint(
            metric=m.history.metric.name,
            n_days=day + window,
            n_users=round(float(so_far[day - 1])),
            rel_detectable=_detectable(m, plan, float(so_far[day - 1]) / inflation, m.history.left),
            rel_detectable_plain=_detectable(m, plan, float(so_far[day - 1]) / inflation, 1.0),
        )
        for m in metrics
        for day in range(7, so_far.size + 1, 7)
        if so_far[day - 1] / inflation >= 10 / min(thinnest(plan))
    )


def _findings(
    plan: Plan,
    metrics: Sequence[MetricDesign],
    arrivals: Arrivals,
    *,
    n_users: int,
    n_days: int | None,
    most_days: int,
) -> tuple[Finding, ...]:
    found: list[Finding] = []
    if not arrivals.by_day:
        found.append(_no_arrivals())
    elif n_days is None:
        found.append(_out_of_reach(metrics, n_users, most_days))
    elif n_days - (plan.window_days or 0) > len(arrivals.by_day):
        found.append(_short_history(len(arrivals.by_day), n_days))
    found += [_clusters(m.history) for m in metrics if m.history.inflation > 1]
    swing = arrivals.weekly_swing
    if swing is not None and swing > _SWING:
        found.append(_weekdays(swing))
    if plan.window_days:
        found.append(_window(plan.window_days))
    return tuple(found)


def _out_of_reach(metrics: Sequence[MetricDesign], n_users: int, most_days: int) -> Finding:
    hardest = max(metrics, key=lambda m: m.n_users)
    return Finding(
        code="design.out_of_reach",
        severity=Severity.WARN,
        what=f"{n_users:,} users do not arrive in {most_days} days; {hardest.history.metric.name} asks for the most.",
        why="A test that cannot end teaches nothing, and one cut short finds only effects larger than planned.",
        do="Look for a larger effect, another metric or covariates that explain more; the curve says what is found by when.",
        numbers={"n_users": n_users, "most_days": most_days},
    )


def _no_arrivals() -> Finding:
    return Finding(
        code="design.no_arrivals",
        severity=Severity.WARN,
        what="Nothing says how many users come on a day.",
        why="How many users are needed is known; how long that takes is not.",
        do="Name the column of the day users were first seen, or how many come a day.",
    )


def _short_history(n_days: int, needed: int) -> Finding:
    return Finding(
        code="design.short_history",
        severity=Severity.WARN,
        what=f"History has {n_days} days of arrivals; the test takes {needed}.",
        why="Days beyond history go on as its last weeks, while regular users are all counted after a time: fewer may come.",
        do="Plan with a longer history, or read the duration as the shortest there may be.",
        numbers={"n_days": n_days, "n_needed": needed},
    )


def _clusters(history: MetricHistory) -> Finding:
    return Finding(
        code="design.clusters",
        severity=Severity.NOTE,
        what=f"{history.metric.name}: assigned in clusters, users carry {1 / history.inflation:.0%} of what they would carry one by one.",
        why="Users of a cluster are alike; more clusters help, more users in them hardly do.",
        do="Assign smaller clusters where interference allows it, and analyze by clusters.",
        numbers={"inflation": history.inflation},
    )


def _weekdays(swing: float) -> Finding:
    return Finding(
        code="design.weekdays",
        severity=Severity.NOTE,
        what=f"The busiest weekday brings {swing:.1f} times the users of the quietest.",
        why="Users of different weekdays differ; a test of some of them answers for these alone.",
        do="Run whole weeks, as the duration here does.",
        numbers={"swing": swing},
    )


def _window(n_days: int) -> Finding:
    return Finding(
        code="design.window",
        severity=Severity.NOTE,
        what=f"Each user's outcome takes {n_days} days, which the duration has at its end.",
        why="Users whose window is open count as nothing yet; a look sees finished windows only.",
        do="Close the door to new users on the day that the users suffice, and wait.",
        numbers={"window_days": n_days},
    )
