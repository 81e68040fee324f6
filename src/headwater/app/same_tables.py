"""Two tables made by two engines: are they the same rows, and if not, where do they differ, with an example of both."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from headwater.core.table import Kind, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, commas, disjunction, name, shim, sql

__all__ = ["TOLERANCE", "Difference", "Example", "compare_tables", "table_digest"]

TOLERANCE = 1e-9
_ROWS_THERE = "which rows there are"
_DERIVED = {"line_hash": "raw"}
_JSON = frozenset({"raw"})
_MOST_SHOWN = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A value that differs: the column, the row it stands in, and what each engine says."""

    column: str
    where: str
    values: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How many rows differ, in which columns, with an example for each."""

    n_rows: int = 0
    columns: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()


def table_digest(engine: Engine, table: Table) -> tuple[int, int]:
    """The number of rows, and the sum of their md5 digests: the same on every engine for the same rows.

    A double counts with six decimals, so that the last bits of a division do not show.
    """
    text = sql("concat_ws(chr(31), {c})", c=commas([_text(c.name, c.kind) for c in table.columns]))
    row = engine.one(
        sql(
            "SELECT count(*), coalesce(sum(CAST({d} AS DECIMAL(38, 0))), 0) FROM {s} t",
            d=shim("digest", text),
            s=table_scan(table),
        )
    )
    return int(row[0]), int(row[1])


def compare_tables(
    reader: Engine, a: Table, b: Table, *, keys: Sequence[str] = (), without: Sequence[str] = ()
) -> Difference:
    """What differs between two tables whose rows are matched by ``keys``, or as wholes where there are none.

    Counts, days, ids and text must be equal; doubles may differ by ``TOLERANCE`` of their size. The raw row
    of a quarantine is the same where it says the same: each engine writes doubles in its own way.
    """
    kinds = {c.name: c.kind for c in a.columns if c.name not in without}
    matched = list(keys) or [c for c, kind in kinds.items() if kind is not Kind.NUMBER]
    others = {c: kind for c, kind in kinds.items() if c not in matched}
    pairs = _pairs(a, b, matched, others)
    n_matched, counts = _counts(reader, pairs, others)
    columns = tuple(c for c, n in counts.items() if n)
    found = Difference(
        n_rows=n_matched + counts[_ROWS_THERE],
        columns=columns,
        examples=_examples(reader, pairs, matched, columns),
    )
    return _without_spelling(reader, pairs, matched, others, found)


def _counts(reader: Engine, pairs: Sql, others: dict[str, Kind]) -> tuple[int, dict[str, int]]:
    """How many matched rows differ in any column; how many stand alone, and how many differ in each column."""
    columns = [sql("count(CASE WHEN {d} THEN 1 END)", d=_differs(c, k)) for c, k in others.items()]
    lonely = sql("count(CASE WHEN {one} THEN 1 END)", one=_LONELY)
    row = reader.one(
        sql("SELECT {any}, {c} FROM {p} p", any=_any_of(others), c=commas([lonely, *columns]), p=pairs)
    )
    n_matched, *each = map(int, row)
    return n_matched, dict(zip((_ROWS_THERE, *others), each, strict=True))


_LONELY = sql("(one_there IS NULL OR other_there IS NULL)")


def _any_of(others: dict[str, Kind]) -> Sql:
    """How many rows that are on both sides differ in any column."""
    return sql("count(CASE WHEN {w} THEN 1 END)", w=disjunction([_differs(c, k) for c, k in others.items()]))


def _examples(
    reader: Engine, pairs: Sql, matched: Sequence[str], columns: Sequence[str]
) -> tuple[Example, ...]:
    found: list[Example] = []
    for column in columns:
        there = column == _ROWS_THERE
        one, other = name(f"one {column}"), name(f"other {column}")
        if there:
            one, other = sql("one_there"), sql("other_there")
        rows = reader.rows(
            sql(
                "SELECT {where}, CAST({one} AS STRING), CAST({other} AS STRING) FROM {p} p WHERE {d} ORDER BY 1 LIMIT 1",
                where=_where(matched),
                one=one,
                other=other,
                p=pairs,
                d=_LONELY
                if there
                else sql("{a} IS DISTINCT FROM {b} AND NOT {l}", a=one, b=other, l=_LONELY),
            )
        )
        found += [_shown(column, *row) for row in rows]
    return tuple(found)


def _shown(column: str, where: str, one: str | None, other: str | None) -> Example:
    values = (one, other)
    if column == _ROWS_THERE:
        return Example(
            column=column, where=where, values=("there" if one else "none", "there" if other else "none")
        )
    told = tuple("nothing" if v is None else f"'{v[:_MOST_SHOWN]}'" for v in values)
    return Example(column=column, where=where, values=(told[0], told[1]))


def _where(matched: Sequence[str]) -> Sql:
    shown = [sql("concat({c}, ' ', coalesce(CAST({v} AS STRING), '-'))", c=m, v=name(m)) for m in matched[:6]]
    return sql("concat_ws(', ', {s})", s=commas(shown))


def _pairs(a: Table, b: Table, matched: Sequence[str], others: dict[str, Kind]) -> Sql:
    """Rows of both sides beside each other; a row that the other side lacks stands alone."""
    keys = [sql("coalesce(x.{m}, y.{m}) AS {m}", m=name(m)) for m in matched]
    sides = [sql("x.{c} AS {n}", c=name(c), n=name(f"one {c}")) for c in others]
    sides += [sql("y.{c} AS {n}", c=name(c), n=name(f"other {c}")) for c in others]
    return sql(
        "(SELECT {c}, x.there AS one_there, y.there AS other_there FROM {x} x FULL JOIN {y} y ON {on})",
        c=commas([*keys, *sides]),
        x=_numbered(a, matched, list(others)),
        y=_numbered(b, matched, list(others)),
        on=_on(matched),
    )


def _text(column: str, kind: Kind) -> Sql:
    value = name(column)
    if kind is Kind.NUMBER:
        value = sql("TRY_CAST({v} AS DECIMAL(38, 6))", v=value)
    return sql("coalesce(CAST({v} AS STRING), {none})", v=value, none="~")


def _differs(column: str, kind: Kind) -> Sql:
    """Whether two matched rows differ in a column."""
    x, y = name(f"one {column}"), name(f"other {column}")
    if kind is not Kind.NUMBER:
        return sql("(NOT {l} AND {x} IS DISTINCT FROM {y})", l=_LONELY, x=x, y=y)
    far = sql("abs({x} - {y}) > {t} * greatest(abs({x}), abs({y}))", x=x, y=y, t=TOLERANCE)
    return sql(
        "(NOT {l} AND (({x} IS NULL) <> ({y} IS NULL) OR coalesce({far}, FALSE)))",
        l=_LONELY,
        x=x,
        y=y,
        far=far,
    )


def _numbered(table: Table, matched: Sequence[str], others: Sequence[str]) -> Sql:
    """The rows with a number among those that match alike, so that repeated rows are matched one to one."""
    rest = [name(c) for c in others] or [sql("1")]
    return sql(
        "(SELECT t.*, 1 AS there, row_number() OVER (PARTITION BY {k} ORDER BY {r}) AS copy FROM {s} t)",
        k=commas([name(m) for m in matched]),
        r=commas(rest),
        s=table_scan(table),
    )


def _on(matched: Sequence[str]) -> Sql:
    on = sql("x.copy = y.copy")
    for m in matched:
        on = sql("{on} AND x.{m} IS NOT DISTINCT FROM y.{m}", on=on, m=name(m))
    return on


def _without_spelling(
    reader: Engine, pairs: Sql, matched: Sequence[str], others: dict[str, Kind], found: Difference
) -> Difference:
    """The same without raw rows that say the same in another spelling, and without their hashes."""
    spelled = [c for c in found.columns if c in _JSON]
    if not spelled:
        return found
    rest = {c: k for c, k in others.items() if c not in _JSON and _DERIVED.get(c) not in _JSON}
    kept = [c for c in found.columns if c in rest or c == _ROWS_THERE]
    n_matched, counts = _counts(reader, pairs, rest)
    n_rows = n_matched + counts[_ROWS_THERE]
    examples = [e for e in found.examples if e.column in kept]
    for column in spelled:
        n, example = _said_otherwise(reader, pairs, matched, column)
        if n:
            n_rows += n
            kept.append(column)
            examples.append(example or Example(column=column, where="", values=("", "")))
    return replace(found, n_rows=n_rows, columns=tuple(kept), examples=tuple(examples))


def _said_otherwise(
    reader: Engine, pairs: Sql, matched: Sequence[str], column: str
) -> tuple[int, Example | None]:
    """How many raw rows say something else, and one of them."""
    one, other = name(f"one {column}"), name(f"other {column}")
    query = sql(
        "SELECT {w} AS at_row, {a} AS one, {b} AS other FROM {p} p WHERE {a} IS DISTINCT FROM {b} AND NOT {l} ORDER BY 1",
        w=_where(matched),
        a=one,
        b=other,
        p=pairs,
        l=_LONELY,
    )
    n, example = 0, None
    for batch in reader.batches(query):
        for row in batch.to_pylist():
            if not _says_the_same(row["one"], row["other"]):
                n += 1
                example = example or _shown(column, row["at_row"], row["one"], row["other"])
    return n, example


def _says_the_same(one: str | None, other: str | None) -> bool:
    try:
        return one is not None and other is not None and _alike(json.loads(one), json.loads(other))
    except ValueError:
        return False


def _alike(a: Any, b: Any) -> bool:
    match a, b:
        case dict(), dict():
            return a.keys() == b.keys() and all(_alike(v, b[k]) for k, v in a.items())
        case (float(), int() | float()) | (int(), float()):
            return math.isclose(a, b, rel_tol=TOLERANCE)
        case _:
            return bool(a == b)
