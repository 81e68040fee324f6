"""Findings: a fact with its numbers, why it matters, and what to do next.

Every ``check_*`` function returns findings; an error carries exactly one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Finding", "Number", "Severity"]

Number = int | float | str


class Severity(StrEnum):
    """How much a finding weighs: a note informs, a warning qualifies, a block forbids."""

    NOTE = "note"
    WARN = "warn"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a reader must know.

    ``code`` is stable and has a page (``headwater explain CODE``); ``what`` states the fact with its
    numbers, ``why`` what goes wrong if it is ignored, ``do`` the next action. ``numbers`` repeats the
    figures of ``what`` for machines.
    """

    code: str
    severity: Severity
    what: str
    why: str
    do: str
    numbers: Mapping[str, Number] = field(default_factory=dict[str, Number], hash=False)

    def __str__(self) -> str:
        return f"{self.severity.value} {self.code}: {self.what}\n  why: {self.why}\n  do:  {self.do}"
