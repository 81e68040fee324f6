"""Mix: the share of a value among all events has moved: a platform, a country, a channel, a kind of event."""

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
from headwater.contracts.tally import Series, Tally
from headwater.contracts.touched import touched_by
from headwater.core.audit import AlarmSpec
from headwater.core.finding import Finding, Severity
from headwater.numerics.robust import Baseline, seasonal_baseline

__all__ = ["Mix"]

_MOST_FINDINGS = 10


class Mix:
    """The daily share of each watched value, and of missing numbers, against the same weekdays before."""

    about: ClassVar[str] = "a value's share of the events has moved"
    statistical: ClassVar[bool] = True

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``least_points`` (1: percentage points that are news), ``least_per_day`` (20 events)."""
        refuse_alarm_settings(spec, {"least_points", "least_per_day"})
        points = number_of(spec, "least_points", 1.0) / 100
        if len(scope.tally.days) <= LEAST_DAYS:
            return Heard(skipped=TOO_SHORT)
        series, parts = _parts(scope.tally, number_of(spec, "least_per_day", 20))
        if not series:
            return Heard(skipped="no column is watched by its values")
        total = np.broadcast_to(scope.tally.daily[0].astype(float), parts.shape)
        usable = whole_days(scope)[None, :] & ~closed_weekdays(parts, scope.tally.weekday) & (total > 0)
        usable &= np.cumsum(parts, axis=1) > 0
        n_tests = int(usable[:, 28:].sum())
        if not n_tests:
            return Heard(skipped=TOO_SHORT)
        level = scope.level / n_tests
        rest = total - parts
        base = seasonal_baseline(
            np.log((parts + 0.5) / (rest + 0.5)), 1.0 / (parts + 0.5) + 1.0 / (rest + 0.5),
            weekday=scope.tally.weekday, usable=usable, judged=usable, level=level, counts=parts, totals=total,
        )  # fmt: skip
        share = parts / np.maximum(total, 1.0)
        expected, low, high = (
            1.0 / (1.0 + np.exp(-np.clip(x, -50, 50))) for x in (base.expected, base.low, base.high)
        )
        flagged = base.flagged & (np.abs(share - expected) >= points)
        metric = Metric(
            metric="share_of_events",
            series=series,
            value=share,
            expected=expected,
            low=low,
            high=high,
            flagged=flagged,
        )
        return Heard(
            n_tests=n_tests,
            level=level,
            n_flagged=int(flagged.sum()),
            findings=_findings(scope, metric, base),
            metrics=(metric,),
        )


def _parts(tally: Tally, least: float) -> tuple[tuple[Series, ...], Floats]:
    """The values of watched columns that come often enough, and rows without a number, by day."""
    often = [i for i, s in enumerate(tally.series) if s.dimension and np.median(tally.daily[i]) >= least]
    series = [tally.series[i] for i in often]
    parts = [tally.daily[i].astype(float) for i in often]
    for one in tally.binned:
        if np.median(one.missing) >= least and (one.missing < tally.daily[0]).any():
            series.append(Series(dimension=one.column, value="(missing)"))
            parts.append(one.missing.astype(float))
    return tuple(series), np.array(parts).reshape(len(series), len(tally.days))


def _findings(scope: Scope, metric: Metric, base: Baseline) -> tuple[Finding, ...]:
    found: list[tuple[float, Finding]] = []
    for i in range(len(metric.series)):
        for first, end in runs_of(metric.flagged[i]):
            days = np.arange(first, end)
            found.append(
                (
                    float(base.p[i, days].min()),
                    _finding(scope, metric, i, days=days, p=float(base.p[i, days].min())),
                )
            )
    found.sort(key=lambda f: f[0])
    return tuple(f for _, f in found[:_MOST_FINDINGS])


def _finding(scope: Scope, metric: Metric, i: int, *, days: np.ndarray, p: float) -> Finding:
    one = metric.series[i]
    tally = scope.tally
    seen, expected = float(metric.value[i, days].mean()), float(metric.expected[i, days].mean())
    rows = float((np.abs(metric.value[i, days] - metric.expected[i, days]) * tally.daily[0, days]).sum())
    touched = touched_by(tally, days, rows)
    return Finding(
        code="alarm.mix",
        severity=Severity.WARN,
        what=(
            f"{one.label} is {seen:.1%} of the events on {days_text(tally.days[days])} where {expected:.1%} were expected "
            f"({(seen - expected) * 100:+.1f} points, p = {p:.1g}): {touched.text()}."
        ),
        why="Averages over everybody move when the mix does, though no user changed.",
        do="Look for a release, a campaign or a lost source of that value; compare within values, not over all.",
        numbers={
            "share": seen,
            "expected": expected,
            "p_value": p,
            "n_rows": round(rows),
            "n_users": round(touched.users),
            "money": round(touched.money, 2),
            "first_day": int(tally.days[days[0]]),
        },
    )
