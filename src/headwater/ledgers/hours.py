"""The first hours of a ledger's users: what was done in each hour since the first event, and when it became known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from headwater.core.contract import Events
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, name, shim, sql
from headwater.ledgers.days import on_days, write_by_day
from headwater.ledgers.measures import CompiledMeasure, after_comma, event_sums, measure_columns
from headwater.ledgers.users import Touched

__all__ = ["FIRST_HOURS", "write_hours"]

FIRST_HOURS = 168
_DAYS_OF_FIRST_HOURS = 8  # 168 hours may reach the eighth day after the first, where the clocks skip an hour
_SPAN = range(_DAYS_OF_FIRST_HOURS + 1)
_HOUR_US = 3_600_000_000


def write_hours(
    engine: Engine,
    events: Events,
    compiled: Sequence[CompiledMeasure],
    users: Table,
    *,
    folder: Path,
    touched: Touched | None,
    late: bool,
) -> Table:
    """The first hours; a table by the user's first day, so that only days near a change are built again.

    A row is an hour of a user and the hour in which it became known (168: after the first hours). Rows add
    up: those with both hours below an age are what was known at that age, and a distinct key, or an active
    day, counts once among them.
    """
    present = [d for d, _ in events.day_fingerprints]
    first_days = set(present) if touched is None else _first_days_again(engine, users, touched)
    near = [d for d in present if touched is None or any(d - f in _SPAN for f in first_days)]
    timed = _timed(table_scan(events.events_on(near)), users, first_days, near, late=late)
    joined = sql(
        "SELECT h.*, u.first_day AS first_day FROM ({h}) h JOIN (SELECT user_id, first_day FROM {u} w) u USING (user_id)",
        h=_hours_query(compiled, timed, late=late),
        u=table_scan(users),
    )
    table, _ = write_by_day(
        engine,
        joined,
        folder,
        table="user_hours",
        columns=_hour_columns(compiled),
        built=first_days,
        earlier=None if touched is None else touched.earlier.user_hours,
        part=name("first_day"),
    )
    return table


def _first_days_again(engine: Engine, users: Table, touched: Touched) -> set[int]:
    """First days of users whose first hours hold a changed day, or whose first event moved."""
    moved = sql(
        "SELECT a.first_day, b.first_day FROM {old} a FULL OUTER JOIN {new} b ON a.user_id = b.user_id"
        " WHERE coalesce(a.first_us <> b.first_us OR a.first_day <> b.first_day, TRUE) GROUP BY a.first_day, b.first_day",
        old=table_scan(touched.earlier.users),
        new=table_scan(users),
    )
    days = {int(d) for row in engine.rows(moved) for d in row if d is not None}
    return days | {d - k for d in touched.days for k in _SPAN}


def _timed(scan: Sql, users: Table, first_days: Iterable[int], near: Iterable[int], *, late: bool) -> Sql:
    """The events of the first hours, each with its hour and the hour it became known."""
    known = _hours_from_first(sql("known_us"))
    return sql(
        "(SELECT e.*, {hour} AS hour, {known} AS known_hour FROM (SELECT * FROM {scan} s WHERE {near}) e"
        " JOIN (SELECT user_id, user_first_us FROM (SELECT user_id, first_us AS user_first_us, first_day AS app_day FROM {users} w) f WHERE {first}) u"
        " USING (user_id) WHERE at_us - user_first_us < {limit})",
        hour=_hours_from_first(sql("at_us")),
        known=sql("least(greatest({a}, {k}), {most})", a=_hours_from_first(sql("at_us")), k=known, most=FIRST_HOURS)
        if late
        else _hours_from_first(sql("at_us")),
        scan=scan,
        near=on_days(near),
        users=table_scan(users),
        first=on_days(first_days),
        limit=FIRST_HOURS * _HOUR_US,
    )  # fmt: skip


def _hours_from_first(instant: Sql) -> Sql:
    whole = shim("integer_division", sql("({i} - user_first_us)", i=instant), _HOUR_US)
    return sql("CAST({h} AS INTEGER)", h=whole)


def _hours_query(compiled: Sequence[CompiledMeasure], timed: Sql, *, late: bool) -> Sql:
    joins = [_first_known(c.measure.name, c.key, timed, late=late) for c in compiled if c.key is not None]
    counts = [sql("CAST(coalesce({n}, 0) AS BIGINT) AS {n}", n=name(c.measure.name)) for c in compiled]
    return sql(
        "SELECT user_id, hour, known_hour, n_events, CAST(coalesce(active_days, 0) AS BIGINT) AS active_days{counts}"
        " FROM (SELECT user_id, hour, known_hour, count(*) AS n_events{sums} FROM {timed} h GROUP BY user_id, hour, known_hour) d{days}{joins}",
        counts=after_comma(counts),
        sums=after_comma(event_sums(compiled)),
        timed=timed,
        days=_first_known("active_days", sql("app_day"), timed, late=late),
        joins=Sql(tuple(p for j in joins for p in j.pieces)),
    )


def _first_known(column: str, key: Sql, timed: Sql, *, late: bool) -> Sql:
    """A key counts in the row in which it was first known; where two were known at once, in the earlier hour."""
    hour = (
        sql("min_by(hour, {o})", o=shim("pair", sql("known_hour"), sql("hour"))) if late else sql("min(hour)")
    )
    return sql(
        " LEFT JOIN (SELECT user_id, hour, known_hour, count(*) AS {n} FROM (SELECT user_id, key, {hour} AS hour, min(known_hour) AS known_hour"
        " FROM (SELECT user_id, hour, known_hour, {k} AS key FROM {timed} t) g GROUP BY user_id, key) f"
        " WHERE key IS NOT NULL GROUP BY user_id, hour, known_hour) {alias} USING (user_id, hour, known_hour)",
        n=name(column),
        k=key,
        hour=hour,
        timed=timed,
        alias=name(f"seen {column}"),
    )  # fmt: skip


def _hour_columns(compiled: Sequence[CompiledMeasure]) -> tuple[Column, ...]:
    about = "whole hours since the user's first event"
    known = f"{about} when it became known, {FIRST_HOURS} for later"
    return (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="hour", kind=Kind.INTEGER, purpose=Purpose.KEY, about=about),
        Column(name="known_hour", kind=Kind.INTEGER, purpose=Purpose.KEY, about=known),
        Column(name="n_events", kind=Kind.INTEGER),
        Column(name="active_days", kind=Kind.INTEGER, about="app days of which this is the first that was known"),
        *measure_columns(compiled),
        Column(name="first_day", kind=Kind.DAY, about="the user's first app day in the log"),
    )  # fmt: skip
