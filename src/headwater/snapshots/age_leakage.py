"""The proof that nothing after an age reaches a feature of that age: poison what comes after it, and see what moves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headwater.core.ledger import Ledger
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, commas, name, sql, union_all
from headwater.snapshots.age_query import AgeCut, age_cut, age_query
from headwater.snapshots.attributes import ToldAttributes, first_attributes
from headwater.snapshots.leakage import (
    ABSURD,
    ABSURD_WORD,
    LeakageReport,
    compare_snapshots,
    leakage_report,
)

__all__ = ["check_age_leakage"]


def check_age_leakage(
    engine: Engine,
    ledger: Ledger,
    *,
    age: str,
    horizons: Sequence[int],
    folder: Path,
    cohort_days: int = 7,
    time_zone: str = "UTC",
    told: ToldAttributes | None = None,
) -> LeakageReport:
    """Build a snapshot at an age twice, the second time with an absurd future, and compare.

    Every hour at or after the age, every row that became known then, every attribute known or told then, and
    all user-days (which only targets read) are absurd; every user has absurd rows more. No column known at
    the age may move, and every target whose window has ended must.
    """
    cut = age_cut(
        ledger,
        age=age,
        horizons=horizons,
        as_of=None,
        cohort_days=cohort_days,
        time_zone=time_zone,
        told=told,
    )
    honest = age_query(ledger, cut)
    absurd = age_query(
        ledger,
        cut,
        hours=_poisoned_hours(ledger, cut),
        days=_poisoned_days(ledger),
        users=_poisoned_users(ledger, cut),
        told=_poisoned_told(ledger, cut),
    )
    clean, poisoned = (
        engine.write(plan.query, folder, table=f"{label} at {cut.hours}h", columns=plan.columns)
        for label, plan in (("clean", honest), ("poisoned", absurd))
    )
    return leakage_report([compare_snapshots(engine, clean, poisoned, cutoff=cut.end_day)])


def _poisoned_hours(ledger: Ledger, cut: AgeCut) -> Sql:
    sums = ["n_events", "active_days", *(m.name for m in ledger.measures)]
    absurd = commas([sql("{a} AS {m}", a=ABSURD, m=name(m)) for m in sums])
    hours = table_scan(ledger.user_hours)
    kept = sql(
        "SELECT user_id, hour, known_hour, {sums} FROM {h} h WHERE hour < {a} AND known_hour < {a}",
        sums=commas([name(m) for m in sums]),
        h=hours,
        a=cut.hours,
    )
    added = [
        sql(
            "SELECT DISTINCT user_id, {hour} AS hour, {a} AS known_hour, {absurd} FROM {h} h",
            hour=hour,
            a=cut.hours,
            absurd=absurd,
            h=hours,
        )
        for hour in (0, cut.hours - 1, cut.hours)
    ]
    return sql("({u})", u=union_all([kept, *added]))


def _poisoned_days(ledger: Ledger) -> Sql:
    absurd = commas([sql("{a} AS {m}", a=ABSURD, m=name(m.name)) for m in ledger.measures])
    days = table_scan(ledger.days)
    return sql(
        "(SELECT user_id, app_day, known_day, {absurd} FROM {d} d UNION ALL"
        " SELECT user_id, first_day + 1 AS app_day, first_day + 1 AS known_day, {absurd} FROM {u} u"
        " UNION ALL SELECT user_id, first_day + 2 AS app_day, first_day + 2 AS known_day, {absurd} FROM {u} u)",
        absurd=absurd,
        d=days,
        u=table_scan(ledger.users),
    )


def _poisoned_users(ledger: Ledger, cut: AgeCut) -> Sql:
    kept = first_attributes(ledger)
    known = [sql("{at} < first_us + {a}", at=name(f"at {c}"), a=cut.us) for c in kept]
    values = [
        sql("CASE WHEN {k} THEN {f} ELSE {w} END AS {f}", k=k, f=name(f"first {c}"), w=ABSURD_WORD)
        for c, k in zip(kept, known, strict=True)
    ]
    ats = [
        sql("CASE WHEN {k} THEN {at} ELSE first_us + {a} END AS {at}", k=k, at=name(f"at {c}"), a=cut.us)
        for c, k in zip(kept, known, strict=True)
    ]
    fields = [sql("user_id"), sql("bucket"), sql("first_day"), sql("first_us"), *values, *ats]
    return sql("(SELECT {fields} FROM {u} u)", fields=commas(fields), u=table_scan(ledger.users))


def _poisoned_told(ledger: Ledger, cut: AgeCut) -> Sql | None:
    if cut.told is None or not cut.told.names:
        return None
    absurd = [sql("{w} AS {a}", w=ABSURD_WORD, a=name(a)) for a in cut.told.names]
    return sql(
        "(SELECT r.user_id, r.at_us, {names} FROM {rows} r JOIN (SELECT user_id, first_us FROM {users} w) f ON r.user_id = f.user_id"
        " WHERE r.at_us < f.first_us + {age} UNION ALL SELECT user_id, first_us + {age} AS at_us, {absurd} FROM {users} u)",
        names=commas([sql("r.{a}", a=name(a)) for a in cut.told.names]),
        rows=table_scan(cut.told.rows),
        users=table_scan(ledger.users),
        age=cut.us,
        absurd=commas(absurd),
    )
