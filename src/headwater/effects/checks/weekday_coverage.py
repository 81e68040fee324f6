"""Weekday coverage: every weekday is in the experiment, as often as the others."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.checks._counts import day_text
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["WeekdayCoverage"]


class WeekdayCoverage:
    """Days of exposure, against whole weeks."""

    about: ClassVar[str] = "the experiment ran for whole weeks"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Warns below one full week; notes weeks that are not whole. A fact, no test."""
        name = "weekday_coverage"
        arms = {arm.name for arm in plan.arms}
        came = zip(gathered.groups, gathered.n_users, strict=True)
        days = sorted({g.day for g, n in came if g.day is not None and n and g.arm in arms})
        if not days:
            return CheckResult(name=name, about="the data tell no days of exposure", ran=False)
        span = days[-1] - days[0] + 1
        n_weekdays = len({day % 7 for day in days})
        about = f"users came on {len(days)} days from {day_text(days[0])} to {day_text(days[-1])}, on {n_weekdays} weekdays"
        findings: tuple[Finding, ...] = ()
        if n_weekdays < 7 or span % 7:
            findings = (_uneven(about, is_short=n_weekdays < 7, n_days=span),)
        return CheckResult(name=name, about=about, ran=True, findings=findings)


def _uneven(about: str, *, is_short: bool, n_days: int) -> Finding:
    return Finding(
        code="weekday.coverage",
        severity=Severity.WARN if is_short else Severity.NOTE,
        what=f"{about[0].upper()}{about[1:]}{'' if is_short else f': {n_days} days are no whole weeks'}.",
        why="Weekend users and weekday users differ: the effect is that on the days that were seen, or weighs some twice.",
        do="Let it run to the end of a whole week; do not stop on a good day.",
        numbers={"n_days": n_days},
    )
