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

    ``seen`` and ``expected`` are the typical size (geometric mean) over those days.
    """

    of: Watched
    days: NDArray[np.int64]
    moved: float
    seen: float
    expected: float
    p: float


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
    move half as far (else the jump is everybody's), and not where it only echoes a farther one: a country most of
    whose users are on the platform that jumped.
    """
    found = [
        jump
        for i, one in enumerate(watched)
        for jump in _stretches(one, i, base, least)
        if not _everybody(jump, usable)
    ]
    told: list[Jump] = []
    for jump in sorted(found, key=lambda j: -abs(j.moved)):
        if not any(_echoes(jump, other) for other in told):
            told.append(jump)
    return told


def rows_of(base: Baseline, rows: slice) -> Baseline:
    """The verdicts on some of the series."""
    return replace(
        base, expected=base.expected[rows], low=base.low[rows], high=base.high[rows], spread=base.spread[rows],
        p=base.p[rows], flagged=base.flagged[rows],
    )  # fmt: skip


def _stretches(one: Watched, row: int, base: Baseline, least: float) -> list[Jump]:
    """Flagged days of one value in a row; days that could not be judged do not end a stretch."""
    judged = np.flatnonzero(np.isfinite(base.p[row]))
    away = one.link[judged] - base.expected[row, judged]
    found: list[Jump] = []
    for up in (True, False):
        far = base.flagged[row, judged] & ((away >= least) if up else (away <= -least))
        for first, end in runs_of(far):
            if end - first >= _LEAST_DAYS_LONG:
                days = judged[first:end]
                seen, expected = one.link[days].mean(), base.expected[row, days].mean()
                found.append(
                    Jump(
                        of=one, days=days, moved=float(seen - expected), seen=float(np.exp(seen)),
                        expected=float(np.exp(expected)), p=float(base.p[row, days].min()),
                    )
                )  # fmt: skip
    return found


def _everybody(jump: Jump, usable: Flags) -> bool:
    """Whether the rest of the column's values moved at least half as far, or there is no rest to tell."""
    one, row = jump.of.sized, jump.of.row
    start = int(jump.days[0])
    after = np.zeros(len(usable), dtype=bool)
    after[jump.days[:_WEEK]] = True
    before = usable & (np.arange(len(usable)) < start) & (np.arange(len(usable)) >= start - _BEFORE)
    rest = [
        [(total[0, days] - total[row, days]).sum(keepdims=True) for total in (one.n, one.bins, one.squares)]
        for days in (before, after)
    ]
    earlier, later = (float(mean_logs(*sums, least=LEAST_SIZES)[0][0]) for sums in rest)
    return not (later - earlier) / jump.moved < _MOVES_ALONG


def _echoes(jump: Jump, other: Jump) -> bool:
    return (
        jump.of.sized.column == other.of.sized.column
        and jump.of.series.dimension != other.of.series.dimension
        and abs(jump.moved) < _ECHO * abs(other.moved)
        and len(np.intersect1d(jump.days, other.days)) > 0
    )
