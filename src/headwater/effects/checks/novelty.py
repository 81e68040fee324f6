"""Novelty: the effect does not wear off, nor take time to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.checks._counts import day_of
from headwater.effects.gathered import Gathered
from headwater.effects.linear import PartEffects, effects_by, linear
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult
from headwater.numerics.slope import Slope, known_slope

__all__ = ["Novelty"]

LEAST_DAYS = 4
CLEAR = 4.0  # standard errors by which a control's mean must be above zero for effects over it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trend:
    """The effect along days of first exposure, of a metric in an arm."""

    metric: str
    arm: str
    slope: Slope
    first: float
    last: float
    is_relative: bool


class Novelty:
    """Effects of users who came on each day, along the days, for the primary metrics."""

    about: ClassVar[str] = "the effect is the same for users who came early and late"
    shows_effects: ClassVar[bool] = True

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Warns where the effect has a trend at p < .001, over primary metrics and arms by Bonferroni."""
        name = "novelty"
        trends = [
            trend
            for metric in plan.metrics_of(Part.PRIMARY)
            for arm in plan.treatments
            if (trend := _trend(plan, gathered, metric, arm.name)) is not None
        ]
        if not trends:
            about = f"fewer than {LEAST_DAYS} days of exposure with enough users, or no primary metric that has a mean"
            return CheckResult(name=name, about=about, ran=False)
        worst = min(trends, key=lambda t: t.slope.p_value)
        p = min(1.0, worst.slope.p_value * len(trends))
        about = f"{worst.metric} in '{worst.arm}' {_course(worst)} (p = {p:.2g})"
        findings = (_finding(plan, worst, p),) if p < LEVEL else ()
        return CheckResult(name=name, about=about, ran=True, p_value=p, findings=findings)


def _trend(plan: Plan, gathered: Gathered, metric: Metric, arm: str) -> _Trend | None:
    column = linear(metric, gathered, [a.name for a in plan.arms])
    if column is None:
        return None
    effects = effects_by(column, gathered, day_of, control=plan.control.name, arm=arm)
    if len(effects.parts) < LEAST_DAYS:
        return None
    day = np.array(effects.parts, dtype="datetime64[D]").astype(np.float64)
    relative = _relative(effects) if plan.window_days is None else None
    y, variance = (effects.difference, effects.variance) if relative is None else relative
    slope = known_slope(day, y, variance=variance, weight=1 / effects.spread)
    if slope is None:
        return None
    first, last = (slope.intercept + slope.slope * float(at) for at in (day[0], day[-1]))
    return _Trend(
        metric=metric.name, arm=arm, slope=slope, first=first, last=last, is_relative=relative is not None
    )


def _relative(effects: PartEffects) -> tuple[np.ndarray, np.ndarray] | None:
    """Logarithms of the ratio of means and their variances; None where a control is not clear of zero.

    Who came earlier was watched longer: an effect in proportion is the same for all, an absolute one grows.
    """
    control, arm = effects.value, effects.value + effects.difference
    if (control < CLEAR * np.sqrt(effects.value_variance)).any() or (arm <= 0).any():
        return None
    of_arm = effects.variance - effects.value_variance
    return np.log(arm / control), of_arm / arm**2 + effects.value_variance / control**2


def _course(trend: _Trend) -> str:
    first, last = np.expm1((trend.first, trend.last)) if trend.is_relative else (trend.first, trend.last)
    shown = "+.1%" if trend.is_relative else "+.4g"
    return f"goes from {first:{shown}} for users of the first day to {last:{shown}} for those of the last"


def _finding(plan: Plan, trend: _Trend, p: float) -> Finding:
    shrinks = abs(trend.last) < abs(trend.first)
    if plan.window_days is not None:
        word = "It fades for users who came later" if shrinks else "It grows for users who came later"
        why = "The mean over all days is no forecast of what comes: early users are often the keenest, or times have changed."
    else:
        word = (
            "Primacy: it is smaller the shorter users have been in"
            if shrinks
            else "Novelty: it is larger the shorter users have been in"
        )
        why = "What is new is tried, and what is unwonted is learned: the effect of the first days is not that of the later ones."
    return Finding(
        code="effect.trend",
        severity=Severity.WARN,
        what=f"The effect on {trend.metric} in '{trend.arm}' {_course(trend)} (p = {p:.2g}). {word}.",
        why=why,
        do="Run longer and read the effect by day of exposure; count on what the latest weeks show, not on the mean.",
        numbers={"p_value": p, "metric": trend.metric, "arm": trend.arm, "slope_per_day": trend.slope.slope},
    )
