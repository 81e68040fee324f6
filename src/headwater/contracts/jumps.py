"""Jumps of a numeric column within one value of a watched column, while the rest of that column's values stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headwater.contracts.alarm import Flags, Floats, runs_of
from headwater.contracts.tally import OTHER, Series, Sized
from headwater.contracts.tally_rows import mean_logs
from headwater.numerics.robust import Baseline

__all__ = ["LEAST_SIZES", "Jump", "Watched", "jumps_of", "rows_of", "watched_values"]

LEAST_SIZES = 30
_LEAST_DAYS_SEEN = 29
_LEAST_DAYS_LONG = 2
_WEEK = 7
_BEFORE = 28
_MOVES_ALONG = 0.5
_ECHO = 0.85
_STEPPED = 0.5
_STEP_DAYS = 3
_SLACK = 1.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched:
    """One value of a watched column and the sizes of one numeric column in it: mean logarithm and noise, by day."""

    sized: Sized
    row: int
    series: Series
    link: Floats
    noise: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jump:
    """A value that jumped: days (positions), how far on the logarithmic scale, the smallest p of the days.

    ``seen`` and ``expected`` are the typical size (geometric mean) over those days. ``elsewhere`` is how far the rest
    of the column moved (first week against the four weeks before), ``away`` how far each day of the log was from
    what was expected (NaN where it was not judged), both on the logarithmic scale.
    """

    of: Watched
    days: NDArray[np.int64]
    moved: float
    seen: float
    expected: float
    p: float
    elsewhere: float
    away: Floats


def watched_values(series: Sequence[Series], sized: Sequence[Sized]) -> list[Watched]:
    """The values with at least 30 sizes on each of more than four weeks of days; a lump of other values is none."""
    found: list[Watched] = []
    for one in sized:
        link, noise = one.logs(least=LEAST_SIZES)
        often = np.isfinite(link).sum(axis=1) >= _LEAST_DAYS_SEEN
        found += [
            Watched(sized=one, row=i, series=s, link=link[i], noise=noise[i])
            for i, s in enumerate(series)
            if often[i] and s.dimension is not None and s.value != OTHER
        ]
    return found


def jumps_of(watched: Sequence[Watched], base: Baseline, usable: Flags, *, least: float) -> list[Jump]:
    """The jumps of at least ``least`` (logarithm of a factor) that last two judged days and more, the farthest first.

    ``base`` judged the ``watched``, row by row. A jump is told of a value only where the rest of its column does not
    move half as far (else the jump is everybody's), and not where it may be the echo of a farther one: a country most
    of whose users are on the platform that jumped. An echo moves the same way, steps on the day on which the other
    begins, and no farther than the rows of the other could move it.
    """
    found = [
        jump
        for i, one in enumerate(watched)
        for jump in _stretches(one, i, base, usable, least)
        if jump.elsewhere / jump.moved < _MOVES_ALONG
    ]
    told: list[Jump] = []
    for jump in sorted(found, key=lambda j: -abs(j.moved)):
        if not any(_echoes(jump, other) for other in told):
            told.append(jump)
    return told


def rows_of(base: Baseline, link: Floats, rows: slice, *, least: float) -> Baseline:
    """The verdicts on some of the series, flagged where their ``link`` is at least ``least`` from what was expected."""
    expected = base.expected[rows]
    return replace(
        base, expected=expected, low=base.low[rows], high=base.high[rows], spread=base.spread[rows], p=base.p[rows],
        flagged=base.flagged[rows] & (np.abs(link[rows] - expected) >= least),
    )  # fmt: skip


def _stretches(one: Watched, row: int, base: Baseline, usable: Flags, least: float) -> list[Jump]:
    """Flagged days of one value in a row; days that could not be judged, or lie half as far, do not end a stretch."""
    away = np.where(np.isfinite(base.p[row]), one.link - base.expected[row], np.nan)
    judged = np.flatnonzero(np.isfinite(away))
    found: list[Jump] = []
    for side in (1.0, -1.0):
        moved = side * away[judged]
        far = base.flagged[row, judged] & (moved >= least)
        for first, end in runs_of(moved >= least / 2):
            runs = [(first + a, first + b) for a, b in runs_of(far[first:end])]
            if any(b - a >= _LEAST_DAYS_LONG for a, b in runs):
                days = judged[runs[0][0] : runs[-1][1]]
                seen, expected = one.link[days].mean(), base.expected[row, days].mean()
                found.append(
                    Jump(
                        of=one, days=days, moved=float(seen - expected), seen=float(np.exp(seen)),
                        expected=float(np.exp(expected)), p=float(base.p[row, days].min()),
                        elsewhere=_elsewhere(one, days, usable), away=away,
                    )
                )  # fmt: skip
    return found


def _elsewhere(one: Watched, days: NDArray[np.int64], usable: Flags) -> float:
    """How far the rest of the column's values moved in the first week of the days; NaN where there is no rest to tell."""
    place = np.arange(len(usable))
    after = np.isin(place, days[:_WEEK])
    before = usable & (place < days[0]) & (place >= days[0] - _BEFORE)
    rest = [
        [
            (total[0, span] - total[one.row, span]).sum(keepdims=True)
            for total in (one.sized.n, one.sized.bins, one.sized.squares)
        ]
        for span in (before, after)
    ]
    earlier, later = (float(mean_logs(*sums, least=LEAST_SIZES)[0][0]) for sums in rest)
    return later - earlier


def _echoes(jump: Jump, other: Jump) -> bool:
    """Whether a jump may be what the rows it shares with a farther one of another column make of it."""
    both = np.intersect1d(jump.days, other.days)
    return (
        len(both) > 0
        and jump.of.sized.column == other.of.sized.column
        and jump.of.series.dimension != other.of.series.dimension
        and 0 < jump.moved / other.moved < _ECHO
        and _step(jump, int(other.days[0])) / jump.moved >= _STEPPED
        and abs(jump.moved) * _n_sizes(jump, both) <= _SLACK * abs(other.moved) * _n_sizes(other, both)
    )


def _step(jump: Jump, day: int) -> float:
    """How much farther a value is on the three judged days from ``day`` on than on the three before."""
    before, after = (days[np.isfinite(days)] for days in (jump.away[:day], jump.away[day:]))
    return float(after[:_STEP_DAYS].mean() - (before[-_STEP_DAYS:].mean() if len(before) else 0.0))


def _n_sizes(jump: Jump, days: NDArray[np.int64]) -> int:
    return int(jump.of.sized.n[jump.of.row, days].sum())
