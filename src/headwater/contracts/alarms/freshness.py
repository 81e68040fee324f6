"""Freshness: how long the log has been silent until now, against what that time usually holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Heard, Scope, number_of
from headwater.core.audit import AlarmSpec
from headwater.core.finding import Finding, Severity
from headwater.numerics.robust import zero_probability
from headwater.numerics.silence import expected_slots, slot_dispersion

__all__ = ["Freshness"]

_HOUR_US = 3_600_000_000


class Freshness:
    """The time since the last event, against the same hours of the weeks before. Without a clock it says nothing."""

    about: ClassVar[str] = "the log ends earlier than it should"
    statistical: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, float | str]] = {"history_after_days": 30}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``history_after_days`` (30: a log that ended longer ago is taken for history, with a note)."""
        tally = scope.tally
        if scope.now_us is None or not len(tally.hours):
            return Heard(skipped="nobody said what time it is")
        age_hours = (scope.now_us - tally.last_us) / _HOUR_US
        if age_hours > 24 * number_of(spec, "history_after_days"):
            return Heard(skipped=f"the log ended {age_hours / 24:,.0f} days ago and is taken for history")
        expected, dispersion = _expected_since(scope, age_hours)
        if expected is None:
            return Heard(skipped="it needs three weeks of log")
        p = float(zero_probability(np.array([expected]), dispersion)[0])
        if p >= scope.level:
            return Heard(n_tests=1, level=scope.level)
        return Heard(n_tests=1, level=scope.level, n_flagged=1, findings=(_finding(age_hours, expected, p),))


def _expected_since(scope: Scope, age_hours: float) -> tuple[float | None, float]:
    """How many events the hours since the last one usually hold, read off the four weeks before."""
    tally = scope.tally
    n = max(0, int(age_hours))
    counts = tally.hourly[0].astype(float)
    ahead = np.concatenate([counts, np.full(n, np.nan)])
    expected = expected_slots(ahead, weeks=(-4, -3, -2, -1), per_week=168)[len(counts) :]
    past = expected_slots(counts, per_week=168)
    if n and not np.isfinite(expected).all():
        return None, 1.0
    return float(expected.sum()), slot_dispersion(counts, past)


def _finding(age_hours: float, expected: float, p: float) -> Finding:
    return Finding(
        code="alarm.stale",
        severity=Severity.WARN,
        what=f"The last event is {age_hours:,.1f} hours old; the hours since usually hold {expected:,.0f} events (p = {p:.1g}).",
        why="The newest days are missing; users seem to have gone silent.",
        do="Load what is missing, or find out why the delivery stopped.",
        numbers={"age_hours": round(age_hours, 2), "p_value": p, "n_rows": round(expected)},
    )
