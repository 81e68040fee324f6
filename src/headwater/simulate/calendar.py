"""The clocks of the simulated world: zones with daylight saving, the rhythm of a day, who signs up when, exchange rates."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

import pyarrow as pa

from headwater.core.span import date_of
from headwater.engine.engine import Engine
from headwater.simulate.world import (
    CURRENCIES,
    PLACES,
    World,
    expected_signup_weights,
    fx_rate,
)

__all__ = ["DAY_US", "RHYTHM", "SIGNUP_SLOTS", "midnight_us", "register_calendar", "share_of_day_before"]

DAY_US = 86_400_000_000
SIGNUP_SLOTS = 65_536
_EDGE_DAYS = 3

RHYTHM = (
    (0, 6, 0.06),
    (6, 9, 0.12),
    (9, 12, 0.13),
    (12, 14, 0.13),
    (14, 18, 0.20),
    (18, 22, 0.28),
    (22, 24, 0.08),
)
"""When in a user's own local day a session begins: from hour, to hour, share of sessions; even within."""


def register_calendar(engine: Engine, world: World) -> None:
    """Make the small tables ``sim_clock``, ``sim_signup`` and ``sim_fx`` readable."""
    engine.register("sim_clock", _clock(world))
    engine.register("sim_signup", _signup_days(world))
    engine.register("sim_fx", _rates(world))


def share_of_day_before(seconds: float) -> float:
    """The share of a day's sessions that begin before so many local seconds after midnight."""
    return sum(p * min(1.0, max(0.0, (seconds / 3600 - a) / (b - a))) for a, b, p in RHYTHM)


def midnight_us(day: int, zone: str) -> int:
    """The UTC microseconds at which a local day begins."""
    local = datetime.combine(date_of(day), datetime.min.time(), ZoneInfo(zone))
    return int(local.astimezone(UTC).timestamp()) * 1_000_000


def _clock(world: World) -> pa.Table:
    """One row a place and local day: when it begins, and where in it the clocks move (``switch_s``) by how much."""
    days = range(world.first_day - _EDGE_DAYS, world.end_day + _EDGE_DAYS)
    rows = [
        (no, day, *_day_in(place.zone, day), world.season(day))
        for no, place in enumerate(PLACES)
        for day in days
    ]
    names = ("place_no", "day", "start_us", "switch_s", "shift_s", "weight")
    return pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))


def _day_in(zone: str, day: int) -> tuple[int, int, int]:
    """Start of a local day, the local second from which clock time runs ahead of elapsed time, and by how much."""
    start, end = midnight_us(day, zone), midnight_us(day + 1, zone)
    shift = 86_400 - (end - start) // 1_000_000
    return start, (_switch_second(zone, day, shift) if shift else 86_400), int(shift)


def _switch_second(zone: str, day: int, shift: int) -> int:
    """The local clock second from which the new offset holds on a day whose clocks move.

    Spring forward: the first second after the gap. Fall back: the end of the hour that comes twice.
    """
    begin = datetime.fromtimestamp(midnight_us(day, zone) / 1e6, UTC)
    there = ZoneInfo(zone)
    before = begin.astimezone(there).utcoffset()
    for minute in range(0, 1500, 15):
        now = (begin + timedelta(minutes=minute)).astimezone(there)
        if now.utcoffset() != before:
            return minute * 60 + max(shift, 0)
    return 86_400


def _signup_days(world: World) -> pa.Table:
    """Slot to sign-up day: each of equally likely slots belongs to one day."""
    ends = list(accumulate(expected_signup_weights(world)))
    days = [
        min(bisect_right(ends, (slot + 0.5) / SIGNUP_SLOTS), world.n_days - 1) + world.first_day
        for slot in range(SIGNUP_SLOTS)
    ]
    return pa.table({"signup_slot": list(range(SIGNUP_SLOTS)), "signup_day": days})


def _rates(world: World) -> pa.Table:
    days = range(world.first_day - _EDGE_DAYS, world.end_day + _EDGE_DAYS)
    rows = [(day, currency, fx_rate(currency, day)) for day in days for currency in CURRENCIES]
    return pa.table(dict(zip(("fx_day", "currency", "per_usd"), zip(*rows, strict=True), strict=True)))
