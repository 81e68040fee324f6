"""What a trust check is: one file of the shelf ``effects/checks``.

Every check that tests a hypothesis has the error rate ``LEVEL``, divided over its tests. Ten of them test, so that
all together cry wolf over about one sound analysis in 100 (measured: 40 of 4,000, ``benchmarks/checks_power.py``).
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["LEVEL", "Check"]

LEVEL = 0.001


class Check(Protocol):
    """Looks at an experiment before its effects are believed. A finding that blocks withholds the verdict."""

    about: ClassVar[str]
    shows_effects: ClassVar[bool]
    """Whether what it says tells an effect: it is then not run before the stop rule lets effects be read."""

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Never raises for what the data hold: a check that cannot run says why."""
        ...
