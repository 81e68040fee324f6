"""What holes in the log took from each user at an age: hours before it, days of the windows after the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from headwater.core.audit import Hole
from headwater.core.ledger import Ledger
from headwater.engine.sql import Sql, name, shim, sql
from headwater.snapshots.holes import lost_days

__all__ = ["lost_at_age"]

_HOUR_US = 3_600_000_000


def lost_at_age(
    ledger: Ledger,
    holes: Sequence[Hole],
    *,
    hours: int,
    horizons: Sequence[int],
    time_zone: str,
    as_of: int | None,
) -> list[Sql]:
    """``hole_hours`` and ``lost in <h>`` over the ledger's users; nothing without holes.

    An hour or a day that a hole touches, however briefly, is lost. Holes of a dimension strike users whose
    first value it is: for the hours only where that was known before the age. Raises ``UsageError``
    (``snapshot.hole_dimension``).
    """
    if not holes:
        return []
    us = hours * _HOUR_US
    early = [_if_struck(h, _hours(h, us), _known_by_age(h, us)) for h in holes]
    made = [sql("CAST(least({h}, {n}) AS INTEGER) AS {c}", h=hours, n=_sum(early), c=name("hole_hours"))]
    lost = lost_days(ledger, holes, time_zone=time_zone)
    everyone = frozenset(d for one in lost if one.dimension is None for d in one.days)
    for h in horizons:
        days = [
            _if_struck(one, _overlap(first, end, h), _known_by(one.dimension, as_of))
            for one in lost
            for first, end in _ranges(one.days - everyone if one.dimension is not None else one.days)
        ]
        made.append(sql("CAST(least({h}, {n}) AS INTEGER) AS {c}", h=h, n=_sum(days), c=name(f"lost in {h}")))
    return made


class _Struck(Protocol):
    @property
    def dimension(self) -> str | None: ...
    @property
    def value(self) -> str | None: ...


def _if_struck(one: _Struck, lost: Sql, known: Sql) -> Sql:
    if one.dimension is None:
        return lost
    return sql(
        "CASE WHEN coalesce(CAST({d} AS STRING) = {v}, FALSE) AND {k} THEN {n} ELSE 0 END",
        d=name(f"first {one.dimension}"),
        v=one.value or "",
        k=known,
        n=lost,
    )


def _known_by_age(hole: Hole, us: int) -> Sql:
    if hole.dimension is None:
        return sql("TRUE")
    return sql("{a} < first_us + {us}", a=name(f"at {hole.dimension}"), us=us)


def _known_by(dimension: str | None, as_of: int | None) -> Sql:
    if dimension is None or as_of is None:
        return sql("TRUE")
    return sql("{d} < {a}", d=name(f"day {dimension}"), a=as_of)


def _hours(hole: Hole, us: int) -> Sql:
    """Hours since the first event, of those before the age, that the hole touches."""
    begins = sql("greatest({a}, first_us) - first_us", a=hole.first_us)
    ends = sql("least({b}, first_us + {us}) - first_us", b=hole.end_us, us=us)
    return sql(
        "CASE WHEN {a} < first_us + {us} AND {b} > first_us THEN {last} - {first} ELSE 0 END",
        a=hole.first_us,
        b=hole.end_us,
        us=us,
        last=shim("integer_division", sql("({e} + {h})", e=ends, h=_HOUR_US - 1), _HOUR_US),
        first=shim("integer_division", sql("({b})", b=begins), _HOUR_US),
    )


def _overlap(first: int, end: int, horizon: int) -> Sql:
    """Days of ``[first, end)`` within a user's first ``horizon`` days."""
    return sql(
        "greatest(0, least({e}, first_day + {h}) - greatest({f}, first_day))", e=end, h=horizon, f=first
    )


def _ranges(days: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Days as stretches, ends exclusive."""
    for day in sorted(days):
        if day - 1 not in days:
            end = day + 1
            while end in days:
                end += 1
            yield day, end


def _sum(parts: Sequence[Sql]) -> Sql:
    whole = sql("0")
    for part in parts:
        whole = sql("{w} + {p}", w=whole, p=part)
    return whole
