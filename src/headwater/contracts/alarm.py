"""What an alarm is: it looks at the load as a whole, after the gate, and says what it saw. It never deletes anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from headwater.contracts.tally import Series, Tally
from headwater.core.audit import AlarmSpec, Hole, Listing
from headwater.core.contract import Events
from headwater.core.errors import ConfigError, near_miss
from headwater.core.finding import Finding
from headwater.core.ledger import Ledger
from headwater.core.span import date_of
from headwater.engine.engine import Engine

__all__ = [
    "LEAST_DAYS",
    "TOO_SHORT",
    "Alarm",
    "Floats",
    "Heard",
    "Metric",
    "Scope",
    "closed_weekdays",
    "days_text",
    "number_of",
    "refuse_alarm_settings",
    "runs_of",
    "text_of",
    "whole_days",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_DAYS = 28
TOO_SHORT = "it needs more than four weeks of whole days"
_PARTIAL = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scope:
    """What an alarm may look at. ``level`` is its share of the false alarms allowed; ``now_us`` None: no clock.

    ``engine``, ``events`` and ``ledger`` are None where only a tally is at hand: an alarm that needs them skips.
    """

    tally: Tally
    level: float
    holidays: frozenset[int] = frozenset()
    settle_days: int = 0
    now_us: int | None = None
    engine: Engine | None = None
    events: Events | None = None
    ledger: Ledger | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """One number by day for some series: arrays of shape (series, days), NaN where there is none.

    ``expected``, ``low`` and ``high`` are what the days before led one to expect, in the metric's own unit.
    """

    metric: str
    series: tuple[Series, ...]
    value: Floats
    expected: Floats
    low: Floats
    high: Floats
    flagged: Flags


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """What one alarm says. ``level`` is that of each of its ``n_tests``; None where it follows a fixed rule."""

    n_tests: int = 0
    level: float | None = None
    n_flagged: int = 0
    skipped: str = ""
    findings: tuple[Finding, ...] = ()
    holes: tuple[Hole, ...] = ()
    metrics: tuple[Metric, ...] = ()
    listings: tuple[Listing, ...] = ()
    n_scans: int = 0


class Alarm(Protocol):
    """An alarm on the shelf. ``statistical`` ones share the false alarms allowed; the others follow a fixed rule."""

    about: ClassVar[str]
    statistical: ClassVar[bool]

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Look at the load. Raises ``ConfigError`` where a setting is wrong."""
        ...


def refuse_alarm_settings(spec: AlarmSpec, known: set[str]) -> None:
    """Refuse settings an alarm does not have. Raises ``ConfigError`` (``alarm.unknown_setting``)."""
    for setting in spec.settings:
        if setting not in known:
            raise ConfigError(
                "alarm.unknown_setting",
                what=f"The alarm '{spec.alarm}' has no setting '{setting}'.",
                why="A setting that is not read would be a wish that is not met.",
                do=near_miss(setting, known | {"on"}),
            )


def number_of(spec: AlarmSpec, setting: str, default: float) -> float:
    """A setting that must be a number above zero. Raises ``ConfigError`` (``alarm.setting``)."""
    value = spec.settings.get(setting, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ConfigError(
            "alarm.setting",
            what=f"The alarm '{spec.alarm}' was given {setting} = {value!r}.",
            why="It takes a number above zero.",
            do=f"Write a number, such as {setting} = {default:g}.",
        )
    return float(value)


def text_of(spec: AlarmSpec, setting: str) -> str | None:
    """A setting that must be text, None where it is not given. Raises ``ConfigError`` (``alarm.setting``)."""
    value = spec.settings.get(setting)
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(
        "alarm.setting",
        what=f"The alarm '{spec.alarm}' was given {setting} = {value!r}.",
        why="It takes the name of a column.",
        do=f'Write it in quotes, such as {setting} = "device_id".',
    )


def whole_days(scope: Scope) -> Flags:
    """The days that can be judged, shape (days,): no holiday, settled, and not cut off at the log's edges.

    The first or last day is cut off where more than 2% of a day's events usually fall into the hours that
    the log does not reach.
    """
    tally = scope.tally
    n = len(tally.days)
    good = ~np.isin(tally.days, list(scope.holidays))
    if scope.settle_days:
        good[max(0, n - scope.settle_days) :] = False
    if n < 2:
        return good
    inside = (tally.hour_day > tally.days[0]) & (tally.hour_day < tally.days[-1])
    by_hour = np.bincount(tally.hour_of_day[inside], weights=tally.hourly[0, inside], minlength=24)
    share = by_hour / max(by_hour.sum(), 1.0)
    for day, covered in ((0, tally.hour_day == tally.days[0]), (n - 1, tally.hour_day == tally.days[-1])):
        reached = np.unique(tally.hour_of_day[covered])
        if 1.0 - share[reached].sum() > _PARTIAL:
            good[day] = False
    return good


def closed_weekdays(daily: Floats, weekday: NDArray[np.int64]) -> Flags:
    """Days on which a series usually has nothing (a shop closed on Saturdays), shape (series, days)."""
    closed = np.zeros(daily.shape, dtype=bool)
    for day in range(7):
        on = weekday == day
        if on.any():
            closed[:, on] = (np.median(daily[:, on], axis=1) == 0)[:, None]
    return closed


def runs_of(flags: Flags) -> list[tuple[int, int]]:
    """The stretches of true, as first and end (exclusive).

    >>> runs_of(np.array([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def days_text(days: Sequence[int] | NDArray[np.int64]) -> str:
    """Days as people write them: one date, or the first and the last."""
    first, last = int(days[0]), int(days[-1])
    return str(date_of(first)) if first == last else f"{date_of(first)} to {date_of(last)}"
