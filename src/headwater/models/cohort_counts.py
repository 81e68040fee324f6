"""Cohorts counted from the ledger: what users brought at each whole age that was seen, from their own first day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from headwater.core.errors import DataError, UsageError
from headwater.core.ledger import Ledger
from headwater.engine.arrays import column_floats, column_objects
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, name, shim, sql
from headwater.numerics.curves import Triangle
from headwater.snapshots.attributes import TOLD_DAY, ToldAttributes, first_attributes, first_told_before

__all__ = [
    "AGE_DAYS",
    "Cohort",
    "CohortCounts",
    "cohorts_for",
    "cohorts_of_users",
    "count_cohorts",
    "count_left_out",
]

AGE_DAYS: Final = {"week": 7, "month": 30}
_PARTS = 16
_MONTHS_FROM = 8
_ALL, _NOBODY, _FIRST = "all", "(none)", "first "

Cohort = Literal["month", "week"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CohortCounts:
    """Names of cohorts and groups in the order of their numbers in the triangle."""

    cohorts: tuple[str, ...]
    groups: tuple[str, ...]
    triangle: Triangle


def cohorts_for(ledger: Ledger, *, cutoff: int) -> Cohort:
    """Months where the log is long enough to try them on its past (eight ages of 30 days), else weeks."""
    lived = cutoff - ledger.first_day - ledger.left_edge_days
    return "month" if lived >= _MONTHS_FROM * AGE_DAYS["month"] else "week"


def count_cohorts(
    engine: Engine,
    ledger: Ledger,
    *,
    measure: str,
    by: Cohort,
    attribute: str | None,
    cutoff: int,
    told: ToldAttributes | None = None,
) -> CohortCounts:
    """Count the whole ages seen by the cutoff. Raises ``DataError`` (``curves.nobody``) where there are none."""
    users = _users(ledger, by=by, attribute=attribute, cutoff=cutoff, told=told)
    counted = engine.arrow(
        sql(
            "SELECT cohort, grp, observed, part, CAST(count(*) AS DOUBLE) AS n, avg(rest) AS rest FROM ({u}) u"
            " GROUP BY cohort, grp, observed, part ORDER BY cohort, grp, observed, part",
            u=users,
        )
    )
    if counted.num_rows == 0:
        raise DataError(
            "curves.nobody",
            what=f"No user of the {ledger.users.n_rows:,} was seen for one whole {by} after the left edge of the log.",
            why="A curve of value by age needs somebody who grew older.",
            do="Use a longer log, or weeks rather than months.",
        )
    brought = engine.arrow(_brought(ledger, measure, by=by, users=users, cutoff=cutoff))
    return _as_triangle(counted, brought, age_days=AGE_DAYS[by])


def count_left_out(engine: Engine, ledger: Ledger, *, by: Cohort, cutoff: int) -> tuple[int, int]:
    """How many users known by the cutoff are in no cohort: first seen at the left edge of the log, or not yet one age old."""
    n_edge, n_young = engine.one(
        sql(
            "SELECT count(*) FILTER (WHERE first_day < {edge}), count(*) FILTER (WHERE first_day >= {edge2} AND {c} - first_day < {age})"
            " FROM {users} u WHERE first_day < {c2}{known}",
            edge=ledger.first_day + ledger.left_edge_days,
            edge2=ledger.first_day + ledger.left_edge_days,
            c=cutoff,
            c2=cutoff,
            age=AGE_DAYS[by],
            users=table_scan(ledger.users),
            known=sql("") if cutoff >= ledger.end_day else sql(" AND known_day < {c}", c=cutoff),
        )
    )
    return int(n_edge), int(n_young)


def cohorts_of_users(
    engine: Engine,
    ledger: Ledger,
    *,
    by: Cohort,
    attribute: str | None,
    cutoff: int,
    told: ToldAttributes | None = None,
) -> pa.Table:
    """``user_id``, ``cohort`` and ``grp`` of every user who is counted: seen for a whole age, not at the left edge."""
    users = _users(ledger, by=by, attribute=attribute, cutoff=cutoff, told=told)
    return engine.arrow(sql("SELECT user_id, cohort, grp FROM ({u}) u ORDER BY user_id", u=users))


def _users(
    ledger: Ledger, *, by: Cohort, attribute: str | None, cutoff: int, told: ToldAttributes | None
) -> Sql:
    """One row a user: cohort, group, whole ages seen, a random part, and the days of the age that runs."""
    week = sql("(first_day - ({m}))", m=sql("(first_day + 3) % 7"))
    cohort = shim("month_of_day", sql("first_day")) if by == "month" else shim("iso_of_day", week)
    group, beside = _group(ledger, attribute, age_days=AGE_DAYS[by], cutoff=cutoff, told=told)
    lived = sql("({c} - first_day)", c=cutoff)
    observed = shim("integer_division", lived, AGE_DAYS[by])
    return sql(
        "SELECT user_id, first_day, {cohort} AS cohort, {group} AS grp, CAST({observed} AS INTEGER) AS observed, bucket % {parts} AS part,"
        " CAST({lived} % {age} AS DOUBLE) AS rest FROM {users} u{beside} WHERE first_day >= {edge} AND {lived} >= {age}{known}",
        cohort=cohort,
        group=group,
        observed=observed,
        parts=_PARTS,
        lived=lived,
        age=AGE_DAYS[by],
        users=table_scan(ledger.users),
        beside=beside,
        edge=ledger.first_day + ledger.left_edge_days,
        known=sql("") if cutoff >= ledger.end_day else sql(" AND known_day < {c}", c=cutoff),
    )


def _brought(ledger: Ledger, measure: str, *, by: Cohort, users: Sql, cutoff: int) -> Sql:
    """Totals of strips by age; a day counts if it was known by the cutoff."""
    age = shim("integer_division", sql("(d.app_day - u.first_day)"), AGE_DAYS[by])
    known = sql("") if cutoff >= ledger.end_day else sql(" AND d.known_day < {c}", c=cutoff)
    if measure == "active_days":
        value, read = sql("CAST(count(DISTINCT (user_id, app_day)) AS DOUBLE)"), sql("d.user_id, d.app_day")
    else:
        column = ledger.measure(measure)
        value = sql("(CAST(sum({m}) AS DOUBLE) / {s})", m=name(column.name), s=float(column.scale))
        read = sql("d.{m}", m=name(column.name))
    return sql(
        "SELECT cohort, grp, observed, part, age, {value} AS value FROM (SELECT {columns}, u.cohort, u.grp, u.observed, u.part, CAST({age} AS INTEGER) AS age"
        " FROM {days} d JOIN ({users}) u ON d.user_id = u.user_id WHERE d.app_day < {c}{known}) d WHERE age < observed AND age >= 0"
        " GROUP BY cohort, grp, observed, part, age ORDER BY cohort, grp, observed, part, age",
        value=value,
        columns=read,
        age=age,
        days=table_scan(ledger.days),
        users=users,
        c=cutoff,
        known=known,
    )


def _as_triangle(counted: pa.Table, brought: pa.Table, *, age_days: int) -> CohortCounts:
    cohorts, cohort = np.unique(column_objects(counted, "cohort").astype(str), return_inverse=True)
    groups, group = np.unique(column_objects(counted, "grp").astype(str), return_inverse=True)
    observed = column_floats(counted, "observed").astype(np.int64)
    key = np.stack([cohort, group, observed])
    strips, strip = np.unique(key, axis=1, return_inverse=True)
    part, n = column_floats(counted, "part").astype(np.int64), column_floats(counted, "n")
    users = np.zeros((strips.shape[1], _PARTS))
    users[strip, part] = n
    rest = np.bincount(strip, weights=n * column_floats(counted, "rest")) / users.sum(axis=1)
    totals = np.zeros((strips.shape[1], _PARTS, int(observed.max())))
    if brought.num_rows:
        of = np.stack(
            [
                np.searchsorted(cohorts, column_objects(brought, "cohort").astype(str)),
                np.searchsorted(groups, column_objects(brought, "grp").astype(str)),
                column_floats(brought, "observed").astype(np.int64),
            ]
        )
        place = {tuple(k): i for i, k in enumerate(strips.T.tolist())}
        row = np.array([place[tuple(k)] for k in of.T.tolist()])
        where = (
            row,
            column_floats(brought, "part").astype(np.int64),
            column_floats(brought, "age").astype(np.int64),
        )
        totals[where] = column_floats(brought, "value")
    triangle = Triangle(
        cohort=strips[0],
        group=strips[1],
        observed=strips[2],
        part_age=rest / age_days,
        users=users,
        totals=totals,
    )
    return CohortCounts(cohorts=tuple(cohorts.tolist()), groups=tuple(groups.tolist()), triangle=triangle)


def _group(
    ledger: Ledger, attribute: str | None, *, age_days: int, cutoff: int, told: ToldAttributes | None
) -> tuple[Sql, Sql]:
    """What names a user's group, and what to join for it. Raises ``UsageError`` (``curves.no_attribute``).

    What became known after the user's first age names no group: later ages would be cut by their own future.
    """
    if attribute is None:
        return sql("{n}", n=_ALL), sql("")
    if told is not None and attribute in told.names:
        rows = first_told_before(told, attribute, cutoff=cutoff)
        early = sql("b.{d} < first_day + {age}", d=name(TOLD_DAY), age=age_days)
        group = sql("coalesce(CASE WHEN {e} THEN b.{a} END, {n})", e=early, a=name(attribute), n=_NOBODY)
        return group, sql(" LEFT JOIN ({rows}) b USING (user_id)", rows=rows)
    known = tuple(dict.fromkeys([*(told.names if told is not None else ()), *first_attributes(ledger)]))
    if attribute not in known:
        raise UsageError(
            "curves.no_attribute",
            what=f"Nothing tells a '{attribute}' of few values of users; known of them: {', '.join(known) or 'nothing'}.",
            why="Cohorts can only be cut by what is known of a user from the first event, or the first row of a dated source of users, that gave it.",
            do="Name the column under keep in the settings of its source; a source of users needs changed_at beside.",
        )
    first, on = name(_FIRST + attribute), name(f"day {attribute}")
    group = sql(
        "coalesce(CASE WHEN {d} < {c} AND {d} < first_day + {age} THEN {a} END, {n})",
        d=on,
        c=cutoff,
        age=age_days,
        a=first,
        n=_NOBODY,
    )
    return group, sql("")
