"""Trust: every check of the shelf over one experiment, before any effect is believed."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.core.finding import Finding, Severity
from headwater.effects.checks import CHECKS
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["blocking", "trust"]


def trust(plan: Plan, gathered: Gathered, *, may_decide: bool = True) -> tuple[CheckResult, ...]:
    """What each check says: those that block first, then those that warn, that note, that are silent, that could not run.

    Where the stop rule does not let effects be read yet (``may_decide``), checks that would tell them are not run.
    """
    results = [_checked(name, plan, gathered, may_decide=may_decide) for name in CHECKS.names()]
    return tuple(sorted(results, key=_weight))


def _checked(name: str, plan: Plan, gathered: Gathered, *, may_decide: bool) -> CheckResult:
    check = CHECKS.load(name)
    if check.shows_effects and not may_decide:
        about = "it would tell effects, which the stop rule does not let be read yet"
        return CheckResult(name=name, about=about, ran=False)
    return check().check(plan, gathered)


def blocking(results: Sequence[CheckResult]) -> tuple[Finding, ...]:
    """The findings that withhold the verdict."""
    return tuple(f for result in results for f in result.findings if f.severity is Severity.BLOCK)


def _weight(result: CheckResult) -> int:
    if not result.ran:
        return 4
    order = (Severity.BLOCK, Severity.WARN, Severity.NOTE)
    return min((order.index(f.severity) for f in result.findings), default=3)
