"""What the row just before tells, and what another file tells: near-duplicates, order, references."""

from __future__ import annotations

from dataclasses import replace

from headwater.contracts.plan import CheckPlan
from headwater.contracts.rows import typed_rows
from headwater.contracts.rule import Lookup, Near
from headwater.contracts.typing import id_text, instant_of
from headwater.core.errors import ConfigError, near_miss
from headwater.engine.engine import Engine
from headwater.engine.relation import FILE, ROW
from headwater.engine.sources import open_relation
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["hold_lookups", "mark_neighbors"]

_NEIGHBORS = "neighbor rows"


def mark_neighbors(engine: Engine, plan: CheckPlan) -> CheckPlan:
    """Hold the rows of ``plan.rows`` that break a rule about the row just before, in one pass for all such rules."""
    rules = [(i, one.near) for i, (one, _) in enumerate(plan.checks) if one.near is not None]
    if not rules:
        return plan
    rises = [sql("{r} AS {n}", r=_rise(near), n=name(f"rise {i}")) for i, near in rules]
    bits = [
        sql(
            "(CASE WHEN {n} {compared} {most} THEN {b} ELSE 0 END)",
            n=name(f"rise {i}"),
            compared=sql("<") if near.below else sql("<="),
            most=near.most,
            b=1 << i,
        )
        for i, near in rules
    ]
    ordered = sql(
        "SELECT {file}, {row}, {rises} FROM ({typed}) AS rows_in_time WHERE user_id IS NOT NULL AND at_us IS NOT NULL",
        file=name(FILE),
        row=name(ROW),
        rises=commas(rises),
        typed=typed_rows(plan, plan.rows),
    )
    total = bits[0]
    for bit in bits[1:]:
        total = sql("{a} + {b}", a=total, b=bit)
    marked = sql(
        "SELECT {file}, {row}, CAST({bits} AS BIGINT) AS bits FROM ({ordered}) AS ordered",
        file=name(FILE),
        row=name(ROW),
        bits=total,
        ordered=ordered,
    )
    broken = sql("SELECT * FROM ({marked}) AS marked WHERE bits <> 0", marked=marked)
    found = engine.hold(_NEIGHBORS, broken)
    return replace(plan, marks=(*plan.marks, *([_NEIGHBORS] if found else [])), n_scans=plan.n_scans + 1)


def hold_lookups(engine: Engine, plan: CheckPlan) -> None:
    """Hold the files that rules look values up in.

    Raises ``ConfigError`` (``rule.lookup_column``) and ``SourceError`` where such a file does not serve.
    """
    for one, _ in plan.checks:
        if one.lookup is not None:
            _hold_lookup(engine, one.lookup, plan)


def _rise(near: Near) -> Sql:
    """How far a row's value is above that of the row just before."""
    missing = sql("CASE WHEN {v} IS NULL THEN 1 ELSE 0 END", v=near.value)
    return sql(
        "{v} - lag({v}) OVER (PARTITION BY {alike} ORDER BY at_us, {v}, {file}, {row})",
        v=near.value,
        alike=commas([sql("user_id"), missing, *near.alike]),
        file=name(FILE),
        row=name(ROW),
    )


def _hold_lookup(engine: Engine, lookup: Lookup, plan: CheckPlan) -> None:
    """Hold the values of another file's column, each with the earliest time beside it."""
    relation = open_relation(engine, plan.root / lookup.path)
    present = dict(relation.columns)
    for column in (lookup.column, lookup.at):
        if column is not None and column not in present:
            raise ConfigError(
                "rule.lookup_column",
                what=f"A rule looks up the column '{column}' of '{lookup.path}', which that file does not have.",
                why="No value could be found there, and every row would break the rule.",
                do=near_miss(column, present),
            )
    at = (
        instant_of(name(lookup.at), present[lookup.at], plan.source_zone)
        if lookup.at
        else sql("CAST(NULL AS BIGINT)")
    )
    engine.hold(
        lookup.label,
        sql(
            "SELECT v, min(at_us) AS at_us FROM (SELECT {v} AS v, {at} AS at_us FROM {rows} AS looked_up) AS found WHERE v IS NOT NULL GROUP BY v",
            v=id_text(name(lookup.column), present[lookup.column]),
            at=at,
            rows=relation.rows,
        ),
    )
