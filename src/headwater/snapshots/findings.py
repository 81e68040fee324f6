"""What a snapshot says about itself: users who may be older than the log, windows that overlap a hole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater.core.finding import Finding, Number, Severity
from headwater.core.ledger import Ledger
from headwater.core.table import Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, name, sql
from headwater.snapshots.cut import Cut

__all__ = ["joined_findings", "snapshot_findings"]


def snapshot_findings(engine: Engine, ledger: Ledger, rows: Table, cut: Cut) -> tuple[Finding, ...]:
    """The findings of one cutoff."""
    return (*_left_edge(engine, ledger, rows), *_holes(engine, rows, cut))


def joined_findings(parts: Sequence[Sequence[Finding]]) -> tuple[Finding, ...]:
    """The findings of a snapshot of several cutoffs, given in their order.

    Whoever was known, or at the left edge, at a cutoff is so at every later one: the latest speaks for
    all. Windows in holes add up.
    """
    if not parts:
        return ()
    holes = [f.numbers for part in parts for f in part if f.code == "snapshot.holes"]
    kept = tuple(f for f in parts[-1] if f.code != "snapshot.holes")
    return (*kept, *_holes_finding(holes))


def _left_edge(engine: Engine, ledger: Ledger, rows: Table) -> list[Finding]:
    if ledger.left_edge_days == 0:
        return []
    n, edge = engine.one(
        sql(
            "SELECT count(*), count(CASE WHEN at_left_edge THEN 1 END) FROM {s}",
            s=table_scan(rows),
        )
    )
    if edge == 0:
        return []
    return [
        Finding(
            code="snapshot.left_edge",
            severity=Severity.NOTE,
            what=f"{edge:,} of {n:,} users ({edge / n:.0%}) were first seen in the first {ledger.left_edge_days} days of the log.",
            why="They may be older customers; their tenure and frequency are understated.",
            do="Load earlier history, or set left_edge to 0d if the log begins with the app.",
            numbers={"n_users": n, "n_at_left_edge": edge},
        )
    ]


def _holes(engine: Engine, rows: Table, cut: Cut) -> list[Finding]:
    if not cut.lost:
        return []
    ahead = [name(f"hole_days_{h}d") for h in cut.horizons]
    touched, windows = sql("FALSE"), sql("0")
    for days in ahead:
        touched = sql("{t} OR {d} > 0", t=touched, d=days)
        windows = sql("{w} + CASE WHEN {d} > 0 THEN 1 ELSE 0 END", w=windows, d=days)
    past = sql("{d} > 0", d=name(f"hole_days_past_{max(cut.windows)}d"))
    n, n_windows, n_users, n_past = engine.one(
        sql(
            "SELECT count(*), coalesce(CAST(sum({w}) AS BIGINT), 0), {users}, {past} FROM {s}",
            w=windows,
            users=_count(touched),
            past=_count(past),
            s=table_scan(rows),
        )
    )
    numbers: dict[str, Number] = {
        "n_windows": n_windows,
        "n_all_windows": n * len(ahead),
        "n_users": n_users,
        "n_past": n_past,
        "n_all_past": n,
        "most_lost": cut.most_lost,
    }
    return _holes_finding([numbers])


def _count(condition: Sql) -> Sql:
    return sql("count(CASE WHEN {c} THEN 1 END)", c=condition)


def _holes_finding(parts: Sequence[Mapping[str, Number]]) -> list[Finding]:
    """One finding for all cutoffs: windows add up, users are those of the cutoff with the most."""
    add = {k: sum(int(p[k]) for p in parts) for k in ("n_windows", "n_all_windows", "n_past", "n_all_past")}
    if not parts or add["n_windows"] + add["n_past"] == 0:
        return []
    users, most = max(int(p["n_users"]) for p in parts), max(float(p["most_lost"]) for p in parts)
    targets = f"empty where more than {most:.0%} of the days are lost" if most else "empty"
    return [
        Finding(
            code="snapshot.holes",
            severity=Severity.WARN,
            what=f"{add['n_windows']:,} of {add['n_all_windows']:,} target windows (of up to {users:,} users at one cutoff) "
            f"and {add['n_past']:,} of {add['n_all_past']:,} look-back windows overlap a hole in the log; their targets are {targets}.",
            why="What happened in a hole is missing: silence there is not inactivity, and sums over it are too small.",
            do="Load the missing data again, move the cutoff, or leave these rows out (hole_days_... above 0).",
            numbers={**add, "n_users": users, "most_lost": most},
        )
    ]
