"""Build the ledger: one pass over the events for the days, one for the users, one for their first hours.

Every measure becomes whole numbers at a fixed scale before it is summed, so totals do not depend on the
order of rows or threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.core.contract import Aggregate, Events, Measure
from headwater.core.errors import ConfigError
from headwater.core.ledger import Ledger, LedgerMeasure
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.expression import MICROS, compile_condition, compile_expression
from headwater.engine.sql import Sql, commas, name, shim, sql
from headwater.ledgers.findings import ledger_findings

__all__ = ["FIRST_HOURS", "build_ledger"]

FIRST_HOURS = 168
_HOUR_US = 3_600_000_000
_FIXED = frozenset(
    {
        "user_id",
        "bucket",
        "app_day",
        "known_day",
        "n_events",
        "first_us",
        "last_us",
        "active_days",
        "cutoff",
        "age",
        "ahead",
        "oldest",
        "hour",
    }
)


def build_ledger(engine: Engine, events: Events, *, folder: Path) -> Ledger:
    """Build ``ledger``, ``users`` and ``user_hours`` under ``folder``. Raises ``ConfigError`` for a bad measure."""
    kinds = {c.name: c.kind for c in events.events.columns}
    compiled = tuple(_compiled(m, kinds, events.contract.app.currency) for m in events.contract.measures)
    _require_own_names(compiled)
    scan = table_scan(events.events)
    query = _days_query(compiled, scan, late=events.contract.source.known_at is not None)
    days = engine.write(query, folder, table="ledger", columns=_day_columns(compiled))
    users = engine.write(_users_query(events, days), folder, table="users", columns=_user_columns(events))
    hours = engine.write(
        _hours_query(compiled, scan, users), folder, table="user_hours", columns=_hour_columns(compiled)
    )
    n_user_days = engine.one(
        sql("SELECT count(*) FROM (SELECT DISTINCT user_id, app_day FROM {s})", s=table_scan(days))
    )[0]
    settle_days = _settle_days(engine, days)
    return Ledger(
        days=days,
        users=users,
        user_hours=hours,
        measures=tuple(c.measure for c in compiled),
        first_day=events.first_day,
        end_day=events.end_day,
        left_edge_days=events.contract.app.left_edge_days,
        settle_days=settle_days,
        one_row_a_day=n_user_days == days.n_rows,
        findings=ledger_findings(
            engine,
            events,
            days,
            settle_days=settle_days,
            sums=[(c.measure, c.amount) for c in compiled if c.amount is not None and not c.measure.counts],
        ),
        sql=engine.text(query),
    )


def _settle_days(engine: Engine, days: Table) -> int:
    """Within how many days 99% of the user-days have become known."""
    late = sql("percentile_cont(0.99) WITHIN GROUP (ORDER BY known_day - app_day)")
    (settle,) = engine.one(
        sql("SELECT coalesce(CAST(ceil({late}) AS INTEGER), 0) FROM {s}", late=late, s=table_scan(days))
    )
    return max(0, settle)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    measure: LedgerMeasure
    amount: Sql | None
    key: Sql | None
    about: str


def _defined(measure: Measure) -> str:
    how = f"{measure.aggregate.value}({measure.expression})" if measure.expression else "count of events"
    return f"{how} where {measure.where}" if measure.where else how


def _compiled(measure: Measure, kinds: dict[str, Kind], currency: str) -> _Compiled:
    if measure.name.casefold() in _FIXED or not measure.name.isidentifier():
        raise ConfigError(
            "measure.name",
            what=f"A measure cannot be named '{measure.name}'.",
            why="The name becomes part of column names.",
            do="Use a plain word of letters, digits and _, not one of " + ", ".join(sorted(_FIXED)) + ".",
        )
    where = compile_condition(measure.where, kinds) if measure.where else sql("TRUE")
    if measure.aggregate is Aggregate.COUNT:
        return _count(measure, amount=sql("CASE WHEN {w} THEN 1 ELSE 0 END", w=where))
    typed = compile_expression(measure.expression, kinds)
    if measure.aggregate is Aggregate.COUNT_DISTINCT:
        return _count(measure, key=sql("CASE WHEN {w} THEN CAST({x} AS VARCHAR) END", w=where, x=typed.sql))
    if typed.kind not in {Kind.INTEGER, Kind.NUMBER, Kind.MONEY}:
        raise ConfigError(
            "measure.type",
            what=f"The measure '{measure.name}' sums '{measure.expression}', which is {typed.kind}.",
            why="Only numbers add up.",
            do="Declare the column's type under types (integer, number, money), or use count_distinct.",
        )
    scaled = (
        sql("CAST(round({x} * {m}) AS BIGINT)", x=typed.sql, m=MICROS)
        if typed.kind is Kind.NUMBER
        else sql("CAST({x} AS BIGINT)", x=typed.sql)
    )
    amount = sql("CASE WHEN {w} THEN coalesce({x}, 0) ELSE 0 END", w=where, x=scaled)
    scale = 1 if typed.kind is Kind.INTEGER else MICROS
    unit = measure.unit or (currency if typed.kind is Kind.MONEY else "")
    column = LedgerMeasure(name=measure.name, kind=typed.kind, unit=unit, scale=scale, counts=False)
    return _Compiled(measure=column, amount=amount, key=None, about=_defined(measure))


def _require_own_names(compiled: Sequence[_Compiled]) -> None:
    """Two measures that differ in case only, or by their unit only, would make the same columns."""
    seen: dict[str, str] = {}
    for one in (c.measure for c in compiled):
        for label in {one.name.casefold(), one.label.casefold()}:
            if seen.setdefault(label, one.name) != one.name:
                raise ConfigError(
                    "measure.name",
                    what=f"The measures '{seen[label]}' and '{one.name}' would both make columns named '{label}'.",
                    why="One of the two would hide the other.",
                    do="Give one of them another name.",
                )


def _count(measure: Measure, *, amount: Sql | None = None, key: Sql | None = None) -> _Compiled:
    column = LedgerMeasure(name=measure.name, kind=Kind.INTEGER, unit=measure.unit, scale=1, counts=True)
    return _Compiled(measure=column, amount=amount, key=key, about=_defined(measure))


def _days_query(compiled: Sequence[_Compiled], scan: Sql, *, late: bool) -> Sql:
    """User-days with additive sums; a distinct key counts on the day it was first seen.

    Where rows become known late (``late``), a key may turn out to be older than was thought: the count
    moves to the earlier day on the day that became known, so every cutoff counts the key once, where it
    stood then.
    """
    sums = [
        sql("CAST(sum({a}) AS BIGINT) AS {n}", a=c.amount, n=name(c.measure.name))
        for c in compiled
        if c.amount is not None
    ]
    days = sql(
        "SELECT user_id, app_day, known_day, count(*) AS n_events, min(at_us) AS first_us, max(at_us) AS last_us{sums} FROM {scan} GROUP BY user_id, app_day, known_day",
        sums=_each_after_comma(sums),
        scan=scan,
    )
    keyed = [c for c in compiled if c.key is not None]
    if late and keyed:
        days = sql(
            "SELECT * FROM ({days}) UNION ALL BY NAME {moves}", days=days, moves=_moved_days(keyed, scan)
        )
    joins = [_first_sight(c, scan, late=late) for c in keyed]
    counts = [sql("CAST(coalesce({n}, 0) AS BIGINT) AS {n}", n=name(c.measure.name)) for c in compiled]
    return sql(
        "SELECT user_id, {bucket} AS bucket, app_day, known_day, n_events, first_us, last_us{counts} FROM ({days}) d{joins}",
        bucket=shim("bucket", sql("user_id")),
        counts=_each_after_comma(counts),
        days=days,
        joins=Sql(tuple(p for j in joins for p in j.pieces)),
    )


def _first_sight(compiled: _Compiled, scan: Sql, *, late: bool) -> Sql:
    first = (
        _sightings(compiled, scan)
        if late
        else sql(
            "SELECT user_id, min(app_day) AS app_day, min(app_day) AS known_day, 1 AS step FROM (SELECT user_id, app_day, {key} AS key FROM {scan}) k"
            " WHERE key IS NOT NULL GROUP BY user_id, key",
            key=compiled.key,
            scan=scan,
        )
    )
    return sql(
        " LEFT JOIN (SELECT user_id, app_day, known_day, sum(step) AS {n} FROM ({first}) f GROUP BY user_id, app_day, known_day) {alias} USING (user_id, app_day, known_day)",
        n=name(compiled.measure.name),
        first=first,
        alias=name(f"seen {compiled.measure.name}"),
    )


def _sightings(compiled: _Compiled, scan: Sql) -> Sql:
    """For each key: +1 on the first day known so far, and, when an earlier day becomes known, -1 on the day it stood."""
    return sql(
        "SELECT user_id, CAST(CASE step WHEN 1 THEN first_day ELSE stood END AS INTEGER) AS app_day, known_day, step FROM (SELECT *, lag(first_day) OVER w AS stood"
        " FROM (SELECT user_id, key, known_day, min(min(app_day)) OVER (PARTITION BY user_id, key ORDER BY known_day) AS first_day"
        " FROM (SELECT user_id, app_day, known_day, {key} AS key FROM {scan}) k WHERE key IS NOT NULL GROUP BY user_id, key, known_day) f"
        " WINDOW w AS (PARTITION BY user_id, key ORDER BY known_day)) s, (VALUES (1), (-1)) AS t(step)"
        " WHERE coalesce(first_day < stood, TRUE) AND (step = 1 OR stood IS NOT NULL)",
        key=compiled.key,
        scan=scan,
    )


def _moved_days(keyed: Sequence[_Compiled], scan: Sql) -> Sql:
    """Rows without events for the days from which a key moved away, where no event became known that day."""
    moves = [
        sql("SELECT user_id, app_day, known_day FROM ({s}) WHERE step = -1", s=_sightings(c, scan))
        for c in keyed
    ]
    every = moves[0]
    for move in moves[1:]:
        every = sql("{a} UNION {b}", a=every, b=move)
    return sql(
        "SELECT DISTINCT user_id, app_day, known_day, 0 AS n_events FROM ({every}) m ANTI JOIN {scan} USING (user_id, app_day, known_day)",
        every=every,
        scan=scan,
    )


def _users_query(events: Events, days: Table) -> Sql:
    """First values only: attributes that change belong to dated tables."""
    kept = events.contract.source.keep
    firsts = [sql("arg_min({c}, (at_us, {c})) AS {f}", c=name(c), f=name(f"first {c}")) for c in kept]
    values = _each_after_comma([name(f"first {c}") for c in kept])
    attributes = sql(
        " LEFT JOIN (SELECT user_id{firsts} FROM {scan} GROUP BY user_id) a USING (user_id)",
        firsts=_each_after_comma(firsts),
        scan=table_scan(events.events),
    )
    return sql(
        "SELECT user_id, bucket, first_day, first_us, known_day{values} FROM (SELECT user_id, any_value(bucket) AS bucket, min(app_day) AS first_day,"
        " min(first_us) AS first_us, min(known_day) AS known_day FROM {days} GROUP BY user_id) u{attributes}",
        values=values,
        days=table_scan(days),
        attributes=attributes if kept else sql(""),
    )


def _hours_query(compiled: Sequence[_Compiled], scan: Sql, users: Table) -> Sql:
    """The first hours; a distinct key counts in the hour it was first seen, so that hours add up."""
    sums = [
        sql("CAST(sum({a}) AS BIGINT) AS {n}", a=c.amount, n=name(c.measure.name))
        for c in compiled
        if c.amount is not None
    ]
    hour = sql("CAST({h} AS INTEGER)", h=shim("integer_division", sql("(at_us - first_us)"), _HOUR_US))
    timed = sql(
        "(SELECT e.*, {hour} AS hour FROM {scan} e JOIN (SELECT user_id, first_us FROM {users}) u USING (user_id) WHERE at_us - first_us < {limit})",
        hour=hour,
        scan=scan,
        users=table_scan(users),
        limit=FIRST_HOURS * _HOUR_US,
    )
    joins = [
        sql(
            " LEFT JOIN (SELECT user_id, hour, count(*) AS {n} FROM (SELECT user_id, {k} AS key, min(hour) AS hour FROM {timed} t GROUP BY user_id, {k}) f"
            " WHERE key IS NOT NULL GROUP BY user_id, hour) {alias} USING (user_id, hour)",
            n=name(c.measure.name),
            k=c.key,
            timed=timed,
            alias=name(f"seen {c.measure.name}"),
        )
        for c in compiled
        if c.key is not None
    ]
    counts = [sql("CAST(coalesce({n}, 0) AS BIGINT) AS {n}", n=name(c.measure.name)) for c in compiled]
    return sql(
        "SELECT user_id, hour, n_events{counts} FROM (SELECT user_id, hour, count(*) AS n_events{sums} FROM {timed} h GROUP BY user_id, hour) d{joins}",
        counts=_each_after_comma(counts),
        sums=_each_after_comma(sums),
        timed=timed,
        joins=Sql(tuple(p for j in joins for p in j.pieces)),
    )


def _each_after_comma(parts: Sequence[Sql]) -> Sql:
    return sql(", {parts}", parts=commas(parts)) if parts else sql("")


def _measure_columns(compiled: Sequence[_Compiled]) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=c.measure.name,
            kind=c.measure.kind,
            unit=f"1/{c.measure.scale:,} {c.measure.unit}" if c.measure.scale > 1 else c.measure.unit,
            about=c.about,
        )
        for c in compiled
    )


def _day_columns(compiled: Sequence[_Compiled]) -> tuple[Column, ...]:
    return (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="bucket", kind=Kind.INTEGER, about="md5 bucket of the user, 0 to 63"),
        Column(name="app_day", kind=Kind.DAY, purpose=Purpose.KEY, about="the app's local day"),
        Column(name="known_day", kind=Kind.DAY, purpose=Purpose.KEY, about="the day it became known"),
        Column(name="n_events", kind=Kind.INTEGER),
        Column(name="first_us", kind=Kind.TIMESTAMP),
        Column(name="last_us", kind=Kind.TIMESTAMP),
        *_measure_columns(compiled),
    )


def _user_columns(events: Events) -> tuple[Column, ...]:
    kinds = {c.name: c.kind for c in events.events.columns}
    return (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="bucket", kind=Kind.INTEGER),
        Column(name="first_day", kind=Kind.DAY, about="first app day in the log"),
        Column(name="first_us", kind=Kind.TIMESTAMP),
        Column(name="known_day", kind=Kind.DAY),
        *(
            Column(name=f"first {c}", kind=kinds[c], about=f"{c} of the first event")
            for c in events.contract.source.keep
        ),
    )


def _hour_columns(compiled: Sequence[_Compiled]) -> tuple[Column, ...]:
    return (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(
            name="hour",
            kind=Kind.INTEGER,
            purpose=Purpose.KEY,
            about="whole hours since the user's first event",
        ),
        Column(name="n_events", kind=Kind.INTEGER),
        *_measure_columns(compiled),
    )
