"""Volume: a day with far fewer or far more events than its weekday and trend lead one to expect."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import (
    LEAST_DAYS,
    TOO_SHORT,
    Floats,
    Heard,
    Metric,
    Scope,
    closed_weekdays,
    days_text,
    number_of,
    refuse_alarm_settings,
    runs_of,
    whole_days,
)
from headwater.contracts.tally import Series
from headwater.contracts.touched import touched_by
from headwater.core.audit import AlarmSpec
from headwater.core.finding import Finding, Severity
from headwater.numerics.robust import Baseline, seasonal_baseline

__all__ = ["Volume"]

_MOST_FINDINGS = 10


class Volume:
    """Events by day, of everybody and of each watched value, against the same weekdays before."""

    about: ClassVar[str] = "a day with far fewer or more events than its weekday and trend say"
    statistical: ClassVar[bool] = True

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``least_change`` (0.1: smaller changes are no news), ``least_per_day`` (20 events)."""
        refuse_alarm_settings(spec, {"least_change", "least_per_day"})
        change = number_of(spec, "least_change", 0.1)
        if len(scope.tally.days) <= LEAST_DAYS:
            return Heard(skipped=TOO_SHORT)
        tally = scope.tally
        often = np.median(tally.daily, axis=1) >= number_of(spec, "least_per_day", 20)
        often[0] = True
        rows = np.flatnonzero(often)
        counts = tally.daily[rows].astype(float)
        usable = whole_days(scope)[None, :] & ~closed_weekdays(counts, tally.weekday)
        usable &= np.cumsum(counts, axis=1) > 0
        n_tests = int(usable[:, 28:].sum())
        if not n_tests:
            return Heard(skipped=TOO_SHORT)
        level = scope.level / n_tests
        base = seasonal_baseline(
            np.log(counts + 0.5), 1.0 / (counts + 0.5), weekday=tally.weekday, usable=usable, judged=usable,
            level=level, least=float(np.log1p(change)), counts=counts,
        )  # fmt: skip
        series = tuple(tally.series[r] for r in rows)
        findings = _findings(scope, series, counts, base)
        return Heard(
            n_tests=n_tests,
            level=level,
            n_flagged=int(base.flagged.sum()),
            findings=findings,
            metrics=(_metric(series, counts, base),),
        )


def _metric(series: tuple[Series, ...], counts: Floats, base: Baseline) -> Metric:
    expected, low, high = (
        np.maximum(np.exp(np.clip(x, -50, 50)) - 0.5, 0.0) for x in (base.expected, base.low, base.high)
    )
    return Metric(
        metric="n_events",
        series=series,
        value=counts,
        expected=expected,
        low=low,
        high=high,
        flagged=base.flagged,
    )


def _findings(
    scope: Scope, series: tuple[Series, ...], counts: Floats, base: Baseline
) -> tuple[Finding, ...]:
    """One for each stretch of flagged days; a value that only follows everybody is not told again."""
    expected = np.exp(base.expected) - 0.5
    down = base.flagged & (counts < expected)
    up = base.flagged & ~down
    found: list[tuple[float, Finding]] = []
    for flags in (down, up):
        for i, one in enumerate(series):
            own = flags[i] & ~flags[0] if i else flags[i]
            for first, end in runs_of(own):
                days = np.arange(first, end)
                found.append(
                    (
                        float(base.p[i, days].min()),
                        _finding(
                            scope,
                            one,
                            days,
                            seen=counts[i, days],
                            expected=expected[i, days],
                            p=base.p[i, days],
                        ),
                    )
                )
    found.sort(key=lambda f: f[0])
    return tuple(f for _, f in found[:_MOST_FINDINGS])


def _finding(
    scope: Scope, one: Series, days: np.ndarray, *, seen: Floats, expected: Floats, p: Floats
) -> Finding:
    tally = scope.tally
    gap = abs(float((seen - expected).sum()))
    touched = touched_by(tally, days, gap)
    ratio = float(seen.sum() / max(expected.sum(), 1e-9)) - 1.0
    return Finding(
        code="alarm.volume",
        severity=Severity.WARN,
        what=(
            f"{one.label}: {seen.sum():,.0f} events on {days_text(tally.days[days])} where {expected.sum():,.0f} were expected "
            f"({ratio:+.0%}, p = {p.min():.1g}): {touched.text()} {'missing' if ratio < 0 else 'too many'}."
        ),
        why="A lost or doubled delivery looks like users who left or came.",
        do="Ask who writes the log what happened that day, and load it again; if it was planned, name the day under [app] holidays.",
        numbers={
            "series": one.label,
            "n_rows": round(gap),
            "n_users": round(touched.users),
            "money": round(touched.money, 2),
            "change": ratio,
            "p_value": float(p.min()),
            "first_day": int(tally.days[days[0]]),
            "last_day": int(tally.days[days[-1]]),
        },
    )
