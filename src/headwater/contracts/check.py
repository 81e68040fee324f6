"""The quality gate: read the source once, keep what the contract allows, set the rest aside with its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.contracts.findings import check_result
from headwater.contracts.rule import BrokenWhen, Columns
from headwater.contracts.rules import RULES
from headwater.contracts.typing import (
    TypedColumn,
    kind_of_engine_type,
    local_time,
    raw_name,
    source_columns,
    time_column,
    typed_column,
    user_column,
    without_nan,
)
from headwater.core.contract import Contract, Events, RuleResult, RuleSpec
from headwater.core.errors import ConfigError, DataError, GateError
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.engine.duckdb import DuckDB, table_scan
from headwater.engine.sources import FILE, ROW, Relation, open_relation, require_closed_quotes
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["check", "check_gate", "require_gate"]

_MAX_CHECKS = 60
_QUARANTINE = (
    Column(name="codes", kind=Kind.TEXT, about="the codes of all rules the row broke"),
    Column(name="source_file", kind=Kind.TEXT, about="the file the row came from"),
    Column(name="source_row", kind=Kind.INTEGER, about="its place in the file"),
    Column(name="line_hash", kind=Kind.TEXT, about="md5 of the raw row"),
    Column(name="raw", kind=Kind.TEXT, about="the row as it came"),
)

_RESERVED = frozenset(
    {"user_id", "event", "at_us", "known_us", "app_day", "known_day", "at_offset", "at_twice", "broken", "is_broken"}
    | {c.name for c in _QUARANTINE}
)


def check(engine: DuckDB, contract: Contract, *, root: Path, folder: Path, source_fingerprint: str) -> Events:
    """Check a source against its contract and write ``events`` and ``quarantine`` under ``folder``.

    Reads the source once, and once more only where a rule asks for duplicates. Raises ``ConfigError``
    where the contract does not fit the source; a gate that fails is told by ``check_gate``.
    """
    source = contract.source
    relation = open_relation(engine, root / source.path, delimiter=source.delimiter, encoding=source.encoding)
    plan = _plan(contract, relation, root=root)
    _mark_duplicates(engine, plan)
    query = _checked_query(contract, relation, plan)
    parts = folder / "checked"
    parts.parent.mkdir(parents=True, exist_ok=True)
    engine.run(
        sql("COPY ({q}) TO {path} (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (is_broken), ROW_GROUP_SIZE 122880)", q=query, path=str(parts))
    )
    require_closed_quotes(engine, relation)
    unreadable = _write_unreadable(engine, relation, root, folder / "unreadable.parquet")
    events = engine.adopt(_files(engine, parts, "false", query), table="events", columns=_event_columns(plan))
    quarantine = engine.adopt([*_files(engine, parts, "true", query), unreadable], table="quarantine", columns=_QUARANTINE)
    rules = _rule_results(engine, plan, quarantine, n_rows_in=events.n_rows + quarantine.n_rows)
    return check_result(
        engine, contract=contract, events=events, quarantine=quarantine, rules=rules, relation=relation, source_fingerprint=source_fingerprint, query=query,
    )


def check_gate(events: Events) -> tuple[str, ...]:
    """Which gates the load fails, as sentences; none when it passes."""
    failed = [
        f"{r.share:.1%} of rows break {r.code} (allowed {r.max_share:.1%})"
        for r in events.rules
        if r.max_share is not None and r.share > r.max_share
    ]
    share = events.quarantine.n_rows / events.n_rows_in if events.n_rows_in else 0.0
    if share > events.contract.max_share:
        failed.append(f"{share:.1%} of rows are in quarantine (allowed {events.contract.max_share:.1%})")
    return tuple(failed)


def require_gate(events: Events) -> None:
    """Raise ``GateError`` where the load fails the gate, ``DataError`` where nothing is left."""
    if events.n_rows_in == 0:
        raise DataError(
            "source.no_rows",
            what=f"'{events.contract.source.path}' has columns but no row.",
            why="An empty load is often a failed export; nothing can be learned from it.",
            do="Export it again and check the date range.",
        )
    if events.events.n_rows == 0:
        worst = max(events.rules, key=lambda r: r.n_rows)
        raise GateError(
            "gate.nothing_left",
            what=f"All {events.n_rows_in:,} rows are in quarantine; the rule broken most is {worst.code} ({worst.n_rows:,} rows).",
            why="There is no event to build on.",
            do=f"Look at the quarantine table, then correct the source or the rule. Example: {worst.examples[0] if worst.examples else 'none'}",
        )
    failed = check_gate(events)
    if failed:
        raise GateError(
            "gate.failed",
            what="; ".join(failed) + ".",
            why="Numbers built on this load would be about another population.",
            do="Look at the quarantine table; correct the source, or raise max_share if the loss is understood.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    zone: str
    columns: tuple[tuple[str, str], ...]
    typed: tuple[TypedColumn, ...]
    user: Sql
    at: Sql
    known: Sql
    local: Sql | None
    source_zone: str
    root: Path
    checks: tuple[tuple[BrokenWhen, float | None], ...]
    rows: Sql
    rows_keeping_aside: Sql


def _plan(contract: Contract, relation: Relation, *, root: Path) -> _Plan:
    source, app = contract.source, contract.app
    present = dict(relation.columns)
    kinds = source_columns(contract, present)
    zone = source.time_zone or app.time_zone
    kinds = {c: k for c, k in kinds.items() if not _already_there(c, contract)}
    _require_free(kinds, present)
    typed = tuple(typed_column(c, k, present[c], zone) for c, k in kinds.items())
    at = time_column(source.at, source, present[source.at], zone)
    known = time_column(source.known_at, source, present[source.known_at], zone) if source.known_at else sql("at_us")
    local = local_time(source.at, source, present[source.at])
    every = {c: raw_name(c) for c in present}
    declared = {c: k for c, k in source.types.items() if c in present and not _already_there(c, contract)}
    columns = Columns(typed=kinds | declared, raw=every, app=app, at=sql("at_us"))
    extra = tuple(typed_column(c, k, present[c], zone) for c, k in columns.typed.items() if c not in kinds)
    _require_free(declared, present)
    return _Plan(
        zone=app.time_zone,
        columns=relation.columns,
        typed=typed + extra,
        user=user_column(source, present[source.user]),
        at=at,
        known=known,
        local=local,
        source_zone=zone,
        root=root,
        checks=_checks(contract, columns, typed + extra, _skipped_hour(local, zone)),
        rows=relation.rows,
        rows_keeping_aside=relation.rows_keeping_aside,
    )


def _already_there(column: str, contract: Contract) -> bool:
    """Whether ``events`` holds this source column anyway, under the same name."""
    return {"event": contract.source.event, "user_id": contract.source.user}.get(column) == column


def _require_free(kinds: Mapping[str, Kind], present: Mapping[str, str]) -> None:
    """Refuse source columns whose names Headwater's own columns have."""
    taken = _RESERVED | {f"raw {c}".casefold() for c in present}
    for column in kinds:
        if column.casefold() in taken:
            raise ConfigError(
                "source.reserved_column",
                what=f"The source column '{column}' has the name of one of Headwater's own columns.",
                why="One of the two would hide the other.",
                do="Rename it where the file is written"
                + (', or write event = "event" in place of event_is.' if column == "event" else "."),
            )


def _skipped_hour(local: Sql | None, zone: str) -> tuple[BrokenWhen, ...]:
    """Times that a clock going forward skips: no instant has them. A bare date stays on its day."""
    if local is None or zone == "UTC":
        return ()
    condition = sql(
        "({here} <> {local} AND {local} <> date_trunc('day', {local}))", here=shim("local_at", sql("at_us"), zone), local=local
    )
    return (BrokenWhen(code="time(skipped)", about=f"the clocks of {zone} skip this time", condition=condition),)


def _checks(
    contract: Contract, columns: Columns, typed: Sequence[TypedColumn], clocks: tuple[BrokenWhen, ...]
) -> tuple[tuple[BrokenWhen, float | None], ...]:
    source = contract.source
    times = {source.at: sql("at_us")} | ({source.known_at: sql("known_us")} if source.known_at else {})
    always = RULES.load("required")().compile(RuleSpec(rule="required", columns=(source.user, *times)), columns)
    unreadable_times = [_unreadable_time(column, value) for column, value in times.items()]
    types = [
        BrokenWhen(code=f"type({t.column})", about=f"{t.column} is not {_article(t.kind)}", condition=t.unreadable)
        for t in typed
        if t.unreadable is not None
    ]
    found: dict[str, tuple[BrokenWhen, float | None]] = {c.code: (c, None) for c in (*always, *unreadable_times, *clocks, *types)}
    for spec in contract.rules:
        for one in RULES.load(spec.rule)().compile(spec, columns):
            code = _free_code(one, found)
            found[code] = (replace(one, code=code), spec.max_share)
    if len(found) > _MAX_CHECKS:
        raise ConfigError(
            "rule.too_many",
            what=f"The contract makes {len(found)} checks; one pass holds {_MAX_CHECKS}.",
            why="The bits of one number say which rules a row breaks.",
            do="Merge rules, or declare fewer typed columns.",
        )
    return tuple(found.values())


def _unreadable_time(column: str, value: Sql) -> BrokenWhen:
    return BrokenWhen(
        code=f"type({column})",
        about=f"{column} is not a time between the years 1 and 9999",
        condition=sql("({v} IS NULL AND trim(CAST({r} AS VARCHAR)) <> '')", v=value, r=raw_name(column)),
    )


def _free_code(one: BrokenWhen, found: Mapping[str, tuple[BrokenWhen, float | None]]) -> str:
    """The check's code; numbered where another check has it, so that neither is lost."""
    code, copy = one.code, 1
    while code in found and found[code][0].condition != one.condition:
        copy += 1
        code = f"{one.code} #{copy}"
    return code


def _article(kind: Kind) -> str:
    return {"integer": "a whole number", "number": "a number", "money": "an amount", "boolean": "true or false"}.get(kind.value, "a time")


def _mark_duplicates(engine: DuckDB, plan: _Plan) -> None:
    """Fill one small table of repeated rows for each duplicate rule: hash first, compare exactly after."""
    for index, (one, _) in enumerate(plan.checks):
        if not one.duplicate_of:
            continue
        key = [name(c) for c in one.duplicate_of]
        hashed = sql("SELECT {h} AS h, {key}, {file}, {row} FROM {rows}", h=shim("quick_hash", *key), key=commas(key), file=name(FILE), row=name(ROW), rows=plan.rows)
        engine.run(
            sql(
                "CREATE OR REPLACE TEMP TABLE {t} AS SELECT {file}, {row} FROM ("
                "SELECT {file}, {row}, row_number() OVER (PARTITION BY {key} ORDER BY {file}, {row}) AS copy FROM ({hashed}) WHERE {there} AND h IN"
                " (SELECT h FROM (SELECT {h} AS h FROM {rows}) GROUP BY h HAVING count(*) > 1)) WHERE copy > 1",
                t=name(f"duplicates {index}"), file=name(FILE), row=name(ROW), key=commas(key), hashed=hashed, there=_key_there(one, key), h=shim("quick_hash", *key), rows=plan.rows,
            )
        )


def _key_there(one: BrokenWhen, key: Sequence[Sql]) -> Sql:
    """A key of which nothing is known repeats nothing; a whole row does."""
    return sql("TRUE") if one.code == "unique(row)" else sql("coalesce({key}) IS NOT NULL", key=commas([sql("nullif(CAST({k} AS VARCHAR), '')", k=k) for k in key]))


def _checked_query(contract: Contract, relation: Relation, plan: _Plan) -> Sql:
    raw = commas([sql("{c} AS {r}", c=without_nan(name(c), t), r=raw_name(c)) for c, t in plan.columns])
    first = sql("SELECT {raw}, {file}, {row} FROM {rows}", raw=raw, file=name(FILE), row=name(ROW), rows=plan.rows_keeping_aside)
    values = [sql("{v} AS {c}", v=t.value, c=name(t.column)) for t in plan.typed]
    typed = sql("SELECT *, {known} AS known_us FROM (SELECT *, {user} AS user_id, {at} AS at_us, {values} FROM ({first}))", user=plan.user, at=plan.at, known=plan.known, values=commas(values) if values else sql("NULL"), first=first)
    duplicate = [i for i, (one, _) in enumerate(plan.checks) if one.duplicate_of]
    joins = [
        sql(" LEFT JOIN (SELECT {file} AS {f}, {row} AS {r} FROM {t}) ON {file} = {f} AND {row} = {r}", t=name(f"duplicates {i}"), file=name(FILE), row=name(ROW), f=name(f"file {i}"), r=name(f"row {i}"))
        for i in duplicate
    ]
    bits = [_bit(i, one) for i, (one, _) in enumerate(plan.checks)]
    mask = sql("({bits})", bits=_sum(bits))
    masked = sql("SELECT *, {mask} AS broken FROM ({typed}){joins}", mask=mask, typed=typed, joins=_concat(joins))
    source = contract.source
    event = sql("nullif(CAST({e} AS VARCHAR), '')", e=raw_name(source.event)) if source.event else sql("{e}", e=source.event_is or "event")
    day = shim("local_day", sql("at_us"), plan.zone) if plan.zone != "UTC" else sql("CAST(floor(at_us / 86400000000.0) AS INTEGER)")
    known_day = _known_day(contract, plan)
    raw_json = shim("json_row", *[p for c, _ in plan.columns for p in (c, raw_name(c))])
    codes = commas([sql("CASE WHEN broken & {b} <> 0 THEN {code} END", b=1 << i, code=one.code) for i, (one, _) in enumerate(plan.checks)])
    kept = commas([name(t.column) for t in plan.typed]) if plan.typed else sql("NULL AS nothing")
    return sql(
        "SELECT user_id, {event} AS event, at_us, known_us, {day} AS app_day, {known_day} AS known_day, {kept}, {offset} AS at_offset, {twice} AS at_twice,"
        " broken, CASE WHEN broken <> 0 THEN concat_ws('; ', {codes}) END AS codes, replace({file}, {root}, '') AS source_file, {row} AS source_row,"
        " CASE WHEN broken <> 0 THEN {raw} END AS raw, md5(CASE WHEN broken <> 0 THEN {raw} END) AS line_hash, broken <> 0 AS is_broken FROM ({masked})",
        event=event, day=day, known_day=known_day, kept=kept, offset=_offset(contract, plan), twice=_repeated_hour(plan), codes=codes, root=f"{plan.root}/", file=name(FILE), row=name(ROW), raw=raw_json, masked=masked,
    )


def _offset(contract: Contract, plan: _Plan) -> Sql:
    """The offset a time carries, '' where it carries none, NULL where the source is not text."""
    source = contract.source
    if source.at_format is not None or kind_of_engine_type(dict(plan.columns)[source.at]) is not Kind.TEXT:
        return sql("CAST(NULL AS VARCHAR)")
    raw = raw_name(source.at)
    found = sql("regexp_extract(trim({r}), '(Z|UTC|GMT|[+-]\\d\\d(:?\\d\\d)?)$', 1)", r=raw)
    return sql("CASE WHEN {has} THEN {found} ELSE '' END", has=shim("has_offset", sql("trim({r})", r=raw)), found=found)


def _repeated_hour(plan: _Plan) -> Sql:
    """Whether the clocks of the source's zone show this time twice."""
    if plan.local is None or plan.source_zone == "UTC":
        return sql("FALSE")
    hour = 3_600_000_000
    later = shim("local_at", sql("(at_us + {h})", h=hour), plan.source_zone)
    earlier = shim("local_at", sql("(at_us - {h})", h=hour), plan.source_zone)
    return sql("coalesce({later} = {local} OR {earlier} = {local}, FALSE)", later=later, earlier=earlier, local=plan.local)


def _known_day(contract: Contract, plan: _Plan) -> Sql:
    if contract.source.known_at is None:
        return sql("app_day")
    if plan.zone == "UTC":
        return sql("CAST(floor(known_us / 86400000000.0) AS INTEGER)")
    return shim("local_day", sql("known_us"), plan.zone)


def _bit(index: int, one: BrokenWhen) -> Sql:
    condition = one.condition if one.condition is not None else sql("{r} IS NOT NULL", r=name(f"row {index}"))
    return sql("CASE WHEN {c} THEN {b} ELSE 0 END", c=condition, b=1 << index)


def _sum(parts: Sequence[Sql]) -> Sql:
    total = parts[0]
    for part in parts[1:]:
        total = sql("{a} + {b}", a=total, b=part)
    return total


def _concat(parts: Sequence[Sql]) -> Sql:
    return Sql(tuple(piece for part in parts for piece in part.pieces))


def _event_columns(plan: _Plan) -> tuple[Column, ...]:
    fixed = (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY, about="the user"),
        Column(name="event", kind=Kind.TEXT, about="what happened"),
        Column(name="at_us", kind=Kind.TIMESTAMP, unit="us since 1970 UTC", about="when it happened"),
        Column(name="known_us", kind=Kind.TIMESTAMP, unit="us since 1970 UTC", about="when it became known"),
        Column(name="app_day", kind=Kind.DAY, unit="days since 1970", about="the app's local day"),
        Column(name="known_day", kind=Kind.DAY, unit="days since 1970", about="the app's local day it became known"),
    )
    return fixed + tuple(Column(name=t.column, kind=t.kind, about="from the source") for t in plan.typed)


def _files(engine: DuckDB, parts: Path, broken: str, query: Sql) -> list[Path]:
    found = sorted((parts / f"is_broken={broken}").glob("*.parquet"))
    if found:
        return found
    empty = parts / f"none-{broken}.parquet"
    parts.mkdir(parents=True, exist_ok=True)
    engine.run(sql("COPY (SELECT * EXCLUDE (is_broken) FROM ({q}) LIMIT 0) TO {p} (FORMAT parquet)", q=query, p=str(empty)))
    return [empty]


def _write_unreadable(engine: DuckDB, relation: Relation, root: Path, path: Path) -> Path:
    none = sql("SELECT '' AS f, 0 AS r, '' AS why, '' AS line LIMIT 0")
    aside = relation.broken or none
    engine.run(
        sql(
            "COPY (SELECT CAST(0 AS BIGINT) AS broken, concat('unreadable(', why, ')') AS codes, replace(CAST(f AS VARCHAR), {root}, '') AS source_file, CAST(r AS BIGINT) AS source_row,"
            " md5(CAST(line AS VARCHAR)) AS line_hash, CAST(line AS VARCHAR) AS raw FROM ({aside}) AS t(f, r, why, line)) TO {path} (FORMAT parquet)",
            aside=aside, root=f"{root}/", path=str(path),
        )
    )
    return path


def _rule_results(engine: DuckDB, plan: _Plan, quarantine: Table, *, n_rows_in: int) -> tuple[RuleResult, ...]:
    scan = table_scan(quarantine)
    counts = [sql("count(*) FILTER (WHERE (CAST(broken AS BIGINT) & {b}) <> 0)", b=1 << i) for i in range(len(plan.checks))]
    samples = [
        sql("arg_min(raw, source_row, 3) FILTER (WHERE (CAST(broken AS BIGINT) & {b}) <> 0)", b=1 << i) for i in range(len(plan.checks))
    ]
    row = engine.one(sql("SELECT {c}, {s} FROM {scan}", c=commas(counts), s=commas(samples), scan=scan))
    n = len(plan.checks)
    results = [
        RuleResult(code=one.code, about=one.about, n_rows=row[i], share=row[i] / n_rows_in if n_rows_in else 0.0, max_share=limit, examples=tuple(row[n + i] or ()))
        for i, (one, limit) in enumerate(plan.checks)
    ]
    aside = engine.rows(sql("SELECT codes, count(*), arg_min(raw, source_row, 3) FROM {scan} WHERE broken = 0 GROUP BY codes ORDER BY codes", scan=scan))
    results += [
        RuleResult(code=code, about="the line could not be split into columns", n_rows=k, share=k / n_rows_in, max_share=None, examples=tuple(e or ()))
        for code, k, e in aside
    ]
    return tuple(results)
