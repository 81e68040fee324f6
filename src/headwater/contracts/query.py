"""The SQL of a check: one pass that types every row, marks what it breaks and says where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.contracts.plan import CheckPlan
from headwater.contracts.rule import BrokenWhen
from headwater.contracts.typing import kind_of_engine_type, raw_name, without_nan
from headwater.core.contract import Contract
from headwater.core.table import Kind
from headwater.engine.engine import Engine
from headwater.engine.sources import FILE, ROW
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["checked_query", "mark_duplicates"]


def mark_duplicates(engine: Engine, plan: CheckPlan) -> CheckPlan:
    """Fill one small table of repeated rows for each duplicate rule: hash first, compare exactly after.

    A rule that no row breaks needs no join in the pass over the rows: the plan returned says so.
    """
    checks = list(plan.checks)
    for index, (one, limit) in enumerate(plan.checks):
        if not one.duplicate_of:
            continue
        key = [name(c) for c in one.duplicate_of]
        hashed = sql(
            "SELECT {h} AS h, {key}, {file}, {row} FROM {rows}",
            h=shim("quick_hash", *key),
            key=commas(key),
            file=name(FILE),
            row=name(ROW),
            rows=plan.rows,
        )
        engine.run(
            sql(
                "CREATE OR REPLACE TEMP TABLE {t} AS SELECT {file}, {row} FROM ("
                "SELECT {file}, {row}, row_number() OVER (PARTITION BY {key} ORDER BY {file}, {row}) AS copy FROM ({hashed}) WHERE {there} AND h IN"
                " (SELECT h FROM (SELECT {h} AS h FROM {rows}) GROUP BY h HAVING count(*) > 1)) WHERE copy > 1",
                t=name(f"duplicates {index}"),
                file=name(FILE),
                row=name(ROW),
                key=commas(key),
                hashed=hashed,
                there=_key_there(one, key),
                h=shim("quick_hash", *key),
                rows=plan.rows,
            )
        )
        if engine.one(sql("SELECT count(*) FROM {t}", t=name(f"duplicates {index}")))[0] == 0:
            checks[index] = (replace(one, condition=sql("FALSE"), duplicate_of=()), limit)
    return replace(plan, checks=tuple(checks))


def _key_there(one: BrokenWhen, key: Sequence[Sql]) -> Sql:
    """A key of which nothing is known repeats nothing; a whole row does."""
    return (
        sql("TRUE")
        if one.code == "unique(row)"
        else sql(
            "coalesce({key}) IS NOT NULL",
            key=commas([sql("nullif(CAST({k} AS VARCHAR), '')", k=k) for k in key]),
        )
    )


def checked_query(contract: Contract, plan: CheckPlan) -> Sql:
    """Every row with its types, its day, the codes it breaks and its place in the source."""
    source = contract.source
    event = (
        sql("nullif(CAST({e} AS VARCHAR), '')", e=raw_name(source.event))
        if source.event
        else sql("{e}", e=source.event_is or "event")
    )
    codes = [
        sql("CASE WHEN broken & {b} <> 0 THEN {code} END", b=1 << i, code=one.code)
        for i, (one, _) in enumerate(plan.checks)
    ]
    return sql(
        "SELECT user_id, {event} AS event, at_us, known_us, {day} AS app_day, {known_day} AS known_day, {kept}, {offset} AS at_offset, {twice} AS at_twice,"
        " broken, CASE WHEN broken <> 0 THEN concat_ws('; ', {codes}) END AS codes, CASE WHEN broken <> 0 THEN replace({file}, {root}, '') END AS source_file, CASE WHEN broken <> 0 THEN {row} END AS source_row,"
        " CASE WHEN broken <> 0 THEN {raw} END AS raw, md5(CASE WHEN broken <> 0 THEN {raw} END) AS line_hash, broken <> 0 AS is_broken FROM ({masked})",
        event=event,
        day=_day(sql("at_us"), plan),
        known_day=_day(sql("known_us"), plan) if source.known_at else sql("app_day"),
        kept=commas([name(t.column) for t in plan.typed]) if plan.typed else sql("NULL AS nothing"),
        offset=_offset(contract, plan),
        twice=_repeated_hour(plan),
        codes=commas(codes),
        root=f"{plan.root}/",
        file=name(FILE),
        row=name(ROW),
        raw=shim("json_row", *[p for c, _ in plan.columns for p in (c, raw_name(c))]),
        masked=_masked(plan),
    )


def _masked(plan: CheckPlan) -> Sql:
    """Typed rows with one number whose bits say which checks they break."""
    joins = [
        sql(
            " LEFT JOIN (SELECT {file} AS {f}, {row} AS {r} FROM {t}) ON {file} = {f} AND {row} = {r}",
            t=name(f"duplicates {i}"),
            file=name(FILE),
            row=name(ROW),
            f=name(f"file {i}"),
            r=name(f"row {i}"),
        )
        for i, (one, _) in enumerate(plan.checks)
        if one.duplicate_of
    ]
    bits = _sum([_bit(i, one) for i, (one, _) in enumerate(plan.checks)])
    return sql(
        "SELECT *, ({bits}) AS broken FROM ({typed}){joins}",
        bits=bits,
        typed=_typed(plan),
        joins=_concat(joins),
    )


def _typed(plan: CheckPlan) -> Sql:
    raw = commas([sql("{c} AS {r}", c=without_nan(name(c), t), r=raw_name(c)) for c, t in plan.columns])
    values = [sql("{v} AS {c}", v=t.value, c=name(t.column)) for t in plan.typed]
    return sql(
        "SELECT *, {known} AS known_us FROM (SELECT *, {user} AS user_id, {at} AS at_us, {values}"
        " FROM (SELECT {raw}, {file}, {row} FROM {rows}))",
        user=plan.user,
        at=plan.at,
        known=plan.known,
        values=commas(values) if values else sql("NULL"),
        raw=raw,
        file=name(FILE),
        row=name(ROW),
        rows=plan.rows_keeping_aside,
    )


def _day(us: Sql, plan: CheckPlan) -> Sql:
    if plan.zone == "UTC":
        return sql("CAST(floor({us} / 86400000000.0) AS INTEGER)", us=us)
    return shim("local_day", us, plan.zone)


def _offset(contract: Contract, plan: CheckPlan) -> Sql:
    """The offset a time carries, '' where it carries none, NULL where the source is not text."""
    source = contract.source
    if source.at_format is not None or kind_of_engine_type(dict(plan.columns)[source.at]) is not Kind.TEXT:
        return sql("CAST(NULL AS VARCHAR)")
    raw = shim("trimmed", raw_name(source.at))
    found = sql("regexp_extract({r}, '(Z|UTC|GMT|[+-]\\d\\d(:?\\d\\d)?)$', 1)", r=raw)
    return sql(
        "CASE WHEN {has} THEN {found} ELSE '' END",
        has=shim("has_offset", raw),
        found=found,
    )


def _repeated_hour(plan: CheckPlan) -> Sql:
    """Whether the clocks of the source's zone show this time twice."""
    if plan.local is None or plan.source_zone == "UTC":
        return sql("FALSE")
    hour = 3_600_000_000
    later = shim("local_at", sql("(at_us + {h})", h=hour), plan.source_zone)
    earlier = shim("local_at", sql("(at_us - {h})", h=hour), plan.source_zone)
    return sql(
        "coalesce({later} = {local} OR {earlier} = {local}, FALSE)",
        later=later,
        earlier=earlier,
        local=plan.local,
    )


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
