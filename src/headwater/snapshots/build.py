"""Build snapshots: many cutoffs in one pass over the ledger, features strictly before each, targets at or after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.core.errors import DataError, UsageError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.span import date_of
from headwater.core.table import Column, Kind, Known, Purpose, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, commas, name, sql
from headwater.snapshots.feature import Feature, FeatureColumn, FeatureSpec, in_units
from headwater.snapshots.features import FEATURES

__all__ = ["FeatureChoice", "Plan", "build_snapshot", "every_feature", "snapshot_query"]

FeatureChoice = Sequence[type[Feature]]


def build_snapshot(
    engine: Engine,
    ledger: Ledger,
    *,
    cutoffs: Sequence[int],
    horizons: Sequence[int],
    folder: Path,
    as_of: int | None = None,
    table: str = "snapshot",
) -> Snapshot:
    """One row per user x cutoff.

    Parameters
    ----------
    cutoffs
        App days; a snapshot at day c knows what was known before day c began.
    horizons
        Whole days; the window of a target is ``[c, c + horizon)``.
    as_of
        Cut the ledger itself at this day, targets included: what an analyst could have built then.

    Raises
    ------
    UsageError
        A cutoff outside the log, or none.
    DataError
        No user was known at any cutoff.
    """
    end = min(ledger.end_day, as_of) if as_of is not None else ledger.end_day
    _require_inside(ledger, cutoffs, end)
    plan = snapshot_query(
        ledger, cutoffs=cutoffs, horizons=horizons, end_day=end, features=every_feature(), as_of=as_of
    )
    rows = engine.write(plan.query, folder, table=table, columns=plan.columns)
    if rows.n_rows == 0:
        raise DataError(
            "snapshot.nobody",
            what=f"No user was known before {date_of(max(cutoffs))}.",
            why="There is nobody to describe.",
            do="Choose a later cutoff.",
        )
    return Snapshot(
        rows=rows,
        cutoffs=tuple(sorted(set(cutoffs))),
        horizons=tuple(sorted(set(horizons))),
        measures=ledger.measures,
        first_day=ledger.first_day,
        end_day=end,
        findings=_findings(engine, ledger, rows),
        sql=engine.text(plan.query),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A snapshot's query and the columns it makes."""

    query: Sql
    columns: tuple[Column, ...]


def every_feature() -> FeatureChoice:
    """Every group of features on the shelf."""
    return tuple(FEATURES.load(n) for n in FEATURES.names())


def snapshot_query(
    ledger: Ledger,
    *,
    cutoffs: Sequence[int],
    horizons: Sequence[int],
    end_day: int,
    features: FeatureChoice,
    days: Sql | None = None,
    as_of: int | None = None,
) -> Plan:
    """The query of a snapshot; ``days`` replaces the ledger's rows (the leakage check poisons them).

    With ``as_of`` nothing that became known later is there, and a window has matured only when its last
    day has settled. Without it the log is what is known now, late facts included.
    """
    made = [c for kind in features for c in kind().columns(FeatureSpec(measures=ledger.measures))]
    ladder = sql("(VALUES {c}) AS c(cutoff)", c=commas([sql("({d})", d=d) for d in sorted(set(cutoffs))]))
    rows = _rows_of_days(ledger, days if days is not None else table_scan(ledger.days), end_day, as_of)
    seen = _seen(ledger, rows, ladder, now=end_day if as_of is None else None)
    settled = end_day if as_of is None else end_day - ledger.settle_days
    past = sql(
        "SELECT user_id, cutoff, any_value(bucket) AS bucket, CAST(max(age) AS INTEGER) AS oldest, {a} FROM ({seen}) s GROUP BY user_id, cutoff",
        a=commas(
            [sql("{x} AS {n}", x=c.aggregate, n=name(c.column.name)) for c in made if c.aggregate is not None]
        ),
        seen=seen,
    )
    targets = _targets(ledger, horizons)
    ahead = sql(
        "SELECT user_id, cutoff, {t} FROM (SELECT c.cutoff, l.*, l.app_day - c.cutoff AS ahead FROM ({rows}) l JOIN {ladder}"
        " ON l.app_day >= c.cutoff AND l.app_day < c.cutoff + {h}) f GROUP BY user_id, cutoff",
        t=commas([sql("{x} AS {n}", x=t.total, n=name(t.column.name)) for t in targets]),
        rows=rows,
        ladder=ladder,
        h=max(horizons),
    )
    columns = _columns(made, targets, horizons)
    query = sql(
        "SELECT {columns} FROM (SELECT *, {derived} FROM ({past}) p) LEFT JOIN ({ahead}) a USING (user_id, cutoff) ORDER BY cutoff, user_id",
        columns=commas([_selected(c, ledger, targets, horizons, settled) for c in columns]),
        derived=commas(
            [sql("{x} AS {n}", x=c.derive, n=name(c.column.name)) for c in made if c.derive is not None]
            or [sql("NULL AS nothing")]
        ),
        past=past,
        ahead=ahead,
    )
    return Plan(query=query, columns=columns)


def _rows_of_days(ledger: Ledger, days: Sql, end_day: int, as_of: int | None) -> Sql:
    """User-days before the end; merged to one row a day only later, since what was known differs by cutoff."""
    names = commas([name(m.name) for m in ledger.measures]) if ledger.measures else sql("0 AS nothing")
    return sql(
        "SELECT user_id, bucket, app_day, known_day, n_events, {m} FROM {days} WHERE app_day < {e}{known}",
        m=names,
        days=days,
        e=end_day,
        known=sql("") if as_of is None else sql(" AND known_day < {d}", d=as_of),
    )


def _seen(ledger: Ledger, rows: Sql, ladder: Sql, *, now: int | None) -> Sql:
    """Past user-days of each cutoff: what was known before it; for today's cutoff, all that is known."""
    late = sql("FALSE") if now is None else sql("c.cutoff = {n}", n=now)
    joined = sql(
        "SELECT c.cutoff, l.*, c.cutoff - l.app_day AS age FROM ({rows}) l JOIN {ladder} ON l.app_day < c.cutoff AND (l.known_day < c.cutoff OR {late})",
        rows=rows,
        ladder=ladder,
        late=late,
    )
    if ledger.one_row_a_day:
        return joined
    sums = commas(
        [sql("CAST(sum({m}) AS BIGINT) AS {m}", m=name(m.name)) for m in ledger.measures]
        + [sql("CAST(sum(n_events) AS BIGINT) AS n_events")]
    )
    return sql(
        "SELECT user_id, any_value(bucket) AS bucket, cutoff, app_day, age, {s} FROM ({j}) j GROUP BY user_id, cutoff, app_day, age",
        s=sums,
        j=joined,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    column: Column
    horizon: int
    total: Sql


def _targets(ledger: Ledger, horizons: Sequence[int]) -> list[_Target]:
    made: list[_Target] = []
    days = sql("count(*)") if ledger.one_row_a_day else sql("count(DISTINCT app_day)")
    for h in sorted(set(horizons)):
        inside = sql("ahead < {h}", h=h)
        active = sql("CAST({d} FILTER (WHERE {i}) AS DOUBLE)", d=days, i=inside)
        made.append(_Target(column=_target_column("active_days", "days", h), horizon=h, total=active))
        for m in ledger.measures:
            total = in_units(m, sql("coalesce(sum({v}) FILTER (WHERE {i}), 0)", v=name(m.name), i=inside))
            made.append(_Target(column=_target_column(m.label, m.unit, h), horizon=h, total=total))
    return made


def _target_column(label: str, unit: str, horizon: int) -> Column:
    return Column(
        name=f"{label}_next_{horizon}d",
        kind=Kind.NUMBER,
        unit=unit,
        purpose=Purpose.TARGET,
        known=Known.AFTER_CUTOFF,
        about=f"{label} in the {horizon} days from the cutoff on; empty unless all of them were observed",
    )


def _columns(
    made: Sequence[FeatureColumn], targets: Sequence[_Target], horizons: Sequence[int]
) -> tuple[Column, ...]:
    keys = (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="cutoff", kind=Kind.DAY, purpose=Purpose.KEY, unit="days since 1970"),
        Column(name="bucket", kind=Kind.INTEGER, about="md5 bucket of the user, 0 to 63"),
        Column(
            name="at_left_edge",
            kind=Kind.BOOLEAN,
            purpose=Purpose.FLAG,
            about="first seen so early in the log that the user may not be new",
        ),
    )
    observed = tuple(
        Column(
            name=f"observed_days_{h}d",
            kind=Kind.INTEGER,
            unit="days",
            purpose=Purpose.FLAG,
            known=Known.AFTER_CUTOFF,
            about=f"days of the {h}-day window inside the log",
        )
        for h in sorted(set(horizons))
    )
    return keys + tuple(c.column for c in made) + observed + tuple(t.column for t in targets)


def _selected(
    column: Column, ledger: Ledger, targets: Sequence[_Target], horizons: Sequence[int], end_day: int
) -> Sql:
    label = name(column.name)
    if column.name == "at_left_edge":
        return sql(
            "(cutoff - oldest < {edge}) AS {n}", edge=ledger.first_day + ledger.left_edge_days, n=label
        )
    for h in horizons:
        if column.name == f"observed_days_{h}d":
            return sql(
                "CAST(greatest(0, least({h}, {e} - cutoff)) AS INTEGER) AS {n}", h=h, e=end_day, n=label
            )
    for t in targets:
        if t.column.name == column.name:
            return sql(
                "CASE WHEN cutoff + {h} <= {e} THEN coalesce({n}, 0) END AS {n}",
                h=t.horizon,
                e=end_day,
                n=label,
            )
    return label


def _require_inside(ledger: Ledger, cutoffs: Sequence[int], end: int) -> None:
    outside = [c for c in cutoffs if not ledger.first_day < c <= end]
    if outside or not cutoffs:
        days = ", ".join(str(date_of(c)) for c in outside) or "none given"
        raise UsageError(
            "snapshot.cutoff_outside",
            what=f"The log runs from {date_of(ledger.first_day)} to {date_of(end - 1)}; cutoffs outside it: {days}.",
            why="Before the log nobody is known; after it, silence is not inactivity.",
            do=f"Choose a cutoff from {date_of(ledger.first_day + 1)} to {date_of(end)}.",
        )


def _findings(engine: Engine, ledger: Ledger, rows: Table) -> tuple[Finding, ...]:
    if ledger.left_edge_days == 0:
        return ()
    n, edge = engine.one(
        sql(
            "SELECT count(DISTINCT user_id), count(DISTINCT user_id) FILTER (WHERE at_left_edge) FROM {s}",
            s=table_scan(rows),
        )
    )
    if edge == 0:
        return ()
    return (
        Finding(
            code="snapshot.left_edge",
            severity=Severity.NOTE,
            what=f"{edge:,} of {n:,} users ({edge / n:.0%}) were first seen in the first {ledger.left_edge_days} days of the log.",
            why="They may be older customers; their tenure and frequency are understated.",
            do="Load earlier history, or set left_edge to 0d if the log begins with the app.",
            numbers={"n_users": n, "n_at_left_edge": edge},
        ),
    )
