"""What a reader must know of a ledger: measures that are all zero, what was netted, a log of one user."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headwater.core.contract import Events
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger, LedgerMeasure
from headwater.core.table import Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, commas, name, sql
from headwater.ledgers.days import on_days

__all__ = ["ledger_findings", "netted_by_day"]

Netted = tuple[int, str, int, int]
_FEW_DAYS, _MANY_DAYS = 20, 1_000


def ledger_findings(
    engine: Engine,
    events: Events,
    days: Table,
    *,
    n_users: int,
    settle_days: int,
    sums: Sequence[LedgerMeasure],
    netted: Sequence[Netted],
) -> tuple[Finding, ...]:
    """Look at the ledger as it was built; what was ``netted`` is told by ``netted_by_day``."""
    measures = [m.name for m in events.contract.measures]
    looks = commas([sql("count(*)"), *(sql("sum(abs({n}))", n=name(m)) for m in measures)])
    _, *totals = engine.one(sql("SELECT {looks} FROM {s} s", looks=looks, s=table_scan(days)))
    found = [_all_zero(m, events) for m, total in zip(measures, totals, strict=True) if not total]
    if n_users < 2:
        found.append(_one_user(n_users, events))
    found += [f for m in sums for f in _concentrated(engine, m, days)]
    return (*found, *_late(settle_days), *_netted(sums, netted))


def _concentrated(engine: Engine, measure: LedgerMeasure, days: Table) -> list[Finding]:
    """A handful of user-days that hold most of a measure: whales, or a unit gone wrong."""
    top, total, n_days = engine.one(
        sql(
            "SELECT (SELECT coalesce(sum({m}), 0) FROM (SELECT {m} FROM {s} a ORDER BY {m} DESC LIMIT {k}) t), coalesce(sum({m}), 0), count(*) FROM {s} b",
            m=name(measure.name),
            k=_FEW_DAYS,
            s=table_scan(days),
        )
    )
    if n_days < _MANY_DAYS or total <= 0 or top / total < 0.5:
        return []
    return [
        Finding(
            code="measure.concentrated",
            severity=Severity.WARN,
            what=f"The {_FEW_DAYS} largest of {n_days:,} user-days hold {top / total:.1%} of all {measure.name}.",
            why="Every total and every interval hangs on a few events; they may be whales, or amounts in a wrong unit.",
            do="Look at them; if they are wrong, add a range rule (at_most) for the amount.",
            numbers={"share": float(top / total)},
        )
    ]


def _late(settle_days: int) -> list[Finding]:
    if settle_days == 0:
        return []
    return [
        Finding(
            code="ledger.late",
            severity=Severity.WARN,
            what=f"99% of the user-days become known within {settle_days} days; the last {settle_days} days of the log may still be filling.",
            why="A window that ends there looks poorer than it will be; past windows count once they have settled.",
            do="Load again when they have arrived, or end the log earlier.",
            numbers={"settle_days": settle_days},
        )
    ]


def netted_by_day(
    engine: Engine,
    events: Events,
    sums: Sequence[tuple[LedgerMeasure, Sql]],
    *,
    changed: Collection[int],
    earlier: Ledger | None,
) -> tuple[Netted, ...]:
    """By day and measure, the kept events below zero and their sum; only days ``changed`` are looked at again."""
    kept = [] if earlier is None else [n for n in earlier.netted if n[0] not in changed]
    if not sums or not changed:
        return tuple(kept)
    looks = [
        sql(
            "count(*) FILTER (WHERE {a} < 0), coalesce(sum(CAST({a} AS DECIMAL(20, 0))) FILTER (WHERE {a} < 0), 0)",
            a=amount,
        )
        for _, amount in sums
    ]
    found = engine.rows(
        sql(
            "SELECT app_day, {looks} FROM {s} s WHERE {days} GROUP BY app_day",
            looks=commas(looks),
            s=table_scan(events.events_on(changed)),
            days=on_days(changed),
        )
    )
    anew = [
        (int(day), measure.name, int(n), int(total))
        for day, *counts in found
        for (measure, _), n, total in zip(sums, counts[::2], counts[1::2], strict=True)
        if n
    ]
    return tuple(sorted(kept + anew))


def _netted(sums: Sequence[LedgerMeasure], netted: Sequence[Netted]) -> list[Finding]:
    found: list[Finding] = []
    for measure in sums:
        own = [(n, total) for _, of, n, total in netted if of == measure.name]
        if own:
            n_rows, total = sum(n for n, _ in own), sum(t for _, t in own)
            found.append(_given_back(measure, n_rows, total / measure.scale))
    return found


def _given_back(measure: LedgerMeasure, n_rows: int, total: float) -> Finding:
    return Finding(
        code="measure.netted",
        severity=Severity.NOTE,
        what=f"{n_rows:,} kept rows carry negative {measure.name} ({total:,.0f} {measure.unit}): refunds, cancellations, corrections.",
        why="They are facts and net off, on the day they happened; a user's value may fall.",
        do="Nothing, if negative amounts mean that here.",
        numbers={"n_rows": n_rows, "total": total},
    )


def _all_zero(measure: str, events: Events) -> Finding:
    about = next(m.expression or "count" for m in events.contract.measures if m.name == measure)
    return Finding(
        code="measure.all_zero",
        severity=Severity.WARN,
        what=f"The measure '{measure}' ({about}) is zero on every row.",
        why="Nothing can be predicted about it.",
        do="Check the expression, its where, and the column's type.",
    )


def _one_user(n_users: int, events: Events) -> Finding:
    return Finding(
        code="ledger.one_user",
        severity=Severity.WARN,
        what=f"The log holds {n_users} user.",
        why="Nothing can be learned about users from one; no model will be fitted.",
        do=f"Check that '{events.contract.source.user}' is the user column.",
    )
