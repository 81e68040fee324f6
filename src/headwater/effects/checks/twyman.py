"""Twyman's law: any figure that looks interesting or different is usually wrong."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.facts import PRIOR_SD, fact_of
from headwater.effects.gathered import Gathered
from headwater.effects.linear import effects_by, linear
from headwater.effects.metric import Metric
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult
from headwater.numerics.effect import ArmEstimate, Effect, effect_of

__all__ = ["Twyman"]

RARE = 3.29  # standard deviations: one in a thousand lies beyond
UNHEARD = 0.3  # relative, where nothing is known of effects before


class Twyman:
    """Relative effects of every metric beside what effects were before, or beside 30%."""

    about: ClassVar[str] = "no effect is too large to be true"
    shows_effects: ClassVar[bool] = True

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Warns of an effect 3.3 standard deviations from those before, or, where none is known, at p < .001 beyond 30%."""
        name = "twyman"
        found = {
            (metric.name, arm.name): (effect, fact_of(gathered, PRIOR_SD, metric.name))
            for metric in plan.metrics
            for arm in plan.treatments
            if (effect := _effect(plan, gathered, metric, arm.name)) is not None
        }
        if not found:
            return CheckResult(
                name=name, about="no metric has a mean whose relative effect is known", ran=False
            )
        largest = max(found, key=lambda key: abs(_relative(found[key][0])))
        about = f"the largest relative effect is {_relative(found[largest][0]):+.1%}, of {largest[0]} in '{largest[1]}'"
        findings = tuple(
            _finding(metric, arm, effect, prior)
            for (metric, arm), (effect, prior) in found.items()
            if _is_too_large(effect, prior)
        )
        return CheckResult(name=name, about=about, ran=True, findings=findings)


def _effect(plan: Plan, gathered: Gathered, metric: Metric, arm: str) -> Effect | None:
    column = linear(metric, gathered, [a.name for a in plan.arms])
    if column is None:
        return None
    whole = effects_by(column, gathered, lambda _: "all", control=plan.control.name, arm=arm)
    if not whole.parts:
        return None
    value, variance = float(whole.value[0]), float(whole.value_variance[0])
    n = float(whole.n_users[0])
    control = ArmEstimate(value=value, variance=variance, df=n, n=n)
    treated = ArmEstimate(
        value=value + float(whole.difference[0]), variance=float(whole.variance[0]) - variance, df=n, n=n
    )
    effect = effect_of(control, treated, level=1 - LEVEL)
    return None if effect is None or effect.relative is None else effect


def _relative(effect: Effect) -> float:
    return effect.relative or 0.0


def _is_too_large(effect: Effect, prior_sd: float | None) -> bool:
    relative, low, high = _relative(effect), effect.rel_low or 0.0, effect.rel_high or 0.0
    if prior_sd is None:
        return low > UNHEARD or high < -UNHEARD
    error = (high - low) / 2 / RARE
    return abs(relative) > RARE * sqrt(prior_sd**2 + error**2)


def _finding(metric: str, arm: str, effect: Effect, prior_sd: float | None) -> Finding:
    beside = (
        "more than 30% is rare"
        if prior_sd is None
        else f"effects before differed by {prior_sd:.1%} (standard deviation)"
    )
    return Finding(
        code="effect.too_large",
        severity=Severity.WARN,
        what=(
            f"{metric} moves by {_relative(effect):+.1%} ({effect.rel_low:+.1%} to {effect.rel_high:+.1%}) in '{arm}', where {beside}."
        ),
        why="Effects this large are mostly faults of logging: an event counted twice, or lost, in one arm (Twyman's law).",
        do="Follow some users of each arm through the raw log before anybody is told.",
        numbers={"relative": _relative(effect), "metric": metric, "arm": arm},
    )
