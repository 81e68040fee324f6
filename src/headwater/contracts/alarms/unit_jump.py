"""Unit jump: a numeric column is suddenly a multiple of what it was, everywhere or in one value: cents, another currency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Floats, Heard, Metric, Scope, days_text, number_of, whole_days
from headwater.contracts.judged import LEAST_DAYS, MOST_FINDINGS, TOO_SHORT, Stretch, judge, stretches
from headwater.contracts.jumps import LEAST_SIZES, Jump, jumps_of, rows_of, watched_values
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


class UnitJump:
    """The median size of each numeric column by day, and its typical size in each watched value, against the days before."""

    about: ClassVar[str] = "a numeric column is suddenly several times larger or smaller"
    statistical: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, float | str]] = {"least_factor": 2.5, "least_factor_within": 5}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings, both the smallest factor that counts as a jump of a unit.

        ``least_factor`` (2.5) for the median of a column, ``least_factor_within`` (5) for one value of a watched column.
        """
        tally = scope.tally
        if len(tally.days) <= LEAST_DAYS:
            return Heard(skipped=TOO_SHORT)
        if not tally.binned:
            return Heard(skipped="no column is a number")
        pairs = [_medians(b) for b in tally.binned]
        watched = watched_values(tally.series, tally.sized)
        link = np.array([*(p[0] for p in pairs), *(w.link for w in watched)])
        noise = np.array([*(p[1] for p in pairs), *(w.noise for w in watched)])
        least, least_within = (
            float(np.log(number_of(spec, s))) for s in ("least_factor", "least_factor_within")
        )
        judged = judge(scope, link, noise, least=min(least, least_within))
        if judged is None:
            return Heard(skipped=f"{TOO_SHORT} with {LEAST_SIZES} values each")
        whole = rows_of(judged.base, link, slice(0, len(pairs)), least=least)
        within = rows_of(judged.base, link, slice(len(pairs), None), least=least_within)
        jumps = jumps_of(watched, within, whole_days(scope), least=least_within)
        series = [Series(dimension=b.column, value="median size") for b in tally.binned]
        metric = replace(judged, base=whole).metric(
            "median_size", series, np.exp(link[: len(pairs)]), back=_size
        )
        found = [
            _finding(scope, tally.binned[s.series], metric, s) for s in stretches(metric.flagged, whole.p)
        ]
        heard = judged.heard(metric, [*found, *(_within(scope, j) for j in jumps)][:MOST_FINDINGS])
        return replace(heard, n_flagged=heard.n_flagged + sum(len(j.days) for j in jumps))


def _size(link: Floats) -> Floats:
    return np.exp(link)


def _medians(one: Binned) -> tuple[Floats, Floats]:
    """The log of the median size of a day's non-zero numbers and its sampling variance; NaN where there are few."""
    size = np.abs(bin_value(one.bins))
    order = np.argsort(size, kind="stable")
    order = order[size[order] > 0]
    heaped = np.cumsum(one.counts[:, order], axis=1).astype(float)
    total = heaped[:, -1] if len(order) else np.zeros(len(one.counts))
    enough = total >= LEAST_SIZES
    logs = np.log(size[order])
    quartiles = [np.full(len(total), np.nan) for _ in range(3)]
    for target, share in zip(quartiles, (0.25, 0.5, 0.75), strict=True):
        for day in np.flatnonzero(enough):
            target[day] = np.interp(share * total[day], heaped[day], logs)
    spread = (quartiles[2] - quartiles[0]) / 1.349
    noise = np.where(enough, 1.57 * spread**2 / np.maximum(total, 1.0) + 1e-4, 0.0)
    return quartiles[1], noise


def _factor(ratio: float) -> tuple[str, str]:
    """How many times larger or smaller, in words, and what such a factor usually means."""
    size = ratio if ratio > 1 else 1 / ratio
    meant = next((w for f, w in _FACTORS.items() if abs(size / f - 1) < _NEAR), "another unit or currency")
    return f"{ratio:,.3g} times" if ratio > 1 else f"1/{size:,.3g} of", meant


def _to_do(scope: Scope, written: str, days: Sequence[int] | np.ndarray) -> str:
    since = days_text(scope.tally.days[days[:1]])
    return f"Ask who writes {written} which unit it has since {since}; correct it at the source or split the source there."


def _finding(scope: Scope, one: Binned, metric: Metric, stretch: Stretch) -> Finding:
    days, least = stretch.days, stretch.p
    value: Floats = metric.value[stretch.series]
    expected: Floats = metric.expected[stretch.series]
    tally = scope.tally
    ratio = float(np.exp(np.mean(np.log(value[days]) - np.log(expected[days]))))
    n_rows = int(one.counts[days].sum())
    times, meant = _factor(ratio)
    users = int(tally.users[days].sum())
    return Finding(
        code="alarm.unit_jump",
        severity=Severity.WARN,
        what=(
            f"The median size of {one.column} on {days_text(tally.days[days])} is {value[days].mean():,.4g}, {times} what was expected "
            f"({expected[days].mean():,.4g}, p = {least:.1g}); it looks like {meant}. {n_rows:,} rows of {users:,} user-days and "
            f"{float(tally.money[days].sum()):,.0f} {tally.money_name or 'money'} are touched."
        ),
        why="Every total over those days is off by that factor.",
        do=_to_do(scope, one.column, days),
        numbers={"ratio": ratio, "p_value": least, "n_rows": n_rows, "first_day": int(tally.days[days[0]])},
    )


def _within(scope: Scope, jump: Jump) -> Finding:
    days, one, tally = jump.days, jump.of, scope.tally
    column, ratio = one.sized.column, float(np.exp(jump.moved))
    elsewhere = float(np.exp(jump.elsewhere))
    times, meant = _factor(ratio)
    n_rows, money = int(one.sized.n[one.row, days].sum()), float(one.sized.money[one.row, days].sum())
    holding = f" that hold {money:,.0f} of {column} as written" if money else ""
    return Finding(
        code="alarm.unit_jump",
        severity=Severity.WARN,
        what=(
            f"Where {one.series.label}, the typical size of {column} on {days_text(tally.days[days])} is {jump.seen:,.4g}, {times} what was expected "
            f"({jump.expected:,.4g}, p = {jump.p:.1g}); elsewhere it is {elsewhere:,.3g} times what it was. It looks like {meant}. {n_rows:,} rows{holding} are touched."
        ),
        why="Every total over those days, and every comparison with that value, is off by that factor.",
        do=_to_do(scope, f"{column} where {one.series.label}", days),
        numbers={
            "series": one.series.label,
            "ratio": ratio,
            "ratio_elsewhere": elsewhere,
            "p_value": jump.p,
            "n_rows": n_rows,
            "money": round(money, 2),
            "first_day": int(tally.days[days[0]]),
        },
    )
