"""The SQL of a check: one pass that types every row, marks what it breaks and says where it came from."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.contracts.plan import CheckPlan
from headwater.contracts.repair_plan import raw_column
from headwater.contracts.rows import joined_up, typed_rows
from headwater.contracts.rule import BrokenWhen
from headwater.contracts.typing import came_name, kind_of_engine_type, raw_name
from headwater.core.contract import Contract
from headwater.core.table import Kind
from headwater.engine.relation import FILE, ROW
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["checked_query"]


def checked_query(contract: Contract, plan: CheckPlan) -> Sql:
    """Every row with its types, its day, the codes it breaks and its place in the source."""
    source = contract.source
    event = (
        sql("nullif(CAST({e} AS STRING), '')", e=raw_name(source.event))
        if source.event
        else sql("{e}", e=source.event_is or "event")
    )
    codes = [
        sql("CASE WHEN (broken & {b}) <> 0 THEN {code} END", b=1 << i, code=one.code)
        for i, (one, _) in enumerate(plan.checks)
    ]
    return sql(
        "SELECT user_id, {event} AS event, at_us, known_us, {day} AS app_day, {known_day} AS known_day, {kept}{offset} AS at_offset, {twice} AS at_twice,"
        " broken, CASE WHEN broken <> 0 THEN concat_ws('; ', {codes}) END AS codes, CASE WHEN broken <> 0 THEN replace({file}, {root}, '') END AS source_file, CASE WHEN broken <> 0 THEN {row} END AS source_row,"
        " CASE WHEN broken <> 0 THEN {raw} END AS raw, md5(CASE WHEN broken <> 0 THEN {raw} END) AS line_hash, broken <> 0 AS is_broken FROM ({masked}) AS masked",
        event=event,
        day=_day(sql("at_us"), plan),
        known_day=_day(sql("known_us"), plan) if source.known_at or plan.links else _day(sql("at_us"), plan),
        kept=_kept(plan),
        offset=_offset(contract, plan),
        twice=_repeated_hour(plan),
        codes=commas(codes),
        root=f"{plan.root}/",
        file=name(FILE),
        row=name(ROW),
        raw=shim("json_row", *[p for c, t in plan.columns for p in (c, _as_written(_came(c, plan), t))]),
        masked=_masked(plan),
    )


def _kept(plan: CheckPlan) -> Sql:
    typed = [sql("{c}, ", c=name(t.column)) for t in plan.typed]
    came = [sql("{c} AS {r}, ", c=came_name(c), r=name(raw_column(c))) for c in plan.repairs]
    return joined_up([*typed, *came])


def _came(column: str, plan: CheckPlan) -> Sql:
    return came_name(column) if column in plan.repairs else raw_name(column)


def _as_written(value: Sql, engine_type: str) -> Sql:
    """A raw value in the form that every engine writes alike; the engines' own forms of times and decimals differ."""
    known = engine_type.upper()
    if "WITH TIME ZONE" in known or known == "TIMESTAMPTZ":
        return sql(
            "CASE WHEN {v} IS NOT NULL THEN concat(CAST(CAST({v} AS TIMESTAMP) AS STRING), '+00') END",
            v=value,
        )
    if known.startswith(("TIMESTAMP", "DECIMAL")):
        return sql("CAST({v} AS STRING)", v=value)
    return sql("CAST({v} AS DOUBLE)", v=value) if known.startswith(("FLOAT", "REAL")) else value


def _masked(plan: CheckPlan) -> Sql:
    """Typed rows with one number whose bits say which checks they break."""
    bits = [_bit(i, one) for i, (one, _) in enumerate(plan.checks) if one.condition is not None]
    marks = [sql("coalesce({b}, 0)", b=name(f"bits of {m}")) for m in plan.marks]
    return sql(
        "SELECT *, CAST({bits} AS BIGINT) AS broken FROM ({rows}) AS given{lookups}{marks}",
        bits=_sum([*bits, *marks]),
        rows=_with_needs(plan),
        lookups=joined_up([_lookup(one) for one, _ in plan.checks]),
        marks=joined_up([_mark(m) for m in plan.marks]),
    )


def _with_needs(plan: CheckPlan) -> Sql:
    """Typed rows with the values that several conditions use."""
    typed = typed_rows(plan, plan.rows_keeping_aside)
    needs = {label: value for one, _ in plan.checks for label, value in one.needs}
    if not needs:
        return typed
    return sql(
        "SELECT *, {needs} FROM ({typed}) AS plain",
        needs=commas([sql("{v} AS {n}", v=v, n=name(n)) for n, v in needs.items()]),
        typed=typed,
    )


def _lookup(one: BrokenWhen) -> Sql:
    if one.lookup is None:
        return sql("")
    return sql(
        " LEFT JOIN (SELECT v AS {there}, at_us AS {found} FROM {held}) AS {alias} ON {value} = {there}",
        there=one.lookup.there,
        found=one.lookup.found_at,
        held=name(one.lookup.label),
        alias=name(f"{one.lookup.label} joined"),
        value=one.lookup.value,
    )


def _mark(held: str) -> Sql:
    return sql(
        " LEFT JOIN (SELECT {file} AS {f}, {row} AS {r}, bits AS {bits} FROM {t}) AS {alias} ON {file} = {f} AND {row} = {r}",
        t=name(held),
        file=name(FILE),
        row=name(ROW),
        f=name(f"file of {held}"),
        r=name(f"row of {held}"),
        bits=name(f"bits of {held}"),
        alias=name(f"{held} joined"),
    )


def _day(us: Sql, plan: CheckPlan) -> Sql:
    if plan.zone == "UTC":
        return sql("CAST(floor({us} / 86400000000.0) AS INTEGER)", us=us)
    return shim("local_day", us, plan.zone)


def _offset(contract: Contract, plan: CheckPlan) -> Sql:
    """The offset a time carries, '' where it carries none, NULL where the source is not text."""
    source = contract.source
    if source.at_format is not None or kind_of_engine_type(dict(plan.columns)[source.at]) is not Kind.TEXT:
        return sql("CAST(NULL AS STRING)")
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
    return sql("CASE WHEN {c} THEN {b} ELSE 0 END", c=one.condition, b=1 << index)


def _sum(parts: Sequence[Sql]) -> Sql:
    total = parts[0]
    for part in parts[1:]:
        total = sql("{a} + {b}", a=total, b=part)
    return total
