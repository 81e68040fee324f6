"""Rows that repeat an earlier one: found by hash, compared exactly, held as marks.

A mark is a row of a held relation: ``__file``, ``__row`` and the ``bits`` of the rules the row breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.contracts.plan import CheckPlan
from headwater.contracts.rows import joined_up, raw_rows
from headwater.contracts.rule import BrokenWhen
from headwater.contracts.typing import raw_name
from headwater.engine.engine import Engine
from headwater.engine.relation import FILE, ROW
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["mark_duplicates"]

_REPEATED = "repeated hashes"
_CANDIDATES = "rows with repeated hashes"
_DUPLICATES = "duplicate rows"

Numbered = tuple[int, BrokenWhen]


def mark_duplicates(engine: Engine, plan: CheckPlan) -> CheckPlan:
    """Hold the rows of ``plan.rows`` that repeat an earlier one, for all duplicate rules together.

    One pass over the source finds hashes that stand twice; where there is one, a second pass reads these
    rows and compares them exactly.
    """
    rules = [(i, one) for i, (one, _) in enumerate(plan.checks) if one.duplicate_of]
    if not rules:
        return plan
    hashed = sql(
        "SELECT *, {hashes} FROM ({raw}) AS came",
        hashes=commas([sql("{h} AS {n}", h=_hash(one), n=_hash_name(i)) for i, one in rules]),
        raw=raw_rows(plan, plan.rows),
    )
    if engine.hold(_REPEATED, _repeated(rules, hashed)) == 0:
        return replace(plan, n_scans=plan.n_scans + 1)
    engine.hold(_CANDIDATES, _candidates(rules, hashed))
    found = engine.hold(_DUPLICATES, _losers(rules))
    return replace(plan, marks=(*plan.marks, *([_DUPLICATES] if found else [])), n_scans=plan.n_scans + 2)


def _hash_name(index: int) -> Sql:
    return name(f"hash {index}")


def _hash(one: BrokenWhen) -> Sql:
    return shim("quick_hash", *[raw_name(c) for c in one.duplicate_of])


def _repeated(rules: Sequence[Numbered], hashed: Sql) -> Sql:
    """The hashes that stand more than once, each with its rule."""
    if len(rules) == 1:
        index = rules[0][0]
        return sql(
            "SELECT {i} AS rule, {h} AS h FROM ({hashed}) AS hashed GROUP BY {h} HAVING count(*) > 1",
            i=index,
            h=_hash_name(index),
            hashed=hashed,
        )
    cases = [sql("WHEN {i} THEN {h} ", i=i, h=_hash_name(i)) for i, _ in rules]
    return sql(
        "SELECT rule, h FROM (SELECT rule, CASE rule {cases} END AS h FROM ({hashed}) AS hashed"
        " CROSS JOIN (VALUES {numbers}) AS numbered(rule)) AS each_rule GROUP BY rule, h HAVING count(*) > 1",
        cases=joined_up(cases),
        hashed=hashed,
        numbers=commas([sql("({i})", i=i) for i, _ in rules]),
    )


def _candidates(rules: Sequence[Numbered], hashed: Sql) -> Sql:
    """Rows with a repeated hash, with the columns that are compared."""
    columns = dict.fromkeys(c for _, one in rules for c in one.duplicate_of)
    any_rule = [
        sql(
            "{h} IN (SELECT h FROM {t} WHERE rule = {i})",
            h=_hash_name(i),
            t=name(_REPEATED),
            i=i,
        )
        for i, _ in rules
    ]
    either = any_rule[0]
    for condition in any_rule[1:]:
        either = sql("{a} OR {b}", a=either, b=condition)
    return sql(
        "SELECT {file}, {row}, {columns} FROM ({hashed}) AS hashed WHERE {either}",
        file=name(FILE),
        row=name(ROW),
        columns=commas([raw_name(c) for c in columns]),
        hashed=hashed,
        either=either,
    )


def _losers(rules: Sequence[Numbered]) -> Sql:
    """All but the first of rows that are exactly alike."""
    each = [
        sql(
            "SELECT {file}, {row}, CAST({b} AS BIGINT) AS bit FROM (SELECT {file}, {row},"
            " row_number() OVER (PARTITION BY {key} ORDER BY {file}, {row}) AS place FROM {t} WHERE {there}) AS placed WHERE place > 1",
            file=name(FILE),
            row=name(ROW),
            b=1 << i,
            key=commas([raw_name(c) for c in one.duplicate_of]),
            t=name(_CANDIDATES),
            there=_key_there(one),
        )
        for i, one in rules
    ]
    every = each[0]
    for other in each[1:]:
        every = sql("{a} UNION ALL {b}", a=every, b=other)
    return sql(
        "SELECT {file}, {row}, CAST(sum(bit) AS BIGINT) AS bits FROM ({every}) AS every_rule GROUP BY {file}, {row}",
        file=name(FILE),
        row=name(ROW),
        every=every,
    )


def _key_there(one: BrokenWhen) -> Sql:
    """A key of which nothing is known repeats nothing; a whole row does."""
    if one.code == "unique(row)":
        return sql("TRUE")
    return sql(
        "coalesce({key}) IS NOT NULL",
        key=commas([sql("nullif(CAST({k} AS STRING), '')", k=raw_name(c)) for c in one.duplicate_of]),
    )
