"""Answers: an estimate with its uncertainty, or a refusal with its reason. Never a number in place of "we do not know"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headwater.core.finding import Finding

__all__ = ["Answer", "Estimate", "Refusal", "Stance", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with what it estimates and how sure it is.

    ``low`` and ``high`` bound the interval at ``level``; ``std_error`` is in the unit of ``value``.
    """

    estimand: str
    value: float
    low: float
    high: float
    level: float
    unit: str
    n_users: int
    method: str
    std_error: float | None = None
    p_value: float | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"{self.estimand}: low {self.low} above high {self.high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No number, and why: the blocking finding says what would help."""

    estimand: str
    finding: Finding


Answer = Estimate | Refusal


class Stance(StrEnum):
    """What a verdict says to do."""

    ACT = "act"
    HOLD = "hold"
    CANNOT_SAY = "cannot say"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The question, the stance, why, and what would change our mind."""

    question: str
    stance: Stance
    because: tuple[str, ...]
    would_change: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
