"""Holes in the log as lost days: for which users, and how many of them a window of days holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from headwater.core.audit import Hole
from headwater.core.errors import UsageError, near_miss
from headwater.core.ledger import Ledger
from headwater.core.span import day_of
from headwater.core.table import Table
from headwater.engine.engine import table_scan
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["LostDays", "days_lost", "lost_days", "users_in_holes"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LostDays:
    """App days touched by a hole, however briefly: of all users, or of those with a first value of a dimension."""

    dimension: str | None
    value: str | None
    days: frozenset[int]

    def within(self, first: int, end: int) -> frozenset[int]:
        """The days from ``first`` to ``end`` (exclusive)."""
        return frozenset(d for d in self.days if first <= d < end)


def lost_days(ledger: Ledger, holes: Sequence[Hole], *, time_zone: str) -> tuple[LostDays, ...]:
    """The app days of each hole, those of the same users together, everybody's first.

    Raises ``UsageError`` (``snapshot.hole_dimension``) where users have no first value of a dimension.
    """
    zone = ZoneInfo(time_zone)
    days: dict[tuple[str | None, str | None], set[int]] = {}
    for hole in holes:
        _require_dimension(ledger, hole.dimension)
        first, last = _app_day(hole.first_us, zone), _app_day(max(hole.first_us, hole.end_us - 1), zone)
        days.setdefault((hole.dimension, hole.value), set()).update(range(first, last + 1))
    ordered = sorted(days.items(), key=lambda one: tuple(part or "" for part in one[0]))
    return tuple(LostDays(dimension=d, value=v, days=frozenset(found)) for (d, v), found in ordered)


def days_lost(lost: Sequence[LostDays], first: int, end: int, *, by_cutoff: bool = False) -> Sql:
    """How many days of ``[first, end)`` a user lost: a number, or an expression over the columns ``hit <k>``.

    With ``by_cutoff`` over ``early <k>``: only users whose value was given before the cutoff have lost a day
    of a hole in a dimension.
    """
    column = "early" if by_cutoff else "hit"
    everyone = frozenset(d for one in lost if one.dimension is None for d in one.within(first, end))
    who: dict[int, list[int]] = {}
    for k, one in enumerate(lost):
        for day in one.within(first, end) - everyone if one.dimension is not None else ():
            who.setdefault(day, []).append(k)
    count = sql("{n}", n=len(everyone))
    for groups, n in sorted(Counter(tuple(g) for g in who.values()).items()):
        hit = sql("{g}", g=name(f"{column} {groups[0]}"))
        for k in groups[1:]:
            hit = sql("{a} OR {b}", a=hit, b=name(f"{column} {k}"))
        count = sql("{c} + CASE WHEN {h} THEN {n} ELSE 0 END", c=count, h=hit, n=n)
    return count


def users_in_holes(
    users: Table, lost: Sequence[LostDays], *, cutoff: int, as_of: int | None = None
) -> Sql | None:
    """One row per user with two booleans for each group of users with holes; None where all holes are everybody's.

    ``hit <k>``: the user's first value is the hole's, as seen from ``as_of`` (None: now). ``early <k>``: so it
    was known before the cutoff.
    """
    own = [(k, one) for k, one in enumerate(lost) if one.dimension is not None]
    if not own:
        return None
    struck = [
        sql("{s} AS {n}", s=_is_struck(one, before), n=name(f"{label} {k}"))
        for k, one in own
        for label, before in (("hit", as_of), ("early", cutoff if as_of is None else min(cutoff, as_of)))
    ]
    return sql("SELECT user_id, {struck} FROM {users}", struck=commas(struck), users=table_scan(users))


def _is_struck(one: LostDays, before: int | None) -> Sql:
    """Whether a user's first value is the hole's, and was known before a day (None: whenever)."""
    then = sql("") if before is None else sql(" AND {d} < {b}", d=name(f"day {one.dimension}"), b=before)
    return sql(
        "coalesce(CAST({d} AS STRING) = {v}{then}, FALSE)",
        d=name(f"first {one.dimension}"),
        v=one.value or "",
        then=then,
    )


def _app_day(us: int, zone: ZoneInfo) -> int:
    return day_of((_EPOCH + timedelta(microseconds=us)).astimezone(zone).date())


def _require_dimension(ledger: Ledger, dimension: str | None) -> None:
    known: Mapping[str, str] = {
        c.name.removeprefix("first "): c.name for c in ledger.users.columns if c.name.startswith("first ")
    }
    if dimension is not None and dimension not in known:
        raise UsageError(
            "snapshot.hole_dimension",
            what=f"A hole is in '{dimension}', of which users have no first value.",
            why="It cannot be said whose windows the hole touches.",
            do=f"Keep the column (keep = [...] in [[sources]]), or give the hole no dimension. {near_miss(dimension, known)}",
        )
