"""Volume: a day with far fewer or far more events than its weekday and trend lead one to expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Flags, Floats, Heard, Scope, days_text, number_of
from headwater.contracts.judged import LEAST_DAYS, MOST_FINDINGS, TOO_SHORT, Stretch, judge, stretches
from headwater.contracts.tally import Series
from headwater.contracts.touched import touched_by
from headwater.core.audit import AlarmSpec
from headwater.core.finding import Finding, Severity

__all__ = ["Volume"]


class Volume:
    """Events by day, of everybody and of each watched value, against the same weekdays before."""

    about: ClassVar[str] = "a day with far fewer or more events than its weekday and trend say"
    statistical: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, float | str]] = {"least_change": 0.1, "least_per_day": 20}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``least_change`` (0.1: smaller changes are no news), ``least_per_day`` (20 events)."""
        tally = scope.tally
        if len(tally.days) <= LEAST_DAYS:
            return Heard(skipped=TOO_SHORT)
        often = np.median(tally.daily, axis=1) >= number_of(spec, "least_per_day")
        often[0] = True
        series = [one for one, is_often in zip(tally.series, often, strict=True) if is_often]
        counts = tally.daily[often].astype(float)
        least = float(np.log1p(number_of(spec, "least_change")))
        judged = judge(scope, np.log(counts + 0.5), 1.0 / (counts + 0.5), least=least, counts=counts)
        if judged is None:
            return Heard(skipped=TOO_SHORT)
        expected = np.exp(judged.base.expected) - 0.5
        found = _stretches(judged.base.flagged, counts < expected, judged.base.p)
        findings = [_finding(scope, series[s.series], s, counts, expected) for s in found[:MOST_FINDINGS]]
        return judged.heard(judged.metric("n_events", series, counts, back=_events), findings)


def _events(link: Floats) -> Floats:
    return np.maximum(np.exp(np.clip(link, -50, 50)) - 0.5, 0.0)


def _stretches(flagged: Flags, is_low: Flags, p: Floats) -> list[Stretch]:
    """Stretches of too few and of too many days; a value that only follows everybody is not told again."""
    found: list[Stretch] = []
    for flags in (flagged & is_low, flagged & ~is_low):
        own = flags.copy()
        own[1:] &= ~flags[0]
        found += stretches(own, p)
    return sorted(found, key=lambda s: s.p)


def _finding(scope: Scope, one: Series, stretch: Stretch, counts: Floats, expected_counts: Floats) -> Finding:
    days = stretch.days
    seen, expected = counts[stretch.series, days], expected_counts[stretch.series, days]
    tally = scope.tally
    gap = abs(float((seen - expected).sum()))
    touched = touched_by(tally, days, gap)
    ratio = float(seen.sum() / max(expected.sum(), 1e-9)) - 1.0
    return Finding(
        code="alarm.volume",
        severity=Severity.WARN,
        what=(
            f"{one.label}: {seen.sum():,.0f} events on {days_text(tally.days[days])} where {expected.sum():,.0f} were expected "
            f"({ratio:+.0%}, p = {stretch.p:.1g}): {touched.text()} {'missing' if ratio < 0 else 'too many'}."
        ),
        why="A lost or doubled delivery looks like users who left or came.",
        do="Ask who writes the log what happened that day, and load it again; if it was planned, name the day under [app] holidays.",
        numbers={
            "series": one.label,
            "n_rows": round(gap),
            "n_users": round(touched.users),
            "money": round(touched.money, 2),
            "change": ratio,
            "p_value": stretch.p,
            "first_day": int(tally.days[days[0]]),
            "last_day": int(tally.days[days[-1]]),
        },
    )
