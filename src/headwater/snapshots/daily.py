"""Occasions by day before a cutoff, of all users together: what a calendar of seasons is learned from."""

from __future__ import annotations

from headwater.core.ledger import Ledger
from headwater.core.table import Column, Kind, Purpose
from headwater.engine.engine import table_scan
from headwater.engine.sql import Sql, commas, name, sql
from headwater.snapshots.cut import Cut
from headwater.snapshots.query import Plan, seen_days

__all__ = ["daily_query"]


def daily_query(ledger: Ledger, *, cut: Cut, days: Sql | None = None) -> Plan:
    """One row for each day before the cutoff on which anybody did anything, as known before it.

    For active days and each counted measure: the users with an occasion that day. ``days`` replaces the
    ledger's rows, as in ``snapshot_query``.
    """
    occasions = [
        ("active_days", sql("true")),
        *((m.name, _above_zero(m.name)) for m in ledger.measures if m.counts),
    ]
    counts = [
        sql("CAST(count(CASE WHEN {o} THEN 1 END) AS DOUBLE) AS {n}", o=o, n=name(n)) for n, o in occasions
    ]
    query = sql(
        "SELECT CAST({c} AS INTEGER) AS cutoff, CAST(app_day AS INTEGER) AS app_day, {counts} FROM ({rows}) d"
        " WHERE age > 0 GROUP BY app_day ORDER BY app_day",
        c=cut.cutoff,
        counts=commas(counts),
        rows=seen_days(ledger, table_scan(ledger.days) if days is None else days, cut),
    )
    return Plan(query=query, columns=(*_keys(), *(_counted(n) for n, _ in occasions)))


def _above_zero(measure: str) -> Sql:
    return sql("{m} > 0", m=name(measure))


def _keys() -> tuple[Column, Column]:
    unit = "days since 1970"
    return (
        Column(name="cutoff", kind=Kind.DAY, purpose=Purpose.KEY, unit=unit),
        Column(name="app_day", kind=Kind.DAY, purpose=Purpose.KEY, unit=unit),
    )


def _counted(label: str) -> Column:
    about = f"users with {label} on the day, as known before the cutoff"
    return Column(name=label, kind=Kind.NUMBER, unit="users", about=about)
