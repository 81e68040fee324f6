"""The scorecard: one row for each metric and arm, the checks that must hold, and the verdict by the plan's rule."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.answer import Verdict
from headwater.core.finding import Finding
from headwater.effects.metric import Metric
from headwater.effects.plan import Plan

__all__ = ["CheckResult", "Row", "Scorecard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A metric in one arm beside the control.

    ``refused`` says why there is no number; then all figures are None. ``p_adjusted`` is by the plan's
    correction, None outside its family. ``decides`` says whether the stop rule lets this row be read for a decision.
    ``is_clear`` is whether the (adjusted, sequential) interval leaves out zero, or, of a guardrail, the margin.
    """

    metric: Metric
    arm: str
    control: str
    n_control: int
    n_arm: int
    value_control: float | None = None
    value_arm: float | None = None
    difference: float | None = None
    std_error: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    rel_low: float | None = None
    rel_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    method: str = ""
    segment: str = ""
    decides: bool = False
    is_clear: bool = False
    variance_removed: float | None = None
    refused: Finding | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A trust check: its name on the shelf, what it says in a line, its p-value where it has one, and its findings.

    A check that found nothing to say has no finding; one that could not run says so in ``about``.
    """

    name: str
    about: str
    ran: bool
    p_value: float | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """What an experiment says: ``trust`` first, then ``rows``, then the ``verdict``."""

    plan: Plan
    arms: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]
    checks: tuple[CheckResult, ...]
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    sql: str = ""
