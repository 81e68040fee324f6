"""Lateness: how long after it happened an event became known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Heard, Scope, number_of
from headwater.contracts.touched import touched_by
from headwater.core.audit import AlarmSpec, Listing
from headwater.core.block import Form
from headwater.core.finding import Finding, Severity

__all__ = ["Lateness"]

_STEPS = (0, 1, 2, 3, 7, 14, 30)


class Lateness:
    """The days between an event and its load, as a table; a warning where too many come too late."""

    about: ClassVar[str] = "events become known long after they happened"
    statistical: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, float | str]] = {"within_days": 3, "max_share": 0.05}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``within_days`` (3) and ``max_share`` (0.05: more than this later than that is a warning)."""
        within, most = int(number_of(spec, "within_days")), number_of(spec, "max_share")
        tally = scope.tally
        total = int(tally.lag_counts.sum())
        if not total:
            return Heard(skipped="the source has no known_at")
        by_lag = tally.lag_counts.sum(axis=0)
        rows = tuple(
            (
                f"within {s} days" if s else "the same day",
                int(by_lag[tally.lags <= s].sum()),
                float(by_lag[tally.lags <= s].sum() / total),
            )
            for s in _STEPS
        )
        listing = Listing(
            name="lateness",
            title="How late events become known",
            columns=("known", "rows", "share"),
            forms=(Form.TEXT, Form.INTEGER, Form.SHARE),
            rows=rows,
            note=f"The latest came {int(tally.lags.max()):,} days after it happened.",
        )
        late = int(by_lag[tally.lags > within].sum())
        findings = (_finding(scope, late, total, within, most),) if late / total > most else ()
        return Heard(n_flagged=len(findings), findings=findings, listings=(listing,))


def _finding(scope: Scope, late: int, total: int, within: int, most: float) -> Finding:
    touched = touched_by(scope.tally, np.arange(len(scope.tally.days)), late)
    return Finding(
        code="alarm.late",
        severity=Severity.WARN,
        what=f"{late:,} of {total:,} events ({late / total:.1%}; {touched.text()}) became known more than {within} days after they happened; {most:.0%} is allowed.",
        why="The last days of the log are incomplete, and a snapshot knows less than it seems to.",
        do=f'Wait until a day has settled before it is read, or raise max_share of the alarm; the rule late with within = "{within}d" sets such rows aside.',
        numbers={"n_rows": late, "share": late / total, "n_users": round(touched.users)},
    )
