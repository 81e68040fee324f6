"""Clock skew: events known before they happened; a client's clock runs ahead of the server's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Heard, Scope, number_of
from headwater.contracts.tally import bin_value
from headwater.contracts.touched import touched_by
from headwater.core.audit import AlarmSpec, Listing
from headwater.core.block import Form
from headwater.core.finding import Finding, Severity

__all__ = ["ClockSkew"]

_STEPS = (
    (-np.inf, -86_400),
    (-86_400, -3_600),
    (-3_600, -60),
    (-60, 0),
    (0, 60),
    (60, 3_600),
    (3_600, 86_400),
    (86_400, np.inf),
)
_NAMES = {60: "a minute", 3_600: "an hour", 86_400: "a day"}


class ClockSkew:
    """The seconds from ``at`` to ``known_at`` as a table; a warning where many events were known before they happened."""

    about: ClassVar[str] = "events known before they happened"
    statistical: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, float | str]] = {"ahead_seconds": 60, "max_share": 0.01}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``ahead_seconds`` (60) and ``max_share`` (0.01: more than this further ahead is a warning)."""
        ahead, most = number_of(spec, "ahead_seconds"), number_of(spec, "max_share")
        tally = scope.tally
        total = int(tally.skew_counts.sum())
        if not total:
            return Heard(skipped="the source has no known_at")
        seconds = bin_value(tally.skews)
        rows = tuple(
            (
                _span(low, high),
                n := int(tally.skew_counts[(seconds >= low) & (seconds < high)].sum()),
                n / total,
            )
            for low, high in _STEPS
        )
        listing = Listing(
            name="clock_skew",
            title="From the time of the event to the time it became known",
            columns=("known", "rows", "share"),
            forms=(Form.TEXT, Form.INTEGER, Form.SHARE),
            rows=rows,
            note="Read off logarithmic bins: bounds are within 3%.",
        )
        early = int(tally.skew_counts[seconds < -ahead].sum())
        findings = (_finding(scope, early, total, ahead),) if early / total > most else ()
        return Heard(n_flagged=len(findings), findings=findings, listings=(listing,))


def _span(low: float, high: float) -> str:
    if high <= 0:
        return f"up to {_NAMES[int(-low)]} before" if np.isfinite(low) else "more than a day before"
    return f"up to {_NAMES[int(high)]} after" if np.isfinite(high) else "more than a day after"


def _finding(scope: Scope, early: int, total: int, ahead: float) -> Finding:
    touched = touched_by(scope.tally, np.arange(len(scope.tally.days)), early)
    return Finding(
        code="alarm.clock_skew",
        severity=Severity.WARN,
        what=f"{early:,} of {total:,} events ({early / total:.1%}; {touched.text()}) are dated more than {ahead:,.0f} seconds after they became known.",
        why="Their clocks run ahead: they land on the wrong day, and a snapshot knows them too early.",
        do=f'Correct the times by the server\'s clock, or set such rows aside: rule = "clock_skew" with within = "{max(1, round(ahead / 3600))}h".',
        numbers={"n_rows": early, "share": early / total, "n_users": round(touched.users)},
    )
