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
from headwater.engine.sql import Sql, commas, name, shim, sql, union_all

__all__ = ["mark_duplicates"]

_REPEATED = "repeated hashes"
_CANDIDATES = "rows with repeated hashes"
_DUPLICATES = "duplicate rows"

Numbered = tuple[int, BrokenWhen]


def mark_duplicates(engine: Engine, plan: CheckPlan, pieces: Sequence[Sql] | None = None) -> CheckPlan:
    """Hold the rows that repeat an earlier one of the same piece, for all duplicate rules together.

    Pieces are rows of the source, each row in one of them; all of ``plan.rows`` is one unless given. One pass over a piece finds hashes that stand
    twice; where there is one, a second pass reads these rows and compares them exactly.
    """
    rules = [(i, one) for i, (one, _) in enumerate(plan.checks) if one.duplicate_of]
    if not rules:
        return plan
    found = [
        view
        for i, rows in enumerate(pieces or [plan.rows])
        if (view := _mark_piece(engine, plan, rules, rows, i))
    ]
    if not found:
        return replace(plan, n_scans=plan.n_scans + 1)
    every = union_all([sql("SELECT * FROM {v} AS v", v=name(view)) for view in found])
    n_rows = engine.hold(_DUPLICATES, every)
    for view in (*found, _REPEATED, _CANDIDATES):
        engine.release(view)
    return replace(plan, marks=(*plan.marks, *([_DUPLICATES] if n_rows else [])), n_scans=plan.n_scans + 2)


def _mark_piece(
    engine: Engine, plan: CheckPlan, rules: Sequence[Numbered], rows: Sql, index: int
) -> str | None:
    """The view that holds the repeated rows of a piece; None where no hash stands twice."""
    hashed = sql(
        "SELECT *, {hashes} FROM ({raw}) AS came",
        hashes=commas([sql("{h} AS {n}", h=_hash(one), n=_hash_name(i)) for i, one in rules]),
        raw=raw_rows(plan, rows),
    )
    if engine.hold(_REPEATED, _repeated(rules, hashed)) == 0:
        return None
    engine.hold(_CANDIDATES, _candidates(rules, hashed))
    view = f"{_DUPLICATES} {index}"
    engine.hold(view, _losers(rules))
    return view


def _hash_name(index: int) -> Sql:
    return name(f"hash {index}")


def _hash(one: BrokenWhen) -> Sql:
    """The hash of a row's key; NULL for a row the rule is not about."""
    whole = shim("quick_hash", *[raw_name(c) for c in one.duplicate_of])
    return whole if one.among is None else sql("CASE WHEN {w} THEN {h} END", w=one.among, h=whole)


def _repeated(rules: Sequence[Numbered], hashed: Sql) -> Sql:
    """The hashes that stand more than once, each with its rule."""
    if len(rules) == 1:
        index = rules[0][0]
        return sql(
            "SELECT {i} AS rule, {h} AS h FROM ({hashed}) AS hashed GROUP BY {h} HAVING count({h}) > 1",
            i=index,
            h=_hash_name(index),
            hashed=hashed,
        )
    cases = [sql("WHEN {i} THEN {h} ", i=i, h=_hash_name(i)) for i, _ in rules]
    return sql(
        "SELECT rule, h FROM (SELECT rule, CASE rule {cases} END AS h FROM ({hashed}) AS hashed"
        " CROSS JOIN (VALUES {numbers}) AS numbered(rule)) AS each_rule GROUP BY rule, h HAVING count(h) > 1",
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
        "SELECT {file}, {row}, {columns}, {hashes} FROM ({hashed}) AS hashed WHERE {either}",
        file=name(FILE),
        row=name(ROW),
        columns=commas([raw_name(c) for c in columns]),
        hashes=commas([_hash_name(i) for i, _ in rules]),
        hashed=hashed,
        either=either,
    )


def _losers(rules: Sequence[Numbered]) -> Sql:
    """All but the first of rows that are exactly alike."""
    each = [
        sql(
            "SELECT {file}, {row}, CAST({b} AS BIGINT) AS bit FROM (SELECT {file}, {row},"
            " row_number() OVER (PARTITION BY {key} ORDER BY {file}, {row}) AS place FROM {t} WHERE {h} IS NOT NULL AND {there}) AS placed WHERE place > 1",
            file=name(FILE),
            row=name(ROW),
            b=1 << i,
            key=commas([raw_name(c) for c in one.duplicate_of]),
            t=name(_CANDIDATES),
            h=_hash_name(i),
            there=_key_there(one),
        )
        for i, one in rules
    ]
    return sql(
        "SELECT {file}, {row}, CAST(sum(bit) AS BIGINT) AS bits FROM ({every}) AS every_rule GROUP BY {file}, {row}",
        file=name(FILE),
        row=name(ROW),
        every=union_all(each),
    )


def _key_there(one: BrokenWhen) -> Sql:
    """A key of which nothing is known repeats nothing; a whole row does."""
    if one.of_whole_row:
        return sql("TRUE")
    return sql(
        "coalesce({key}) IS NOT NULL",
        key=commas([sql("nullif(CAST({k} AS STRING), '')", k=raw_name(c)) for c in one.duplicate_of]),
    )
