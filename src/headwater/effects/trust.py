"""Trust: every check of the shelf over one experiment, before any effect is believed."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.core.finding import Finding, Severity
from headwater.effects.checks import CHECKS
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["blocking", "trust"]


def trust(plan: Plan, gathered: Gathered) -> tuple[CheckResult, ...]:
    """What each check says: those that block first, then those that warn, that note, that are silent, that could not run."""
    results = [CHECKS.load(name)().check(plan, gathered) for name in CHECKS.names()]
    return tuple(sorted(results, key=_weight))


def blocking(results: Sequence[CheckResult]) -> tuple[Finding, ...]:
    """The findings that withhold the verdict."""
    return tuple(f for result in results for f in result.findings if f.severity is Severity.BLOCK)


def _weight(result: CheckResult) -> int:
    if not result.ran:
        return 4
    order = (Severity.BLOCK, Severity.WARN, Severity.NOTE)
    return min((order.index(f.severity) for f in result.findings), default=3)
