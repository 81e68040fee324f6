"""The proof that nothing after a cutoff reaches a feature: poison the future, and see what moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger
from headwater.core.span import date_of
from headwater.core.table import Column, Known, Purpose, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, commas, conjunction, name, sql, union_all
from headwater.snapshots.attributes import ToldAttributes, first_attributes
from headwater.snapshots.cut import Cut
from headwater.snapshots.query import every_feature, snapshot_query

__all__ = [
    "ABSURD",
    "ABSURD_WORD",
    "Compared",
    "LeakageReport",
    "check_leakage",
    "compare_snapshots",
    "leakage_report",
    "poisoned_days",
]

ABSURD = 7_777_777_777_777
ABSURD_WORD = "the future"
_ROWS = "which users are in the snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageReport:
    """What was compared and what moved.

    ``n_features`` counts the columns known by the cutoff (features and flags), ``n_users`` the rows
    compared (user x cutoff), ``n_targets`` the targets and ``n_targets_moved`` those that moved at every
    cutoff, as they must. ``moved`` names the columns that should have stood still.
    """

    findings: tuple[Finding, ...]
    cutoffs: tuple[int, ...]
    n_features: int
    n_users: int
    n_targets: int
    n_targets_moved: int
    moved: tuple[str, ...]


def check_leakage(
    engine: Engine,
    ledger: Ledger,
    *,
    cutoffs: Sequence[int],
    horizons: Sequence[int],
    folder: Path,
    told: ToldAttributes | None = None,
) -> LeakageReport:
    """Build each cutoff's snapshot twice, the second time with an absurd future, and compare.

    In the poisoned ledger everything that happened or became known at or after the cutoff has absurd
    values; every user also has absurd rows on the cutoff day, on the days after it, and on the day
    before it that became known only on the cutoff day. Attributes known or told at or after the cutoff, or
    never, have an absurd word in their place. No column known by the cutoff may move, and every target must
    (a check in which no target moves sees nothing: ``leakage.blind``). The log is taken to go on to the
    end of each window, so that today's cutoff can be checked too. Both snapshots stay under ``folder``.
    """
    made = [
        _cut_compared(engine, ledger, cutoff, horizons=horizons, folder=folder, told=told)
        for cutoff in sorted(set(cutoffs))
    ]
    return leakage_report(made)


def leakage_report(made: Sequence[Compared]) -> LeakageReport:
    """What several comparisons say together."""
    moved = tuple(dict.fromkeys(n for one in made for n in one.moved))
    targets = (
        set(made[0].targets_moved).intersection(*(one.targets_moved for one in made)) if made else set[str]()
    )
    blind = tuple(one.cutoff for one in made if not one.targets_moved)
    return LeakageReport(
        findings=(*_moved_finding(made, moved), *_blind_finding(blind, len(made))),
        cutoffs=tuple(one.cutoff for one in made),
        n_features=made[0].n_features if made else 0,
        n_users=sum(one.n_users for one in made),
        n_targets=made[0].n_targets if made else 0,
        n_targets_moved=len(targets),
        moved=moved,
    )


def poisoned_days(ledger: Ledger, cutoff: int) -> Sql:
    """The ledger's rows as a FROM item, all that a snapshot at ``cutoff`` must not see made absurd."""
    measures = [m.name for m in ledger.measures]
    days = table_scan(ledger.days)
    past = sql("(app_day < {c} AND known_day < {c})", c=cutoff)
    kept = _rows(measures, [name(m) for m in measures], days, past, n_events=sql("n_events"))
    replaced = _rows(
        measures,
        [sql("{a}", a=ABSURD)] * len(measures),
        days,
        sql("NOT {p}", p=past),
        n_events=sql("999983"),
    )
    users = sql("(SELECT user_id, any_value(bucket) AS bucket FROM {d} d GROUP BY user_id)", d=days)
    added = [
        _rows(
            measures,
            [sql("{a}", a=value)] * len(measures),
            _at(users, app_day, known_day),
            sql("TRUE"),
            n_events=sql("999983"),
        )
        for app_day, known_day, value in (
            (cutoff, cutoff, ABSURD),
            (cutoff, cutoff - 1, -3 * ABSURD),
            (cutoff + 1, cutoff + 1, 5 * ABSURD),
            (cutoff - 1, cutoff, 11 * ABSURD),
        )
    ]
    return sql("({u})", u=union_all([kept, replaced, *added]))


def poisoned_users(ledger: Ledger, cutoff: int) -> Sql:
    """The ledger's users as a FROM item, every attribute not known before the cutoff an absurd word of its day."""
    kept = first_attributes(ledger)
    known = [sql("{d} < {c}", d=name(f"day {a}"), c=cutoff) for a in kept]
    values = [
        sql("CASE WHEN {k} THEN {f} ELSE {w} END AS {f}", k=k, f=name(f"first {a}"), w=ABSURD_WORD)
        for a, k in zip(kept, known, strict=True)
    ]
    days = [
        sql("CASE WHEN {k} THEN {d} ELSE {c} END AS {d}", k=k, d=name(f"day {a}"), c=cutoff)
        for a, k in zip(kept, known, strict=True)
    ]
    fields = commas([sql("user_id"), *values, *days])
    return sql("(SELECT {fields} FROM {u} u)", fields=fields, u=table_scan(ledger.users))


def poisoned_told(ledger: Ledger, told: ToldAttributes, cutoff: int) -> Sql:
    """The told rows as a FROM item, and for every user an absurd one from the cutoff on."""
    absurd = [sql("{w} AS {a}", w=ABSURD_WORD, a=name(a)) for a in told.names]
    return sql(
        "(SELECT user_id, app_day, at_us, {names} FROM {rows} r WHERE app_day < {c}"
        " UNION ALL SELECT user_id, {c} AS app_day, {late} AS at_us, {absurd} FROM {users} u)",
        names=commas([name(a) for a in told.names]),
        rows=table_scan(told.rows),
        c=cutoff,
        late=ABSURD * 1_000,
        absurd=commas(absurd),
        users=table_scan(ledger.users),
    )


def _at(users: Sql, app_day: int, known_day: int) -> Sql:
    return sql("(SELECT *, {a} AS app_day, {k} AS known_day FROM {u} u)", a=app_day, k=known_day, u=users)


def _rows(measures: Sequence[str], values: Sequence[Sql], rows: Sql, where: Sql, *, n_events: Sql) -> Sql:
    named = [sql("CAST({v} AS BIGINT) AS {m}", v=v, m=name(m)) for v, m in zip(values, measures, strict=True)]
    return sql(
        "SELECT user_id, bucket, CAST(app_day AS INTEGER) AS app_day, CAST(known_day AS INTEGER) AS known_day, {fields} FROM {rows} WHERE {w}",
        fields=commas([sql("CAST({n} AS BIGINT) AS n_events", n=n_events), *named]),
        rows=rows,
        w=where,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A snapshot and the same with a poisoned future: what moved, and for how many users."""

    cutoff: int
    n_users: int
    n_features: int
    n_targets: int
    moved: dict[str, int]
    targets_moved: tuple[str, ...]


def _cut_compared(
    engine: Engine,
    ledger: Ledger,
    cutoff: int,
    *,
    horizons: Sequence[int],
    folder: Path,
    told: ToldAttributes | None,
) -> Compared:
    end = max(ledger.end_day, cutoff + max(horizons))
    cut = Cut(cutoff=cutoff, horizons=tuple(sorted(set(horizons))), end_day=end, settled=end, told=told)
    honest = snapshot_query(ledger, cut=cut, features=every_feature(), days=table_scan(ledger.days))
    absurd = snapshot_query(
        ledger,
        cut=cut,
        features=every_feature(),
        days=poisoned_days(ledger, cutoff),
        users=poisoned_users(ledger, cutoff),
        told=poisoned_told(ledger, told, cutoff) if told else None,
    )
    clean, poisoned = (
        engine.write(plan.query, folder, table=f"{label} {date_of(cutoff)}", columns=plan.columns)
        for label, plan in (("clean", honest), ("poisoned", absurd))
    )
    return compare_snapshots(engine, clean, poisoned, cutoff=cutoff)


def compare_snapshots(engine: Engine, clean: Table, poisoned: Table, *, cutoff: int) -> Compared:
    """Which columns differ between a snapshot and the same with a poisoned future."""
    early = [
        c
        for c in clean.columns
        if c.purpose is Purpose.FEATURE or (c.known is Known.BY_CUTOFF and c.purpose is not Purpose.KEY)
    ]
    targets = [c for c in clean.columns if c.purpose is Purpose.TARGET and c not in early]
    n_moved = _count_moved(engine, clean, poisoned, [*early, *targets])
    moved = {c: n for c, n in n_moved.items() if n and c not in {t.name for t in targets}}
    return Compared(
        cutoff=cutoff,
        n_users=clean.n_rows,
        n_features=len(early),
        n_targets=len(targets),
        moved=moved,
        targets_moved=tuple(t.name for t in targets if n_moved[t.name]),
    )


def _count_moved(engine: Engine, clean: Table, poisoned: Table, columns: Sequence[Column]) -> dict[str, int]:
    """How many users each column moved for; a user who comes or goes is counted apart."""
    both = sql("a.user_id IS NOT NULL AND b.user_id IS NOT NULL")
    counts = [
        sql(
            "count(CASE WHEN {w} THEN 1 END)",
            w=conjunction([both, sql("a.{c} IS DISTINCT FROM b.{c}", c=name(c.name))]),
        )
        for c in columns
    ]
    row = engine.one(
        sql(
            "SELECT count(CASE WHEN NOT ({both}) THEN 1 END), {counts} FROM {a} a FULL JOIN {b} b ON a.user_id = b.user_id AND a.cutoff = b.cutoff",
            both=both,
            counts=commas(counts),
            a=table_scan(clean),
            b=table_scan(poisoned),
        )
    )
    return dict(zip([_ROWS, *(c.name for c in columns)], row, strict=True))


def _moved_finding(made: Sequence[Compared], moved: Sequence[str]) -> list[Finding]:
    if not moved:
        return []
    worst = max(n for one in made for n in one.moved.values())
    shown = ", ".join(moved[:8]) + (f" and {len(moved) - 8} more" if len(moved) > 8 else "")
    return [
        Finding(
            code="leakage.feature_moved",
            severity=Severity.BLOCK,
            what=f"{len(moved)} columns known by the cutoff moved, for up to {worst:,} users, when only the future was changed: {shown}.",
            why="A model would learn from what it cannot know; every backtest would flatter it.",
            do="Correct the feature: it may use days with app_day < cutoff and known_day < cutoff only.",
            numbers={"n_columns": len(moved), "n_users": worst},
        )
    ]


def _blind_finding(blind: Sequence[int], n_cutoffs: int) -> list[Finding]:
    if not blind and n_cutoffs:
        return []
    days = ", ".join(str(date_of(c)) for c in blind) or "no cutoff was given"
    return [
        Finding(
            code="leakage.blind",
            severity=Severity.BLOCK,
            what=f"No target moved although the future was changed ({days}).",
            why="The check did not reach the numbers it is about; that no feature moved proves nothing.",
            do="Check that the snapshot reads the ledger's rows it is given.",
            numbers={"n_cutoffs": len(blind)},
        )
    ]
