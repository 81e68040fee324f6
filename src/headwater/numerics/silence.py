"""Silence: hours in which a series that is usually busy has next to nothing, and how unlikely that is.

What an hour should hold is the middle half of the same local hour of the same weekday in the four weeks before and
after it: an hour that is always empty (a shop closed on Saturdays) is never silent, and two lost weeks of eight
do not hide a third. The chance of so little in a stretch is negative binomial, with the variation of the hours
themselves taken as shared by the whole stretch, which is the cautious reading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["Silence", "expected_slots", "silences", "slot_dispersion"]

Floats = NDArray[np.float64]

_WEEKS = (-4, -3, -2, -1, 1, 2, 3, 4)
_LEAST_WEEKS = 3
_NEXT_TO_NOTHING = 0.02
_BUSY = 0.5
_LONG = 0.5
_WINSOR = 3.0
_MAD_NORMAL = 1.482602218505602


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A stretch of silent slots, ``first`` to ``end`` (exclusive): events seen, expected, and the chance of so few."""

    first: int
    end: int
    seen: float
    expected: float
    p: float


def expected_slots(counts: Floats, *, weeks: tuple[int, ...] = _WEEKS, per_week: int) -> Floats:
    """What each slot should hold: the mean of the middle half of the same slot of neighboring weeks.

    ``counts`` has one value a slot of equal length, NaN where nothing can be said (holidays); ``per_week``
    slots make a week. NaN comes back where fewer than three neighbors are known.

    >>> expected_slots(np.array([1.0, 9.0] * 5), weeks=(-2, -1, 1, 2), per_week=2)[4:6].tolist()
    [1.0, 9.0]
    """
    n = len(counts)
    near = np.full((len(weeks), n), np.nan)
    for row, week in zip(near, weeks, strict=True):
        step = week * per_week
        if abs(step) < n:
            into, out = (
                (slice(0, n - step), slice(step, n)) if step > 0 else (slice(-step, n), slice(0, n + step))
            )
            row[into] = counts[out]
    near.sort(axis=0)
    known = np.isfinite(near).sum(axis=0)
    cut = known // 4
    place = np.arange(len(weeks))[:, None]
    middle = (place >= cut) & (place < known - cut)
    total = np.where(middle, np.nan_to_num(near), 0.0).sum(axis=0)
    return np.where(known >= min(_LEAST_WEEKS, len(weeks)), total / np.maximum(middle.sum(axis=0), 1), np.nan)


def slot_dispersion(counts: Floats, expected: Floats) -> float:
    """The squared variation of slots beyond Poisson noise: variance is ``m + dispersion * m**2``; outliers are cut."""
    known = np.isfinite(counts) & np.isfinite(expected) & (expected > _BUSY)
    if known.sum() < 24:
        return 1.0
    error, mean = counts[known] - expected[known], expected[known]
    standard = error / np.sqrt(mean)
    bound = max(_WINSOR * _MAD_NORMAL * float(np.median(np.abs(standard))), _WINSOR)
    cut = np.clip(standard, -bound, bound) * np.sqrt(mean)
    return float(np.clip((np.sum(cut**2) - np.sum(mean)) / np.sum(mean**2), 0.01, 10.0))


def silences(
    counts: Floats,
    expected: Floats,
    *,
    dispersion: float,
    level: float,
    by_day: tuple[float, float] | None = None,
) -> list[Silence]:
    """Stretches of slots with next to nothing (2% of what is expected) whose chance is below ``level``.

    ``by_day`` is what a day holds and the dispersion of days: for stretches that miss half a day's events and more.
    Slots that are never busy neither begin nor end a stretch, but a stretch may run over them.
    """
    busy = np.isfinite(expected) & np.isfinite(counts) & (expected >= _BUSY)
    silent = busy & (counts <= _NEXT_TO_NOTHING * expected)
    awake = np.isfinite(counts) & ~silent & (busy | (counts > 0))
    found: list[Silence] = []
    stretch = np.cumsum(awake)
    slots = np.flatnonzero(silent)
    if not len(slots):
        return found
    starts = np.flatnonzero(np.diff(stretch[slots], prepend=-1))
    for a, b in zip(starts, [*starts[1:], len(slots)], strict=True):
        first, end = int(slots[a]), int(slots[b - 1]) + 1
        inside = np.arange(first, end)
        seen = float(np.nansum(counts[inside]))
        mean = float(np.nansum(np.where(busy[inside], expected[inside], 0.0)))
        is_long = by_day is not None and mean >= _LONG * by_day[0]
        spread = by_day[1] if by_day is not None and is_long else dispersion
        p = float(special.betainc(1.0 / spread, np.floor(seen) + 1.0, 1.0 / (1.0 + spread * mean)))
        if p < level:
            found.append(Silence(first=first, end=end, seen=seen, expected=mean, p=p))
    return found
