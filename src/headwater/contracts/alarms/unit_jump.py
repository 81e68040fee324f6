"""Unit jump: the daily median of a numeric column is suddenly a multiple of what it was: cents, another currency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Floats, Heard, Metric, Scope, days_text, number_of
from headwater.contracts.judged import LEAST_DAYS, MOST_FINDINGS, TOO_SHORT, Stretch, judge, stretches
from headwater.contracts.tally import Binned, Series, bin_value
from headwater.core.audit import AlarmSpec
from headwater.core.finding import Finding, Severity

__all__ = ["UnitJump"]

_FACTORS = {
    10.0: "a decimal place",
    100.0: "cents and whole units",
    1_000.0: "thousands (or seconds and milliseconds)",
    60.0: "minutes and seconds",
    1_000_000.0: "micro-units",
}
_NEAR = 0.2
_LEAST_VALUES = 30


class UnitJump:
    """The median size of each numeric column by day, against the days before."""

    about: ClassVar[str] = "a numeric column is suddenly several times larger or smaller"
    statistical: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, float | str]] = {"least_factor": 2.5}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``least_factor`` (2.5: smaller changes of the median are no jump of a unit)."""
        binned = scope.tally.binned
        if len(scope.tally.days) <= LEAST_DAYS:
            return Heard(skipped=TOO_SHORT)
        if not binned:
            return Heard(skipped="no column is a number")
        pairs = [_medians(b) for b in binned]
        link, noise = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
        judged = judge(scope, link, noise, least=float(np.log(number_of(spec, "least_factor"))))
        if judged is None:
            return Heard(skipped=f"{TOO_SHORT} with {_LEAST_VALUES} values each")
        series = [Series(dimension=b.column, value="median size") for b in binned]
        metric = judged.metric("median_size", series, np.exp(link), back=_size)
        found = stretches(metric.flagged, judged.base.p)[:MOST_FINDINGS]
        return judged.heard(metric, [_finding(scope, binned[s.series], metric, s) for s in found])


def _size(link: Floats) -> Floats:
    return np.exp(link)


def _medians(one: Binned) -> tuple[Floats, Floats]:
    """The log of the median size of a day's non-zero numbers and its sampling variance; NaN where there are few."""
    size = np.abs(bin_value(one.bins))
    order = np.argsort(size, kind="stable")
    order = order[size[order] > 0]
    heaped = np.cumsum(one.counts[:, order], axis=1).astype(float)
    total = heaped[:, -1] if len(order) else np.zeros(len(one.counts))
    enough = total >= _LEAST_VALUES
    logs = np.log(size[order])
    quartiles = [np.full(len(total), np.nan) for _ in range(3)]
    for target, share in zip(quartiles, (0.25, 0.5, 0.75), strict=True):
        for day in np.flatnonzero(enough):
            target[day] = np.interp(share * total[day], heaped[day], logs)
    spread = (quartiles[2] - quartiles[0]) / 1.349
    noise = np.where(enough, 1.57 * spread**2 / np.maximum(total, 1.0) + 1e-4, 0.0)
    return quartiles[1], noise


def _finding(scope: Scope, one: Binned, metric: Metric, stretch: Stretch) -> Finding:
    days, least = stretch.days, stretch.p
    value: Floats = metric.value[stretch.series]
    expected: Floats = metric.expected[stretch.series]
    tally = scope.tally
    ratio = float(np.exp(np.mean(np.log(value[days]) - np.log(expected[days]))))
    n_rows = int(one.counts[days].sum())
    size = ratio if ratio > 1 else 1 / ratio
    meant = next((w for f, w in _FACTORS.items() if abs(size / f - 1) < _NEAR), "another unit or currency")
    verb = f"{ratio:,.3g} times" if ratio > 1 else f"1/{size:,.3g} of"
    users = int(tally.users[days].sum())
    return Finding(
        code="alarm.unit_jump",
        severity=Severity.WARN,
        what=(
            f"The median size of {one.column} on {days_text(tally.days[days])} is {value[days].mean():,.4g}, {verb} what was expected "
            f"({expected[days].mean():,.4g}, p = {least:.1g}); it looks like {meant}. {n_rows:,} rows of {users:,} user-days and "
            f"{float(tally.money[days].sum()):,.0f} {tally.money_name or 'money'} are touched."
        ),
        why="Every total over those days is off by that factor.",
        do=f"Ask who writes {one.column} which unit it has since {days_text(tally.days[days[:1]])}; correct it at the source or split the source there.",
        numbers={"ratio": ratio, "p_value": least, "n_rows": n_rows, "first_day": int(tally.days[days[0]])},
    )
