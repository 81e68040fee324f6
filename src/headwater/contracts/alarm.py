"""What an alarm is: it looks at the load as a whole, after the gate, and says what it saw. It never deletes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from headwater.contracts.tally import Series, Tally
from headwater.core.audit import AlarmSpec, Hole, Listing
from headwater.core.contract import Events, RuleValue
from headwater.core.errors import ConfigError, near_miss
from headwater.core.finding import Finding
from headwater.core.ledger import Ledger
from headwater.core.span import date_of
from headwater.engine.engine import Engine

__all__ = [
    "Alarm",
    "Flags",
    "Floats",
    "Heard",
    "Metric",
    "Scope",
    "closed_weekdays",
    "completed",
    "days_text",
    "number_of",
    "runs_of",
    "text_of",
    "whole_days",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

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

    @property
    def time_zone(self) -> str:
        """The app's zone, in which times are told; UTC where only a tally is at hand."""
        return self.events.contract.app.time_zone if self.events is not None else "UTC"


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
    """What one alarm says. ``level`` is that of each of its ``n_tests``; None where it follows a fixed rule.

    ``flags_are`` names what ``n_flagged`` counts.
    """

    n_tests: int = 0
    level: float | None = None
    n_flagged: int = 0
    flags_are: str = "loads"
    skipped: str = ""
    findings: tuple[Finding, ...] = ()
    holes: tuple[Hole, ...] = ()
    metrics: tuple[Metric, ...] = ()
    listings: tuple[Listing, ...] = ()
    n_scans: int = 0


class Alarm(Protocol):
    """An alarm on the shelf. ``statistical`` ones share the false alarms allowed; the others follow a fixed rule.

    ``defaults`` are its settings: numbers above zero, or texts.
    """

    about: ClassVar[str]
    statistical: ClassVar[bool]
    defaults: ClassVar[Mapping[str, float | str]]

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Look at the load; ``spec`` has every setting. Raises ``ConfigError`` where one does not fit the data."""
        ...


def completed(spec: AlarmSpec, defaults: Mapping[str, float | str]) -> AlarmSpec:
    """The settings as given, with the alarm's defaults where they are not. Raises ``ConfigError`` (``alarm.*``)."""
    for setting, value in spec.settings.items():
        if setting not in defaults:
            raise ConfigError(
                "alarm.unknown_setting",
                what=f"The alarm '{spec.alarm}' has no setting '{setting}'.",
                why="A setting that is not read would be a wish that is not met.",
                do=near_miss(setting, defaults.keys() | {"on"}),
            )
        _require_fit(spec.alarm, setting, value, defaults[setting])
    return replace(spec, settings={**defaults, **spec.settings})


def _require_fit(alarm: str, setting: str, value: RuleValue, default: float | str) -> None:
    if isinstance(default, str):
        wanted, example = "text", f'{setting} = "device_id"'
        fits = isinstance(value, str)
    else:
        most = 1.0 if setting.endswith("_share") else float("inf")
        wanted = "a number above zero and at most 1" if most == 1.0 else "a number above zero"
        example = f"{setting} = {default:g}"
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
    if not fits:
        raise ConfigError(
            "alarm.setting",
            what=f"The alarm '{alarm}' was given {setting} = {value!r}.",
            why=f"It takes {wanted}.",
            do=f"Write {wanted}, such as {example}.",
        )


def number_of(spec: AlarmSpec, setting: str) -> float:
    """A number among completed settings."""
    return float(cast("float", spec.settings[setting]))


def text_of(spec: AlarmSpec, setting: str) -> str:
    """A text among completed settings; empty where none is given."""
    return str(spec.settings[setting])


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
