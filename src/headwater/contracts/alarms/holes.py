"""Holes: hours or days in which events are missing, for everybody or for one value of a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Floats, Heard, Scope, number_of
from headwater.contracts.judged import LEAST_DAYS, MOST_FINDINGS, TOO_SHORT
from headwater.contracts.tally import OTHER, Series, Tally
from headwater.contracts.touched import touched_by
from headwater.core.audit import AlarmSpec, Hole
from headwater.core.finding import Finding, Severity
from headwater.numerics.silence import Silence, expected_slots, silences, slot_dispersion

__all__ = ["Holes"]

_HOUR_US = 3_600_000_000
_TRAILING_HOURS = 72
_NIGHT = 16
_WEEK = 168


class Holes:
    """Stretches of silence where the same hours of other weeks are busy; closed days and holidays are none."""

    about: ClassVar[str] = "hours or days without events, for everybody or for one value"
    statistical: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, float | str]] = {"least_per_day": 50}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``least_per_day`` (50: events a day below which a series' silence says nothing)."""
        least = number_of(spec, "least_per_day")
        tally = scope.tally
        if len(scope.tally.days) <= LEAST_DAYS:
            return Heard(skipped=TOO_SHORT)
        rows = [
            i for i, s in enumerate(tally.series) if s.value != OTHER and np.median(tally.daily[i]) >= least
        ]
        if not rows:
            return Heard(
                skipped=f"it needs {least:g} events on a usual day; there are {np.median(tally.daily[0]):,.0f}"
            )
        grid = _Grid(tally, scope.holidays)
        n_tests = len(rows) * len(tally.hours)
        level = scope.level / n_tests
        found: list[tuple[Series, Silence]] = []
        for i in rows:
            found += [(tally.series[i], s) for s in grid.silences(tally.hourly[i], level, ends=i > 0)]
        holes = [(_hole(grid, one, s), one, s) for one, s in _not_told_twice(found)]
        return Heard(
            n_tests=n_tests,
            level=level,
            n_flagged=len(holes),
            flags_are="holes",
            holes=tuple(hole for hole, _, _ in holes),
            findings=tuple(
                _finding(scope, hole, one, s)
                for hole, one, s in sorted(holes, key=lambda h: -h[2].expected)[:MOST_FINDINGS]
            ),
        )


class _Grid:
    """The log laid out in local hours, 24 a day: a UTC hour goes to its day and hour in the app's zone."""

    def __init__(self, tally: Tally, holidays: frozenset[int]) -> None:
        self.tally = tally
        day = tally.hour_day - tally.days[0]
        self.slot = day * 24 + tally.hour_of_day
        self.n = len(tally.days) * 24
        self.inside = (self.slot >= 0) & (self.slot < self.n)
        self.unknown = np.ones(self.n, dtype=bool)
        self.unknown[self.slot[self.inside]] = False
        self.unknown |= np.repeat(np.isin(tally.days, list(holidays)), 24)
        self.hour_at = np.zeros(self.n, dtype=np.int64)
        self.hour_at[self.slot[self.inside][::-1]] = tally.hours[self.inside][::-1]

    def slots(self, hourly: np.ndarray) -> Floats:
        """Counts by local hour; NaN on holidays, and where the clocks skip an hour."""
        counts = np.bincount(self.slot[self.inside], weights=hourly[self.inside], minlength=self.n)
        return np.where(self.unknown, np.nan, counts)

    def silences(self, hourly: np.ndarray, level: float, *, ends: bool) -> list[Silence]:
        """The silences between the day after a series' first event, which may be cut, and its last; ``ends``: up to three days at the log's end count too."""
        counts = self.slots(hourly)
        there = np.flatnonzero(np.nan_to_num(counts) > 0)
        if not len(there):
            return []
        last = self.n if ends and self.n - there[-1] <= _TRAILING_HOURS else there[-1] + 1
        since_first = counts.copy()
        since_first[: there[0] // 24 * 24] = np.nan
        counts[: (there[0] // 24 + 1) * 24] = np.nan
        counts[last:] = np.nan
        expected = expected_slots(counts, per_week=_WEEK)
        by_hour, days = slot_dispersion(counts, expected), [_by_day(counts), _by_day(expected)]
        usual = days[1][np.nan_to_num(days[1]) > 0]
        by_day = (float(np.median(usual)), min(by_hour, slot_dispersion(*days))) if len(usual) else None
        found = silences(counts, expected, dispersion=by_hour, level=level, by_day=by_day)
        held, kept = since_first, list[Silence]()
        for s in found:
            share = _reached(held, expected, s.first // 24)
            inside = slice(s.first, s.end)
            for left in silences(
                counts[inside], share * expected[inside], dispersion=by_hour, level=level, by_day=by_day
            ):
                one = replace(left, first=s.first + left.first, end=s.first + left.end)
                held[one.first : one.end] = np.nan
                kept.append(one)
        return kept


def _reached(held: Floats, expected: Floats, day: int) -> float:
    """The share (at most 1) that the last known week before ``day`` holds of what the week after each of its hours should hold.

    On a log that grows the later weeks are the larger ones: what they hold is no measure of the days before. Hours
    without a number (before the day of the first event, holidays, holes already found) are left out, with the hour a week later.
    """
    before = np.arange(max(0, min(24 * day, len(held) - _WEEK)))
    before = before[np.isfinite(held[before]) & np.isfinite(expected[before + _WEEK])][-_WEEK:]
    before = before[expected[before + _WEEK] > 0]
    return min(1.0, float(held[before].sum() / expected[before + _WEEK].sum())) if len(before) else 0.0


def _by_day(slots: Floats) -> Floats:
    return slots.reshape(-1, 24).sum(axis=1)


def _not_told_twice(found: list[tuple[Series, Silence]]) -> list[tuple[Series, Silence]]:
    """A value that is silent while everybody is, and perhaps over the night beside it, has no hole of its own."""
    everybody = [s for one, s in found if one.dimension is None]

    def within(s: Silence) -> bool:
        return any(s.first >= e.first - _NIGHT and s.end <= e.end + _NIGHT for e in everybody)

    return [(one, s) for one, s in found if one.dimension is None or not within(s)]


def _hole(grid: _Grid, one: Series, s: Silence) -> Hole:
    first, last = int(grid.hour_at[s.first]), int(grid.hour_at[s.end - 1])
    return Hole(
        first_us=first * _HOUR_US, end_us=(last + 1) * _HOUR_US, dimension=one.dimension, value=one.value
    )


def _finding(scope: Scope, hole: Hole, one: Series, s: Silence) -> Finding:
    tally = scope.tally
    days = np.unique(np.arange(s.first, s.end) // 24)
    touched = touched_by(tally, days, s.expected - s.seen)
    return Finding(
        code="alarm.hole",
        severity=Severity.WARN,
        what=(
            f"{one.label}: {s.seen:,.0f} events in {hole.hours:g} hour{'' if hole.hours == 1 else 's'} {hole.span(scope.time_zone)}, where {s.expected:,.0f} were expected "
            f"(p = {s.p:.1g}); {touched.text()} are missing."
        ),
        why="Silence would count as inactivity: every window that overlaps it is too low.",
        do="Load the missing hours. Until then windows that overlap are marked; if the app was closed, name the days under [app] holidays.",
        numbers={
            "hours": hole.hours,
            "p_value": s.p,
            "n_rows": round(s.expected - s.seen),
            "n_users": round(touched.users),
            "money": round(touched.money, 2),
        },
    )
