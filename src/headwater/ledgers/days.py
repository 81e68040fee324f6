"""User-days: what each user did on each app day, as it became known; and the distinct keys behind counts.

A table by day is one Parquet folder for each app day, so that a day can be built anew and the others kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from headwater.core.table import Column, Kind, Purpose, Table, joined, of_marks
from headwater.engine.engine import Engine, adopt_by_day, table_scan
from headwater.engine.folders import link_file
from headwater.engine.sql import Sql, name, shim, sql, union_all
from headwater.ledgers.measures import CompiledMeasure, after_comma, event_sums, measure_columns

__all__ = [
    "KEY_COLUMNS",
    "day_columns",
    "days_query",
    "days_touched_by_keys",
    "keys_query",
    "on_days",
    "write_by_day",
]

_PART = "part"
KEY_COLUMNS = (
    Column(name="measure", kind=Kind.INTEGER, purpose=Purpose.KEY, about="place of the measure, from 0"),
    Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
    Column(name="key", kind=Kind.TEXT, purpose=Purpose.KEY, about="what is counted once"),
    Column(name="app_day", kind=Kind.DAY, purpose=Purpose.KEY),
    Column(name="known_day", kind=Kind.DAY, purpose=Purpose.KEY),
)


def day_columns(compiled: Sequence[CompiledMeasure]) -> tuple[Column, ...]:
    """The columns of the ledger."""
    return (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="bucket", kind=Kind.INTEGER, about="md5 bucket of the user, 0 to 63"),
        Column(name="app_day", kind=Kind.DAY, purpose=Purpose.KEY, about="the app's local day"),
        Column(name="known_day", kind=Kind.DAY, purpose=Purpose.KEY, about="the day it became known"),
        Column(name="n_events", kind=Kind.INTEGER),
        Column(name="first_us", kind=Kind.TIMESTAMP),
        Column(name="last_us", kind=Kind.TIMESTAMP),
        *measure_columns(compiled),
    )


def write_by_day(
    engine: Engine,
    query: Sql,
    folder: Path,
    *,
    table: str,
    columns: Sequence[Column],
    built: Iterable[int],
    earlier: Table | None,
    prints: Sequence[tuple[int, str]] = (),
    part: Sql | None = None,
    day: str = "app_day",
) -> tuple[Table, tuple[tuple[int, str], ...]]:
    """Write the days ``built`` that ``query`` gives, keep the other days of ``earlier``; fingerprints by day.

    ``prints`` are the day fingerprints of ``earlier``: with them kept days are not read again. ``part`` says
    by which day rows lie apart (that of the column ``day`` unless given); day fingerprints are by ``day`` and
    empty for a table that has no such column.
    """
    target, anew_days = folder / table, set(built)
    by = part if part is not None else name(day)
    parted = sql("SELECT q.*, {by} AS {part} FROM ({q}) q", by=by, part=name(_PART), q=query)
    found = engine.write_parts(parted, target, by=(_PART,))
    fresh = sorted(file for made in found.values() for file in made)
    kept = sorted(_kept(earlier, target, without=anew_days)) if earlier is not None else []
    if not fresh and not kept:
        empty = sql("SELECT * FROM ({q}) q LIMIT 0", q=query)
        fresh = [Path(f) for f in engine.write(empty, target, table="none", columns=columns).files]
    if all(c.name != day for c in columns):
        return engine.adopt(sorted([*fresh, *kept]), table=table, columns=columns), ()
    if not (fresh and kept and prints):
        return adopt_by_day(engine, sorted([*fresh, *kept]), table=table, columns=columns, day=day)
    own, anew = adopt_by_day(engine, fresh, table=table, columns=columns, day=day)
    stayed = tuple((when, mark) for when, mark in prints if when not in anew_days)
    old = of_marks(table, files=[str(f) for f in kept], columns=columns, marks=[mark for _, mark in stayed])
    whole = joined([own, old])
    return replace(whole, files=tuple(sorted(whole.files))), tuple(sorted(stayed + anew))


def on_days(days: Iterable[int]) -> Sql:
    """The condition that ``app_day`` is one of these days, as ranges."""
    ranges = [
        sql("app_day BETWEEN {a} AND {b}", a=first, b=last) for first, last in _ranges(sorted(set(days)))
    ]
    condition = ranges[0] if ranges else sql("FALSE")
    for one in ranges[1:]:
        condition = sql("{a} OR {b}", a=condition, b=one)
    return sql("({c})", c=condition)


def keys_query(compiled: Sequence[CompiledMeasure], scan: Sql) -> Sql:
    """Each distinct key by measure, user, app day and day known."""
    each = [
        sql(
            "SELECT DISTINCT {i} AS measure, user_id, {key} AS key, app_day, known_day FROM {scan} WHERE {key} IS NOT NULL",
            i=i,
            key=c.key,
            scan=scan,
        )
        for i, c in enumerate(compiled)
        if c.key is not None
    ]
    return union_all(each)


def days_touched_by_keys(
    engine: Engine, changed: Iterable[int], *, keys: Table, earlier: Table | None
) -> set[int]:
    """The days on which a key stands, or stood, that the changed days hold, or held."""
    versions = [keys] if earlier is None else [keys, earlier]
    inside = on_days(changed)
    found: set[int] = set()
    for version in versions:
        for touching in versions:
            query = sql(
                "SELECT DISTINCT k.app_day FROM {version} k JOIN (SELECT DISTINCT measure, user_id, key FROM {touching} t WHERE {inside}) c"
                " ON k.measure = c.measure AND k.user_id = c.user_id AND k.key = c.key",
                version=table_scan(version),
                touching=table_scan(touching),
                inside=inside,
            )
            found |= {int(day) for (day,) in engine.rows(query)}
    return found


def days_query(
    compiled: Sequence[CompiledMeasure], scan: Sql, *, keys: Table | None, days: Iterable[int], late: bool
) -> Sql:
    """User-days with additive sums; a distinct key counts on the day it was first seen.

    Where rows become known late (``late``), a key may turn out to be older than was thought: the count
    moves to the earlier day on the day that became known, so every cutoff counts the key once, where it
    stood then.
    """
    sums = event_sums(compiled)
    inside = on_days(days)
    made = sql(
        "SELECT user_id, app_day, {known} AS known_day, count(*) AS n_events, min(at_us) AS first_us, max(at_us) AS last_us{sums}"
        " FROM {scan} e WHERE {inside} GROUP BY user_id, app_day{by}",
        known=sql("known_day") if late else sql("app_day"),
        by=sql(", known_day") if late else sql(""),
        sums=after_comma(sums),
        scan=scan,
        inside=inside,
    )
    keyed = [(i, c) for i, c in enumerate(compiled) if c.key is not None]
    if keys is not None and late and keyed:
        made = _with_moved_days(made, compiled, keyed, keys, inside)
    joins = [_first_sight(i, c, keys, inside, late=late) for i, c in keyed if keys is not None]
    counts = [sql("CAST(coalesce({n}, 0) AS BIGINT) AS {n}", n=name(c.measure.name)) for c in compiled]
    return sql(
        "SELECT user_id, {bucket} AS bucket, app_day, known_day, n_events, first_us, last_us{counts} FROM ({made}) d{joins}",
        bucket=shim("bucket", sql("user_id")),
        counts=after_comma(counts),
        made=made,
        joins=Sql(tuple(p for j in joins for p in j.pieces)),
    )


def _with_moved_days(
    made: Sql,
    compiled: Sequence[CompiledMeasure],
    keyed: Sequence[tuple[int, CompiledMeasure]],
    keys: Table,
    inside: Sql,
) -> Sql:
    """The user-days, and rows without events for the days from which a key moved away, where there is none."""
    moves = [
        sql(
            "SELECT user_id, app_day, known_day FROM ({s}) s WHERE step = -1 AND {inside}",
            s=_sightings(i, keys, inside),
            inside=inside,
        )
        for i, _ in keyed
    ]
    every = moves[0]
    for move in moves[1:]:
        every = sql("{a} UNION {b}", a=every, b=move)
    nothing = [
        sql("CAST(NULL AS BIGINT) AS {n}", n=name(c.measure.name)) for c in compiled if c.amount is not None
    ]
    return sql(
        "SELECT * FROM ({made}) made UNION ALL SELECT DISTINCT m.user_id, m.app_day, m.known_day, 0 AS n_events,"
        " CAST(NULL AS BIGINT) AS first_us, CAST(NULL AS BIGINT) AS last_us{nothing} FROM ({every}) m"
        " LEFT JOIN (SELECT user_id, app_day, known_day, 1 AS there FROM ({made}) h) h USING (user_id, app_day, known_day) WHERE there IS NULL",
        made=made,
        nothing=after_comma(nothing),
        every=every,
    )


def _first_sight(index: int, one: CompiledMeasure, keys: Table, inside: Sql, *, late: bool) -> Sql:
    first = (
        _sightings(index, keys, inside)
        if late
        else sql(
            "SELECT user_id, min(app_day) AS app_day, min(app_day) AS known_day, 1 AS step FROM ({k}) k GROUP BY user_id, key",
            k=_keys_on(index, keys, inside),
        )
    )
    return sql(
        " LEFT JOIN (SELECT user_id, app_day, known_day, sum(step) AS {n} FROM ({first}) f WHERE {inside} GROUP BY user_id, app_day, known_day) {alias} USING (user_id, app_day, known_day)",
        n=name(one.measure.name),
        first=first,
        inside=inside,
        alias=name(f"seen {one.measure.name}"),
    )


def _keys_on(index: int, keys: Table, inside: Sql) -> Sql:
    """Every sight of the keys that stand on the days ``inside``, on whatever day."""
    return sql(
        "SELECT a.user_id, a.key, a.app_day, a.known_day FROM {keys} a JOIN (SELECT DISTINCT user_id, key FROM {keys} b"
        " WHERE measure = {i} AND {inside}) w ON a.user_id = w.user_id AND a.key = w.key WHERE a.measure = {i}",
        keys=table_scan(keys),
        i=index,
        inside=inside,
    )


def _sightings(index: int, keys: Table, inside: Sql) -> Sql:
    """For each key: +1 on the first day known so far, and, when an earlier day becomes known, -1 on the day it stood."""
    return sql(
        "SELECT user_id, CAST(CASE step WHEN 1 THEN first_day ELSE stood END AS INTEGER) AS app_day, known_day, step FROM (SELECT g.*, lag(first_day) OVER (PARTITION BY user_id, key ORDER BY known_day) AS stood"
        " FROM (SELECT user_id, key, known_day, min(day_then) OVER (PARTITION BY user_id, key ORDER BY known_day) AS first_day"
        " FROM (SELECT user_id, key, known_day, min(app_day) AS day_then FROM ({k}) k GROUP BY user_id, key, known_day) f) g) s CROSS JOIN (VALUES (1), (-1)) AS t(step)"
        " WHERE coalesce(first_day < stood, TRUE) AND (step = 1 OR stood IS NOT NULL)",
        k=_keys_on(index, keys, inside),
    )


def _ranges(days: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for day in days:
        if found and found[-1][1] == day - 1:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def _kept(earlier: Table, target: Path, *, without: set[int]) -> list[Path]:
    """The files of the days that stay, in the new folder: the same bytes under a second name."""
    kept: list[Path] = []
    for file in map(Path, earlier.files):
        day = file.parent.name.removeprefix(f"{_PART}=")
        if day == file.parent.name or int(day) in without:
            continue
        place = target / file.parent.name / file.name
        link_file(file, place)
        kept.append(place)
    return kept
