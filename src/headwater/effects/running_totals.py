"""Running totals of each exposed user, read off the ledger: what an experiment's metrics and covariates are made of.

A total adds a measure over days since the user's first exposure. When a day is added to the ledger, or a day of it
is restated, only the difference of the days that changed is added, and only to users whose windows hold them; the
others' files are kept. As all sums are of whole numbers, the result is the same as one built anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger, LedgerMeasure
from headwater.core.span import date_of
from headwater.core.table import Table
from headwater.effects.day_totals import (
    ACTIVE_DAYS,
    MEMBERS,
    OWNED,
    DayTotal,
    Read,
    TotalsPlan,
    contribution,
    of_days,
)
from headwater.effects.exposed import Exposed
from headwater.engine.engine import Engine, row_hash, table_scan
from headwater.engine.sql import Sql, commas, disjunction, name, sql, union_all
from headwater.ledgers.days import on_days, write_by_day

__all__ = ["RunningTotals", "running_totals", "units_of"]

_ADDED = "totals added"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTotals:
    """One row for each exposed user, in the ledger's whole numbers, sums of what is known so far.

    ``rows`` lies by the day of first exposure. ``end_day`` (exclusive) is that of the ledger: days up to it are
    complete but for what becomes known within ``settle_days``. ``built_from`` and ``days`` are the ledger's days
    as they were read, ``members`` a fingerprint of who was exposed on each day. ``n_kept``, ``n_appended`` and
    ``n_rebuilt`` count users: untouched, added to, built from all of their days.
    """

    rows: Table
    totals: tuple[DayTotal, ...]
    measures: tuple[LedgerMeasure, ...]
    experiment_end: int | None
    first_day: int
    end_day: int
    settle_days: int
    day_fingerprints: tuple[tuple[int, str], ...]
    members: tuple[tuple[int, str], ...]
    built_from: tuple[tuple[int, str], ...]
    days: Table
    one_row_a_day: bool
    n_kept: int
    n_appended: int
    n_rebuilt: int
    findings: tuple[Finding, ...]
    sql: str


def running_totals(
    engine: Engine,
    exposed: Exposed,
    ledger: Ledger,
    *,
    totals: Sequence[DayTotal],
    folder: Path,
    earlier: RunningTotals | None = None,
) -> RunningTotals:
    """Totals of every exposed user, complete through the ledger's last day.

    Parameters
    ----------
    earlier
        Totals of the same kind over an earlier state of the ledger, whose files and the ledger's then are still
        there. The rows are the same as without it.

    Raises
    ------
    UsageError
        A total of a measure that the ledger does not have.
    """
    for total in totals:
        if total.measure != ACTIVE_DAYS:
            ledger.measure(total.measure)
    plan = TotalsPlan(exposed=exposed, ledger=ledger, totals=tuple(totals))
    members = _cohorts(engine, exposed.users, kept=exposed.keep)
    before = earlier if earlier is not None and _continues(earlier, plan) else None
    changed = _changed_days(ledger, before)
    opened = _opened(plan, members, before, changed)
    try:
        n_members, new = _hold_members(engine, plan, opened, before, changed)
        added = _added(plan, opened, before, changed, new_on=set(new))
        engine.hold(_ADDED, added)
        rows, prints = write_by_day(
            engine,
            _merged(plan),
            folder,
            table="totals",
            columns=plan.columns,
            built=opened,
            earlier=None if before is None else before.rows,
            prints=() if before is None else before.day_fingerprints,
            day="exposed_day",
        )
    finally:
        engine.release(MEMBERS)
        engine.release(_ADDED)
    return RunningTotals(
        rows=rows,
        totals=plan.totals,
        measures=ledger.measures,
        experiment_end=exposed.end_day,
        first_day=ledger.first_day,
        end_day=ledger.end_day,
        settle_days=ledger.settle_days,
        day_fingerprints=prints,
        members=members,
        built_from=ledger.day_fingerprints,
        days=ledger.days,
        one_row_a_day=ledger.one_row_a_day,
        n_kept=rows.n_rows - n_members,
        n_appended=n_members - sum(new.values()),
        n_rebuilt=sum(new.values()),
        findings=(*_short_history(plan, members), *_restated(before, changed)),
        sql=engine.text(added),
    )


def units_of(running: RunningTotals) -> Sql:
    """A row for each exposed user in whole units; a total whose days have not all matured is NULL, never a part of it.

    ``observed_days`` counts the days since exposure that have. First days are as known so far, for they are
    read with ``observed_days``.
    """
    scales = {m.name: m.scale for m in running.measures} | {ACTIVE_DAYS: 1}
    known = running.end_day - running.settle_days
    reach = [sql("{k} - u.exposed_day", k=known)]
    reach += [] if running.experiment_end is None else [sql("{e} - u.exposed_day", e=running.experiment_end)]
    observed = sql("CAST(greatest(0, least({r})) AS INTEGER) AS observed_days", r=commas(reach))
    cells = [
        *(name(c.name) for c in running.rows.columns if c.name not in {t.name for t in running.totals}),
        observed if len(reach) > 1 else sql("CAST(greatest(0, {r}) AS INTEGER) AS observed_days", r=reach[0]),
        *(_unit_cell(t, scales[t.measure], known, running.experiment_end) for t in running.totals),
    ]
    return sql("SELECT {cells} FROM {rows} u", cells=commas(cells), rows=table_scan(running.rows))


def _unit_cell(total: DayTotal, scale: int, known: int, experiment_end: int | None) -> Sql:
    if total.is_first_day:
        return name(total.name)
    value = sql("CAST({n} AS DOUBLE) / {s}", n=name(total.name), s=float(scale))
    if total.end is not None:
        is_mature = sql("exposed_day + {e} <= {k}", e=total.end, k=known)
    else:
        is_mature = sql("{m}", m=experiment_end is not None and experiment_end <= known)
    return sql("CASE WHEN {m} THEN {v} END AS {n}", m=is_mature, v=value, n=name(total.name))


def _cohorts(engine: Engine, users: Table, *, kept: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """For each day of first exposure a fingerprint of the users and what is taken over of them."""
    there = {c.name for c in users.columns}
    columns = [c for c in (*OWNED, *kept) if c in there]
    found = engine.rows(
        sql(
            "SELECT exposed_day, count(*), sum({h}) FROM {s} s GROUP BY exposed_day ORDER BY exposed_day",
            h=row_hash(columns),
            s=table_scan(users),
        )
    )
    return tuple((int(day), f"{int(n):x}.{int(total):x}") for day, n, total in found)


def _continues(earlier: RunningTotals, plan: TotalsPlan) -> bool:
    files = (*earlier.rows.files, *earlier.days.files)
    return (
        earlier.totals == plan.totals
        and earlier.measures == plan.ledger.measures
        and earlier.rows.columns == plan.columns
        and earlier.experiment_end == plan.exposed.end_day
        and earlier.first_day == plan.ledger.first_day
        and all(Path(f).is_file() for f in files)
    )


def _changed_days(ledger: Ledger, before: RunningTotals | None) -> set[int]:
    """Days of the ledger that are new, restated or gone."""
    then = set[tuple[int, str]]() if before is None else set(before.built_from)
    return {day for day, _ in set(ledger.day_fingerprints) ^ then}


def _opened(
    plan: TotalsPlan, members: Sequence[tuple[int, str]], before: RunningTotals | None, changed: set[int]
) -> set[int]:
    """Days of first exposure whose users are others now, or whose windows hold a changed day."""
    then = set[tuple[int, str]]() if before is None else set(before.members)
    others = {day for day, _ in set(members) ^ then}
    return others | {day for day, _ in members if any(d in changed for d in range(*plan.days_of(day)))}


def _hold_members(
    engine: Engine, plan: TotalsPlan, opened: set[int], before: RunningTotals | None, changed: set[int]
) -> tuple[int, dict[int, int]]:
    """Hold the users of open cohorts with what they had; how many there are, and, by day of exposure, those built from all days."""
    there = _days_condition(opened)
    owned = [sql("e.{c}", c=name(c.name)) for c in plan.owned]
    users = sql("(SELECT * FROM {s} s WHERE {i})", s=table_scan(plan.exposed.users), i=there)
    if before is None:
        had = [sql("CAST(NULL AS BIGINT) AS {t}", t=name(t.name)) for t in plan.totals]
        query = sql("SELECT {o}, {had}, TRUE AS is_new FROM {u} e", o=commas(owned), had=commas(had), u=users)
    else:
        query = sql(
            "SELECT {o}, {had}, o.user_id IS NULL{again} AS is_new FROM {u} e"
            " LEFT JOIN (SELECT * FROM {rows} r WHERE {there}) o ON e.user_id = o.user_id AND e.exposed_day = o.exposed_day",
            o=commas(owned),
            had=commas([sql("o.{t}", t=name(t.name)) for t in plan.totals]),
            again=_read_again(plan, before, changed),
            u=users,
            rows=table_scan(of_days(before.rows, opened)),
            there=there,
        )
    n_members = engine.hold(MEMBERS, query)
    new = engine.rows(
        sql("SELECT exposed_day, count(*) FROM {m} m WHERE is_new GROUP BY exposed_day", m=name(MEMBERS))
    )
    return n_members, {int(day): int(n) for day, n in new}


def _read_again(plan: TotalsPlan, before: RunningTotals, changed: set[int]) -> Sql:
    """A first day that a restated day took away cannot be subtracted: who was there on such a day is read in full."""
    restated = changed & {day for day, _ in before.built_from}
    if not restated or not any(t.is_first_day for t in plan.totals):
        return sql("")
    return sql(
        " OR e.user_id IN (SELECT user_id FROM {days} d WHERE {inside})",
        days=table_scan(of_days(before.days, restated)),
        inside=on_days(restated),
    )


def _added(
    plan: TotalsPlan, opened: set[int], before: RunningTotals | None, changed: set[int], *, new_on: set[int]
) -> Sql:
    """What changed days add to the totals of each member, and all days to those of new ones."""
    ledger, parts = plan.ledger, list[Sql]()
    now = partial(Read, days=ledger.days, one_row_a_day=ledger.one_row_a_day)
    if new_on or before is None:
        parts.append(contribution(plan, now(wanted=_days_of(plan, new_on)), who=sql("m.is_new")))
    if before is not None:
        known = sql("NOT m.is_new")
        needed = _days_of(plan, opened) & changed
        parts.append(contribution(plan, now(wanted=needed), who=known))
        gone = frozenset(needed & {day for day, _ in before.built_from})
        if gone:
            then = Read(days=before.days, wanted=gone, one_row_a_day=before.one_row_a_day)
            parts.append(contribution(plan, then, who=known, sign=-1))
    if len(parts) == 1:
        return parts[0]
    cells = [
        sql("min({t}) AS {t}", t=name(t.name))
        if t.is_first_day
        else sql("CAST(sum({t}) AS BIGINT) AS {t}", t=name(t.name))
        for t in plan.totals
    ]
    return sql("SELECT user_id, {c} FROM ({p}) p GROUP BY user_id", c=commas(cells), p=union_all(parts))


def _days_of(plan: TotalsPlan, exposed_on: set[int]) -> frozenset[int]:
    """Every day that totals of users exposed on these days look at."""
    return frozenset(d for day in exposed_on for d in range(*plan.days_of(day)))


def _merged(plan: TotalsPlan) -> Sql:
    """Members with what they had and what is added, in the order of their ids."""
    cells = [
        sql("CAST(least(coalesce(m.{t}, a.{t}), coalesce(a.{t}, m.{t})) AS BIGINT) AS {t}", t=name(t.name))
        if t.is_first_day
        else sql("coalesce(m.{t}, 0) + coalesce(a.{t}, 0) AS {t}", t=name(t.name))
        for t in plan.totals
    ]
    had = [sql("CASE WHEN is_new THEN NULL ELSE {t} END AS {t}", t=name(t.name)) for t in plan.totals]
    owned = [name(c.name) for c in plan.owned]
    members = sql("(SELECT {o}, {h} FROM {m} x)", o=commas(owned), h=commas(had), m=name(MEMBERS))
    return sql(
        "SELECT {o}, {c} FROM {m} m LEFT JOIN {a} a ON m.user_id = a.user_id ORDER BY m.exposed_day, m.user_id",
        o=commas([sql("m.{c}", c=c) for c in owned]),
        c=commas(cells),
        m=members,
        a=name(_ADDED),
    )


def _days_condition(days: set[int]) -> Sql:
    return disjunction([sql("exposed_day = {d}", d=d) for d in sorted(days)])


def _short_history(plan: TotalsPlan, members: Sequence[tuple[int, str]]) -> tuple[Finding, ...]:
    earliest, longest = members[0][0], -min(t.first for t in plan.totals)
    missing = plan.ledger.first_day - (earliest - longest)
    if longest <= 0 or missing <= 0:
        return ()
    return (
        Finding(
            code="experiment.short_history",
            severity=Severity.NOTE,
            what=f"The log begins on {date_of(plan.ledger.first_day)}; of the {longest} days before the first exposures {min(missing, longest)} are not in it.",
            why="Totals before exposure are of the days there are. They stay fair covariates, for both arms lose the same days, but explain less.",
            do="Load earlier events, or lower pre_days.",
            numbers={"pre_days": longest, "missing_days": min(missing, longest)},
        ),
    )


def _restated(before: RunningTotals | None, changed: set[int]) -> tuple[Finding, ...]:
    restated = sorted(changed & {day for day, _ in before.built_from}) if before is not None else []
    if not restated:
        return ()
    return (
        Finding(
            code="experiment.restated",
            severity=Severity.NOTE,
            what=f"{len(restated)} days that were read before have changed, from {date_of(restated[0])} to {date_of(restated[-1])}; their old figures were taken out and the new ones added.",
            why="Figures of earlier readings may differ from those of today.",
            do="Nothing, where facts come late; otherwise see who changed the log.",
            numbers={"n_days": len(restated)},
        ),
    )
