"""Mix: the share of a value among all events has moved: a platform, a country, a channel, a kind of event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Floats, Heard, Metric, Scope, days_text, number_of
from headwater.contracts.judged import LEAST_DAYS, MOST_FINDINGS, TOO_SHORT, Stretch, judge, stretches
from headwater.contracts.tally import MOST_VALUES, Series, Tally
from headwater.contracts.touched import touched_by
from headwater.core.audit import AlarmSpec
from headwater.core.finding import Finding, Severity

__all__ = ["Mix"]


class Mix:
    """The daily share of each watched value, and of missing numbers, against the same weekdays before."""

    about: ClassVar[str] = "a value's share of the events has moved"
    statistical: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, float | str]] = {"least_points": 1.0, "least_per_day": 20}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``least_points`` (1: percentage points that are news), ``least_per_day`` (20 events)."""
        tally, least = scope.tally, number_of(spec, "least_per_day")
        if len(tally.days) <= LEAST_DAYS:
            return Heard(skipped=TOO_SHORT)
        series, parts = _parts(tally, least)
        if not series:
            return Heard(skipped=_why_none(tally, least))
        total = np.broadcast_to(tally.daily[0].astype(float), parts.shape)
        rest = total - parts
        link, noise = np.log((parts + 0.5) / (rest + 0.5)), 1.0 / (parts + 0.5) + 1.0 / (rest + 0.5)
        judged = judge(scope, link, noise, counts=parts, totals=total)
        if judged is None:
            return Heard(skipped=TOO_SHORT)
        metric = judged.metric("share_of_events", series, parts / np.maximum(total, 1.0), back=_share)
        is_news = np.abs(metric.value - metric.expected) >= number_of(spec, "least_points") / 100
        metric = replace(metric, flagged=metric.flagged & is_news)
        found = stretches(metric.flagged, judged.base.p)[:MOST_FINDINGS]
        return judged.heard(metric, [_finding(scope, metric, stretch) for stretch in found])


def _share(link: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(link, -50, 50)))


def _why_none(tally: Tally, least: float) -> str:
    """Which columns were looked at, why none is watched, and what would make the alarm listen."""
    watched = {s.dimension for s in tally.series} - {None}
    told = [f"{c} ({_why_not(c, n, watched, tally, least)})" for c, n in tally.texts]
    if not told:
        return (
            "no column of text is kept: name one of 2 to 50 values, such as a platform or country, under keep"
        )
    return f"no value is watched: {', '.join(told)}; keep a column of 2 to {MOST_VALUES} values, or lower least_per_day"


def _why_not(column: str, n_values: int, watched: set[str | None], tally: Tally, least: float) -> str:
    if column in tally.turning:
        return "its values come and go"
    if column in watched:
        return f"none of its {n_values:,} values comes {least:g} times on a usual day"
    return "one value" if n_values == 1 else f"{n_values:,} values"


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


def _finding(scope: Scope, metric: Metric, stretch: Stretch) -> Finding:
    i, days, p = stretch.series, stretch.days, stretch.p
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
