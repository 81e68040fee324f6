"""What each rule found: rows, users and money among the quarantined rows, examples, and what may be done.

Everything is read off the quarantine, which is small; the source is not read again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headwater.contracts.plan import CheckPlan, event_columns
from headwater.contracts.rule import BrokenWhen
from headwater.core.contract import Aggregate, Contract, Measure, RuleResult
from headwater.core.errors import ConfigError
from headwater.core.table import Kind, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.expression import MICROS, columns_of, compile_condition, compile_expression
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["failed_gates", "rule_results"]

_EXAMPLES = 3
_MOST = 9e12  # one row's money beyond this, in whole units, counts as this: it must fit a sum that is exact
_NUMERIC = (Kind.INTEGER, Kind.NUMBER, Kind.MONEY)


def rule_results(
    engine: Engine, contract: Contract, plan: CheckPlan, quarantine: Table, *, n_rows_in: int
) -> tuple[RuleResult, ...]:
    """One result a check, then one for each reason a line could not be split into columns."""
    rows, lines = _apart(quarantine)
    counts = _counts(engine, plan, rows)
    broken = [i for i, n in enumerate(counts) if n]
    value = _row_value(contract, plan)
    touched = _touched(engine, broken, rows, value) if rows and broken else {}
    examples = _examples(engine, broken, rows) if rows and broken else {}
    results = [
        _result(one, limit, n_rows=counts[i], n_rows_in=n_rows_in, examples=examples.get(i, ()))
        for i, (one, limit) in enumerate(plan.checks)
    ]
    for i, (n_users, micros) in touched.items():
        results[i] = _with_touched(results[i], value, n_users=n_users, micros=micros)
    return (*results, *_unreadable_lines(engine, lines, n_rows_in=n_rows_in))


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowValue:
    """What a row is worth: the first money measure that is a sum, in micro-units, over the columns it names."""

    measure: str
    unit: str
    columns: tuple[Sql, ...]
    micros: Sql


def _apart(quarantine: Table) -> tuple[Table | None, Table | None]:
    """The quarantine of rows, and that of lines that could not be split, which has fewer columns."""
    lines = tuple(f for f in quarantine.files if any(p.startswith("unreadable") for p in Path(f).parts[-2:]))
    rows = tuple(f for f in quarantine.files if f not in lines)
    return (
        replace(quarantine, files=rows) if rows else None,
        replace(quarantine, files=lines) if lines else None,
    )


def _has(index: int) -> Sql:
    return sql("(broken & {b}) <> 0", b=1 << index)


def _counts(engine: Engine, plan: CheckPlan, rows: Table | None) -> list[int]:
    if rows is None or not plan.checks:
        return [0] * len(plan.checks)
    counts = [sql("count(*) FILTER (WHERE {has})", has=_has(i)) for i in range(len(plan.checks))]
    return [int(n) for n in engine.one(sql("SELECT {c} FROM {s} s", c=commas(counts), s=table_scan(rows)))]


def _row_value(contract: Contract, plan: CheckPlan) -> _RowValue | None:
    kinds = {c.name: c.kind for c in event_columns(plan)}
    for measure in contract.measures:
        if measure.aggregate is Aggregate.SUM:
            try:
                if compile_expression(measure.expression, kinds).kind is Kind.MONEY:
                    return _valued(measure, kinds, contract.app.currency)
            except ConfigError:
                continue
    return None


def _valued(measure: Measure, kinds: Mapping[str, Kind], currency: str) -> _RowValue:
    """The measure in double precision: what lies in quarantine may be too large for exact arithmetic."""
    named = dict.fromkeys((*columns_of(measure.expression), *columns_of(measure.where or "True")))
    plain = {c: Kind.NUMBER if kinds[c] in _NUMERIC else kinds[c] for c in named}
    amount = compile_expression(measure.expression, plain).sql
    held = compile_condition(measure.where, plain) if measure.where else sql("TRUE")
    return _RowValue(
        measure=measure.name,
        unit=measure.unit or currency,
        columns=tuple(_as_number(c, kinds[c]) for c in named if c not in ("user_id", "broken")),
        micros=sql(
            "CASE WHEN {held} AND abs({v}) <= 1e300 THEN CAST(round(greatest(least({v}, {most}), {least}) * {m}) AS DECIMAL(38, 0)) END",
            held=held,
            v=sql("CAST({a} AS DOUBLE)", a=amount),
            most=_MOST,
            least=-_MOST,
            m=float(MICROS),
        ),
    )


def _as_number(column: str, kind: Kind) -> Sql:
    c = name(column)
    if kind is Kind.MONEY:
        return sql("CAST({c} AS DOUBLE) / {m} AS {c}", c=c, m=float(MICROS))
    return sql("CAST({c} AS DOUBLE) AS {c}", c=c) if kind in _NUMERIC else c


def _touched(
    engine: Engine, broken: Sequence[int], rows: Table, value: _RowValue | None
) -> dict[int, tuple[int, int | None]]:
    """Users and money of the rows that break each check."""
    columns = value.columns if value else ()
    micros = value.micros if value else sql("CAST(NULL AS DECIMAL(38, 0))")
    asked = [
        part
        for i in broken
        for part in (
            sql("count(DISTINCT CASE WHEN {has} THEN user_id END)", has=_has(i)),
            sql("sum(CASE WHEN {has} THEN micros END)", has=_has(i)),
        )
    ]
    found = engine.one(
        sql(
            "SELECT {asked} FROM (SELECT broken, user_id, {micros} AS micros FROM (SELECT {columns} FROM {s} s) AS valued) AS counted",
            asked=commas(asked),
            micros=micros,
            columns=commas([sql("broken"), sql("user_id"), *columns]),
            s=table_scan(rows),
        )
    )
    return {
        i: (int(found[2 * k]), None if found[2 * k + 1] is None else int(found[2 * k + 1]))
        for k, i in enumerate(broken)
    }


def _examples(engine: Engine, broken: Sequence[int], rows: Table) -> dict[int, tuple[str, ...]]:
    """The first rows of the source that break each check."""
    found = engine.rows(
        sql(
            "SELECT bit, raw FROM (SELECT bit, raw, row_number() OVER (PARTITION BY bit ORDER BY source_file, source_row) AS place"
            " FROM {s} s JOIN (VALUES {bits}) AS t(bit, mask) ON (broken & mask) <> 0) AS placed WHERE place <= {n} ORDER BY bit, place",
            s=table_scan(rows),
            bits=commas([sql("({i}, CAST({b} AS BIGINT))", i=i, b=1 << i) for i in broken]),
            n=_EXAMPLES,
        )
    )
    return _grouped(found)


def _unreadable_lines(engine: Engine, lines: Table | None, *, n_rows_in: int) -> tuple[RuleResult, ...]:
    if lines is None:
        return ()
    scan = table_scan(lines)
    counts = engine.rows(sql("SELECT codes, count(*) FROM {s} s GROUP BY codes ORDER BY codes", s=scan))
    examples = _grouped(
        engine.rows(
            sql(
                "SELECT codes, raw FROM (SELECT codes, raw, row_number() OVER (PARTITION BY codes ORDER BY source_file, source_row) AS place"
                " FROM {s} s) AS placed WHERE place <= {n} ORDER BY codes, place",
                s=scan,
                n=_EXAMPLES,
            )
        )
    )
    return tuple(
        RuleResult(
            code=code,
            about="the line could not be split into columns",
            n_rows=n,
            share=n / n_rows_in,
            max_share=None,
            examples=examples.get(code, ()),
            proposal="Export the file again with quotes escaped, or name its delimiter and encoding under [[sources]].",
        )
        for code, n in counts
    )


def _grouped(found: Sequence[tuple[Any, ...]]) -> dict[Any, tuple[str, ...]]:
    groups: dict[Any, list[str]] = {}
    for key, raw in found:
        groups.setdefault(key, []).append(raw)
    return {key: tuple(rows) for key, rows in groups.items()}


def _result(
    one: BrokenWhen, limit: float | None, *, n_rows: int, n_rows_in: int, examples: tuple[str, ...]
) -> RuleResult:
    share = n_rows / n_rows_in if n_rows_in else 0.0
    allow = f" To stop loads that are worse: max_share = {_above(share)}." if n_rows and limit is None else ""
    return RuleResult(
        code=one.code,
        about=one.about,
        n_rows=n_rows,
        share=share,
        max_share=limit,
        examples=examples,
        n_users=0,
        certainty=one.certainty,
        doubt=one.doubt,
        proposal=f"{one.proposal}{allow}".strip(),
    )


def _above(share: float) -> float:
    """A limit a little above a share, to two digits.

    >>> _above(0.249), _above(0.0003)
    (0.28, 0.00033)
    """
    step = 10.0 ** (math.floor(math.log10(share)) - 1)
    return min(1.0, float(f"{math.ceil(share * 1.1 / step) * step:.2g}"))


def _with_touched(
    result: RuleResult, value: _RowValue | None, *, n_users: int, micros: int | None
) -> RuleResult:
    touched = replace(result, n_users=n_users)
    if value is None or micros is None:
        return touched
    return replace(touched, money=micros / MICROS, money_of=value.measure, money_unit=value.unit)


def failed_gates(
    rules: Sequence[RuleResult], *, n_quarantine: int, n_rows_in: int, max_share: float
) -> tuple[str, ...]:
    """Which gates a load fails, as sentences, with the rules most broken; none when it passes."""
    failed = [
        f"{_percent(r.share)} of rows break {r.code} (allowed {_percent(r.max_share)})"
        for r in rules
        if r.max_share is not None and r.share > r.max_share
    ]
    share = n_quarantine / n_rows_in if n_rows_in else 0.0
    if share > max_share:
        worst = sorted((r for r in rules if r.n_rows), key=lambda r: -r.n_rows)[:3]
        most = ", ".join(f"{r.code} {r.n_rows:,}" for r in worst)
        failed.append(f"{_percent(share)} of rows are in quarantine (allowed {_percent(max_share)}): {most}")
    return tuple(failed)


def _percent(share: float) -> str:
    """A share in percent; a small one to two digits, so that it is not told as none."""
    return f"{share:.1%}" if share >= 0.001 or share == 0 else f"{share * 100:.2g}%"
