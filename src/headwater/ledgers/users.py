"""The users of a ledger, one row each, first values only.

A first value is the one that was known first: the earliest that a snapshot of whatever cutoff could have
seen. What becomes known later never replaces it, however early it happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.core.contract import Events
from headwater.core.ledger import Ledger
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, commas, disjunction, name, shim, sql, union_all
from headwater.ledgers.attributes import mark_attributes
from headwater.ledgers.days import on_days

__all__ = ["Touched", "write_users"]

_FIRSTS, _GIVEN, _SEARCHED = "first events", "given at first", "users searched on"
_TOUCHED, _STALE = "touched users", "stale users"
_HELD = (_FIRSTS, _GIVEN, _SEARCHED, _TOUCHED, _STALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What changed since an earlier ledger: the days built anew, and that ledger."""

    days: frozenset[int]
    earlier: Ledger


def write_users(
    engine: Engine, events: Events, days: Table, *, folder: Path, touched: Touched | None, late: bool
) -> Table:
    """One row a user; users without an event on a changed day are taken over as they were.

    The first values of a text column of few values have the purpose ``ATTRIBUTE``: snapshots carry them.
    """
    columns = _user_columns(events)
    if touched is None:
        query = _users_query(engine, events, table_scan(days), late=late)
    else:
        query = _users_again(engine, events, days, touched, [c.name for c in columns], late=late)
    try:
        users = engine.write(query, folder, table="users", columns=columns)
    finally:
        for view in _HELD:
            engine.release(view)
    texts = [c.name for c in users.columns if c.name.startswith("first ") and c.kind is Kind.TEXT]
    return mark_attributes(engine, users, texts)


def _users_query(engine: Engine, events: Events, days: Sql, *, late: bool) -> Sql:
    kept = events.contract.source.keep
    if not kept:
        return _first_of(days)
    engine.hold(_FIRSTS, _first_of(days))
    return sql(
        "SELECT user_id, bucket, first_day, first_us, known_day, {values} FROM {firsts} u LEFT JOIN ({attributes}) a USING (user_id)",
        values=commas([name(c) for c in _attribute_names(kept)]),
        firsts=name(_FIRSTS),
        attributes=_first_values(engine, kept, table_scan(events.events), days, late=late),
    )


def _first_values(engine: Engine, kept: Sequence[str], scan: Sql, days: Sql, *, late: bool) -> Sql:
    """What ``_attributes`` gives, from the events known first; only users whose first events leave a value out are searched on."""
    known = sql("greatest(app_day, known_day)") if late else sql("at_us")
    first = sql("SELECT user_id, min({k}) AS known_first FROM {d} d GROUP BY user_id", k=known, d=days)
    if not late:
        first = sql("SELECT user_id, first_us AS known_first FROM {f} x", f=name(_FIRSTS))
    at_first = sql(
        "(SELECT e.* FROM (SELECT *, {known} AS known_as FROM {scan} s) e JOIN ({first}) f ON e.user_id = f.user_id AND e.known_as = f.known_first)",
        known=known,
        scan=scan,
        first=first,
    )
    engine.hold(_GIVEN, _attributes(kept, at_first, sql("TRUE"), late=late))
    left_out = disjunction([sql("{f} IS NULL", f=name(f"first {c}")) for c in kept])
    given = sql("SELECT * FROM {g} g", g=name(_GIVEN))
    searched = sql("SELECT user_id FROM {g} g WHERE {o}", g=name(_GIVEN), o=left_out)
    if engine.hold(_SEARCHED, searched) == 0:
        return given
    them = sql("user_id IN (SELECT user_id FROM {s} s)", s=name(_SEARCHED))
    return union_all(
        [sql("{g} WHERE NOT ({o})", g=given, o=left_out), _attributes(kept, scan, them, late=late)]
    )


def _first_of(days: Sql) -> Sql:
    return sql(
        "SELECT user_id, any_value(bucket) AS bucket, min(app_day) AS first_day, min(first_us) AS first_us, min(known_day) AS known_day FROM {days} d GROUP BY user_id",
        days=days,
    )


def _attribute_names(kept: Sequence[str]) -> list[str]:
    return [f"{what} {c}" for what in ("first", "at", "day") for c in kept]


def _attributes(kept: Sequence[str], scan: Sql, where: Sql, *, late: bool) -> Sql:
    """For each kept column the value known first (``first <c>``), since when (``at <c>``), and the app day of that (``day <c>``)."""
    at = sql("greatest(at_us, known_us)") if late else sql("at_us")
    day = sql("greatest(app_day, known_day)") if late else sql("app_day")
    then = shim("pair", at, sql("at_us")) if late else at
    firsts = [sql("min_by({c}, {o})", c=name(c), o=shim("pair", then, name(c))) for c in kept]
    values = [*firsts, *[sql("min({a})", a=at)] * len(kept), *[sql("min({d})", d=day)] * len(kept)]
    given = [
        sql("{v} FILTER (WHERE {c} IS NOT NULL) AS {n}", v=v, c=name(c), n=name(n))
        for v, c, n in zip(values, [*kept] * 3, _attribute_names(kept), strict=True)
    ]
    return sql(
        "SELECT user_id, {f} FROM {scan} e WHERE {w} GROUP BY user_id", f=commas(given), scan=scan, w=where
    )


def _users_again(
    engine: Engine, events: Events, days: Table, touched: Touched, columns: Sequence[str], *, late: bool
) -> Sql:
    """Users not touched as they were; touched ones from the ledger, their attributes from the changed days.

    An attribute known before the first changed day is still the first. A user of whom any came to be known
    on that day, or later, is read again in full.
    """
    inside = on_days(touched.days)
    both = sql(
        "SELECT user_id, app_day FROM {new} n WHERE {i} UNION ALL SELECT user_id, app_day FROM {old} o WHERE {i}",
        new=table_scan(days),
        old=table_scan(touched.earlier.days),
        i=inside,
    )
    engine.hold(_TOUCHED, sql("SELECT user_id, min(app_day) AS since FROM ({b}) b GROUP BY user_id", b=both))
    them = name(_TOUCHED)
    kept = events.contract.source.keep
    same = sql(
        "SELECT {c} FROM {old} o LEFT JOIN (SELECT user_id, since FROM {them} x) t USING (user_id) WHERE since IS NULL",
        c=commas([name(c) for c in columns]),
        old=table_scan(touched.earlier.users),
        them=them,
    )
    base = _first_of(
        sql(
            "(SELECT l.* FROM {days} l JOIN {them} t ON l.user_id = t.user_id)",
            days=table_scan(days),
            them=them,
        )
    )
    if not kept:
        return sql("{same} UNION ALL {base}", same=same, base=base)
    again = _attributed(engine, events, touched, base, late=late)
    return sql("{same} UNION ALL {again}", same=same, again=again)


def _attributed(engine: Engine, events: Events, touched: Touched, base: Sql, *, late: bool) -> Sql:
    kept = events.contract.source.keep
    them, old = name(_TOUCHED), table_scan(touched.earlier.users)
    known_since = disjunction([sql("o.{d} >= t.since", d=name(f"day {c}")) for c in kept])
    stale = sql(
        "SELECT t.user_id FROM {them} t JOIN {old} o ON t.user_id = o.user_id WHERE {known_since}",
        them=them,
        old=old,
        known_since=known_since,
    )
    n_stale = engine.hold(_STALE, stale)
    fresh_scan = table_scan(events.events_on(touched.days))
    sources = _attributes(kept, fresh_scan, on_days(touched.days), late=late)
    if n_stale:
        members = sql("user_id IN (SELECT user_id FROM {s} x)", s=name(_STALE))
        sources = sql(
            "SELECT * FROM ({new}) n WHERE NOT ({members}) UNION ALL {again}",
            new=sources,
            members=members,
            again=_attributes(kept, table_scan(events.events), members, late=late),
        )
    values = [
        sql("CASE WHEN p.{f} IS NULL THEN a.{n} ELSE p.{n} END AS {n}", f=name(f"first {c}"), n=name(n))
        for c, n in zip([*kept] * 3, _attribute_names(kept), strict=True)
    ]
    return sql(
        "SELECT b.user_id, b.bucket, b.first_day, b.first_us, b.known_day, {values}"
        " FROM ({base}) b LEFT JOIN (SELECT o.* FROM {old} o JOIN {them} t ON o.user_id = t.user_id WHERE NOT coalesce({known_since}, FALSE)) p ON b.user_id = p.user_id"
        " LEFT JOIN ({sources}) a ON b.user_id = a.user_id",
        values=commas(values),
        base=base,
        old=old,
        them=them,
        known_since=known_since,
        sources=sources,
    )


def _user_columns(events: Events) -> tuple[Column, ...]:
    kinds = {c.name: c.kind for c in events.events.columns}
    kept = events.contract.source.keep
    firsts = [Column(name=f"first {c}", kind=kinds[c], about=f"the {c} that was known first") for c in kept]
    ats = [
        Column(name=f"at {c}", kind=Kind.TIMESTAMP, about=f"when the first {c} became known") for c in kept
    ]
    days = [Column(name=f"day {c}", kind=Kind.DAY, about=f"the app day of that: {c}") for c in kept]
    return (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="bucket", kind=Kind.INTEGER),
        Column(name="first_day", kind=Kind.DAY, about="first app day in the log"),
        Column(name="first_us", kind=Kind.TIMESTAMP),
        Column(name="known_day", kind=Kind.DAY),
        *firsts,
        *ats,
        *days,
    )
