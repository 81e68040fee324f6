"""Snapshots at an age: one row for each user who has reached it, six hours after the first event, say.

What is known of the user ends at that age; the target is what the user adds from then on until a horizon
of whole days, counted from the first day, has passed. A user's ``cutoff`` is the last first day of its cohort,
so that a window that began with the cohort has ended for all of it at ``cutoff + horizon``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headwater.core.audit import Hole
from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.span import date_of
from headwater.core.table import Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import name, sql
from headwater.snapshots.age_query import AgeCut, age_cut, age_query
from headwater.snapshots.attributes import ToldAttributes

__all__ = ["build_age_snapshot"]


def build_age_snapshot(
    engine: Engine,
    ledger: Ledger,
    *,
    age: str,
    horizons: Sequence[int],
    folder: Path,
    as_of: int | None = None,
    cohort_days: int = 7,
    time_zone: str = "UTC",
    told: ToldAttributes | None = None,
    holes: Sequence[Hole] = (),
    most_lost: float = 0.0,
) -> Snapshot:
    """One row per user who reached the age inside the log, as known at that age.

    Parameters
    ----------
    age
        Since the user's first event, in whole hours or days: ``"6h"``, ``"3d"``; 168 hours at most.
    horizons
        Whole days from the first day on. ``<measure>_next_<h>d`` is what the user adds from the age to the
        end of that window, ``<measure>_first_<h>d`` all of the window, ``<measure>_so_far`` what was known at
        the age: the second is the sum of the other two. Empty until the window has ended for the whole cohort.
    as_of
        Cut the ledger itself at this day: what an analyst could have built then.
    cohort_days
        Users are held together by so many first days, counted back from the end.
    time_zone
        The app's, in which its days are cut.
    told
        Attributes that sources of users tell (``read_attributes``).
    holes, most_lost
        Holes of the log. Of a user's first hours, those that a hole touches are counted in ``hole_hours``: what is
        known of the user is then too little, and the targets are empty, so that no model learns from it. Days
        that a hole touches are counted in ``hole_days_<h>d``; a window that lost more than the share
        ``most_lost`` of its days has no target.

    Raises
    ------
    UsageError
        An age that is none (``snapshot.age``), a horizon that ends before it (``snapshot.age_horizon``).
    DataError
        Nobody has reached the age (``snapshot.nobody``).

    Notes
    -----
    Users first seen at the left edge of the log may not be new and are left out. So are users of whom
    nothing of their first hour was known at the age.
    """
    cut = age_cut(
        ledger,
        age=age,
        horizons=horizons,
        as_of=as_of,
        cohort_days=cohort_days,
        time_zone=time_zone,
        told=told,
        holes=holes,
        most_lost=most_lost,
    )
    plan = age_query(ledger, cut)
    rows = engine.write(plan.query, folder, table=f"snapshot at {cut.hours}h", columns=plan.columns)
    if rows.n_rows == 0:
        raise DataError(
            "snapshot.nobody",
            what=f"No user was seen {cut.hours} hours after the first event by {date_of(cut.end_day)}.",
            why="There is nobody to describe.",
            do="Choose a younger age or a later day, or set left_edge to 0d if the log begins with the app.",
        )
    cohorts = engine.rows(sql("SELECT DISTINCT cutoff FROM {s} s ORDER BY cutoff", s=table_scan(rows)))
    return Snapshot(
        rows=rows,
        cutoffs=tuple(int(c) for (c,) in cohorts),
        horizons=cut.horizons,
        measures=ledger.measures,
        first_day=ledger.first_day,
        end_day=cut.end_day,
        findings=(*_left_out(engine, ledger, cut), *_in_holes(engine, rows, cut)),
        sql=engine.text(plan.query),
    )


def _left_out(engine: Engine, ledger: Ledger, cut: AgeCut) -> tuple[Finding, ...]:
    n, n_edge = engine.one(
        sql(
            "SELECT count(*), count(CASE WHEN first_day < {e} THEN 1 END) FROM {u} u WHERE first_day < {end}",
            e=cut.edge_day,
            u=table_scan(ledger.users),
            end=cut.end_day,
        )
    )
    if n_edge == 0:
        return ()
    return (
        Finding(
            code="snapshot.left_edge",
            severity=Severity.NOTE,
            what=f"{n_edge:,} of {n:,} users ({n_edge / n:.0%}) were first seen in the first {ledger.left_edge_days} days of the log and are left out.",
            why="They may be older customers, whose first event in the log is not their first.",
            do="Load earlier history, or set left_edge to 0d if the log begins with the app.",
            numbers={"n_users": n, "n_at_left_edge": n_edge},
        ),
    )


def _in_holes(engine: Engine, rows: Table, cut: AgeCut) -> tuple[Finding, ...]:
    if not cut.holes:
        return ()
    longest = name(f"hole_days_{max(cut.horizons)}d")
    n, n_early, n_windows = engine.one(
        sql(
            "SELECT count(*), count(CASE WHEN hole_hours > 0 THEN 1 END), count(CASE WHEN {d} > 0 THEN 1 END) FROM {s} s",
            d=longest,
            s=table_scan(rows),
        )
    )
    if n_early + n_windows == 0:
        return ()
    return (
        Finding(
            code="snapshot.early_holes",
            severity=Severity.WARN,
            what=f"Of {n:,} users, {n_early:,} began within {cut.hours} hours of a hole in the log, and the first {max(cut.horizons)} days of {n_windows:,} overlap one.",
            why="Of who began then, less is known than was so: a newcomer looks idle who was not. Their targets are empty, and forecasts of them are too low.",
            do="Load the missing hours again, or leave these users out (hole_hours above 0).",
            numbers={"n_users": n, "n_early": n_early, "n_windows": n_windows},
        ),
    )
