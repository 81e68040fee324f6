"""Value by cohort and age from the ledger, carried on to any age, with intervals and what past forecasts were worth.

Users are cut into cohorts by the month or week of their first day, and by an attribute (a channel) where one is
named. Each user's ages are counted from his own first day and only whole ages that were seen count, so young
cohorts are short, not poor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger
from headwater.core.span import date_of
from headwater.engine.engine import Engine
from headwater.models.cohort_counts import (
    AGE_DAYS,
    Cohort,
    CohortCounts,
    cohorts_for,
    cohorts_of_users,
    count_cohorts,
    count_left_out,
)
from headwater.models.curve_results import CohortCurves, CohortTotal, GroupCurve
from headwater.models.model import Floats
from headwater.models.reach import beyond_log, require_reach
from headwater.numerics.curve_totals import (
    PastOrigin,
    Totals,
    blend,
    by_age,
    mape,
    past_origins,
    reconcile,
    shared_error,
    totals_ahead,
)
from headwater.numerics.curves import Curves, Triangle, fit_curves, project
from headwater.numerics.intervals import interval_of_total
from headwater.numerics.rfm import Ints, totals
from headwater.snapshots.attributes import ToldAttributes
from headwater.snapshots.build import require_inside

__all__ = ["CohortCurves", "CohortTotal", "GroupCurve", "cohort_curves", "places_of_users", "reconciled"]

_ORIGINS = 4


def cohort_curves(
    engine: Engine,
    ledger: Ledger,
    *,
    measure: str,
    by: Cohort | None = None,
    attribute: str | None = None,
    as_of: int | None = None,
    horizon_days: int = 90,
    level: float = 0.9,
    told: ToldAttributes | None = None,
) -> CohortCurves:
    """Curves of every cohort, and of every value of ``attribute`` within it.

    Parameters
    ----------
    measure
        A measure of the ledger, or ``"active_days"``.
    by
        Cohorts by month, ages of 30 days; or by week, ages of 7 days. Without it months where the log spans eight
        such ages after its left edge, else weeks.
    attribute
        An attribute, such as ``"channel"``; each user has the first value given, by a dated source of users where
        one tells it, else by the events.
    as_of
        The cutoff (an app day); the end of the log unless given. Nothing known later is read.
    told
        Attributes that sources of users tell (``read_attributes``).

    Raises
    ------
    DataError
        ``curves.nobody`` where nobody was seen for one whole age, ``curves.no_value`` where nothing was brought.
    UsageError
        ``snapshot.cutoff_outside`` for a cutoff outside the log, ``curves.cohorts`` for cohorts of another length,
        ``curves.no_attribute``, ``horizon.too_long``.
    """
    cutoff = ledger.end_day if as_of is None else as_of
    require_inside(ledger, (cutoff,), as_of=None)
    _require_length(by)
    require_reach(horizon_days, cutoff - ledger.first_day)
    by = cohorts_for(ledger, cutoff=cutoff) if by is None else by
    counts = count_cohorts(
        engine, ledger, measure=measure, by=by, attribute=attribute, cutoff=cutoff, told=told
    )
    triangle, age_days = counts.triangle, AGE_DAYS[by]
    horizon = horizon_days / age_days
    steps = max(1, round(horizon))
    unit = _units(triangle)[1]
    ages = int(triangle.observed.max()) + steps + 1
    curves = fit_curves(triangle, ages=ages)
    projection = project(curves, triangle=triangle)
    coming = totals_ahead(curves, triangle=triangle, projection=projection, horizon=horizon, by=unit)
    origins = list(past_origins(triangle, horizon=steps, origins=_ORIGINS, by=unit))
    shared, windows = shared_error(origins)
    points, whole = _past_errors(origins)
    return CohortCurves(
        measure=measure,
        unit=_unit_of(ledger, measure),
        by=by,
        attribute=attribute,
        cutoff=cutoff,
        age_days=age_days,
        horizon_days=horizon_days,
        level=level,
        cohorts=_cohort_totals(counts, unit=unit, coming=coming, shared=shared, windows=windows, level=level),
        curves=_group_curves(counts, curves, shared=shared, windows=windows, level=level),
        mape_points=points,
        mape_totals=whole,
        total_error=_total_error(origins),
        shared_error=shared,
        n_origins=len(origins),
        findings=(
            *beyond_log(horizon_days, cutoff - ledger.first_day),
            *_findings(curves, origins, age_days=age_days),
            *_left_out(engine, ledger, by=by, cutoff=cutoff),
        ),
    )


def _require_length(by: str | None) -> None:
    if by is not None and by not in AGE_DAYS:
        raise UsageError(
            "curves.cohorts",
            what=f"There are no cohorts by '{by}'.",
            why="Ages are counted in whole weeks or in whole months of 30 days.",
            do="Say month or week, or leave it to the length of the log.",
        )


def places_of_users(
    engine: Engine,
    ledger: Ledger,
    curves: CohortCurves,
    *,
    user_ids: Sequence[str] | pa.Array | pa.ChunkedArray,
    told: ToldAttributes | None = None,
) -> Ints:
    """For each user the position of his cohort in ``curves.cohorts``, ``(n_users,)``; -1 for users in none."""
    known = cohorts_of_users(
        engine, ledger, by=curves.by, attribute=curves.attribute, cutoff=curves.cutoff, told=told
    )
    names = list(dict.fromkeys(c.cohort for c in curves.cohorts))
    groups = list(curves.groups)
    position = np.full((len(names), len(groups)), -1, dtype=np.int64)
    cohort, group = _index(known.column("cohort"), names), _index(known.column("grp"), groups)
    position[[names.index(c.cohort) for c in curves.cohorts], [groups.index(c.group) for c in curves.cohorts]] = np.arange(len(curves.cohorts))  # fmt: skip
    of_known = np.append(position[cohort, group], -1)
    return of_known[_index(user_ids, known.column("user_id"))]


def _index(
    values: Sequence[str] | pa.Array | pa.ChunkedArray, among: Sequence[str] | pa.ChunkedArray
) -> Ints:
    """Where each value stands among others; -1 where it does not."""
    found = pc.index_in(_texts(values), value_set=_texts(among))
    return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _texts(values: Sequence[str] | pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return pc.cast(values, pa.large_string()) if isinstance(values, pa.Array) else pa.array(values, pa.large_string())  # fmt: skip


def reconciled(
    curves: CohortCurves, *, mean: Floats, cohort: Ints, users_error: float
) -> tuple[Floats, Floats]:
    """Users' forecasts over the same horizon, scaled so that they add up to their cohort's total.

    Parameters
    ----------
    mean
        Forecast of each user, ``(n_users,)``.
    cohort
        For each user the position of his cohort (``places_of_users``); -1 for users in none, who are left as they are.
    users_error
        Root mean squared relative error of the users' cohort totals on past origins; the curves' own is known.

    Returns
    -------
    mean, sums
        The users' forecasts made to add up, and the cohorts' totals they add up to: both forecasts weighed by
        their past errors.
    """
    inside = cohort >= 0
    size = len(curves.cohorts)
    summed = totals(cohort[inside], mean[inside], size=size)
    own = np.array([c.expected for c in curves.cohorts])
    own_error = float("inf") if curves.total_error is None else curves.total_error
    sums = blend(own, curve_error=own_error, users=summed, users_error=users_error)
    made = mean.copy()
    made[inside] = reconcile(mean[inside], by=cohort[inside], sums=sums)
    return made, sums


def _cohort_totals(
    counts: CohortCounts, *, unit: Ints, coming: Totals, shared: float, windows: float, level: float
) -> tuple[CohortTotal, ...]:
    """Each cohort and group, in order; an interval does not go below zero."""
    triangle = counts.triangle
    users = totals(unit, triangle.n)
    so_far = totals(unit, triangle.brought.sum(axis=1)) / users
    seen = totals(unit, triangle.n * triangle.observed) / users
    made: list[CohortTotal] = []
    for i, (cohort, group) in enumerate(_units(triangle)[0]):
        expected, variance = float(coming.expected[i]), float(coming.variance[i])
        low, high = interval_of_total(expected, variance, shared, max(1.0, windows), level)
        made.append(
            CohortTotal(
                cohort=counts.cohorts[cohort],
                group=counts.groups[group],
                n_users=round(users[i]),
                seen_ages=round(seen[i]),
                so_far=float(so_far[i]),
                expected=expected,
                low=max(0.0, low),
                high=high,
            )
        )
    return tuple(made)


def _group_curves(
    counts: CohortCounts, curves: Curves, *, shared: float, windows: float, level: float
) -> tuple[GroupCurve, ...]:
    """The curve of each group, with bounds of its mean: what all cohorts may share is open where nobody was seen."""
    triangle = counts.triangle
    mean, variance, unseen = by_age(curves)
    users = totals(triangle.group, triangle.n)
    made: list[GroupCurve] = []
    for g, group in enumerate(counts.groups):
        bounds = [
            interval_of_total(m, v, shared * u / m if m > 0 else 0.0, max(1.0, windows), level)
            for m, v, u in zip(mean[g].tolist(), variance[g].tolist(), unseen[g].tolist(), strict=True)
        ]
        made.append(
            GroupCurve(
                group=group,
                n_users=round(users[g]),
                seen_ages=int(triangle.observed[triangle.group == g].max()),
                value=tuple(mean[g].tolist()),
                low=tuple(max(0.0, low) for low, _ in bounds),
                high=tuple(high for _, high in bounds),
            )
        )
    return tuple(made)


def _units(triangle: Triangle) -> tuple[list[tuple[int, int]], Ints]:
    """Cohort and group of each unit, and the unit of each strip."""
    pairs = np.stack([triangle.cohort, triangle.group])
    units, unit = np.unique(pairs, axis=1, return_inverse=True)
    return [(c, g) for c, g in units.T.tolist()], unit.astype(np.int64)


def _past_errors(origins: list[PastOrigin]) -> tuple[float | None, float | None]:
    """Both percentage errors over the cohorts of all past origins; None where none of them brought anything."""
    if not origins:
        return None, None
    found = mape(np.concatenate([o.expected for o in origins]), np.concatenate([o.actual for o in origins]))
    points, whole = (None if np.isnan(f) else f for f in found)
    return points, whole


def _total_error(origins: list[PastOrigin]) -> float | None:
    """Root mean squared relative error of cohorts' totals on past origins, each weighed by its size."""
    if not origins:
        return None
    expected = np.concatenate([o.expected.sum(axis=1) for o in origins])
    actual = np.concatenate([o.actual.sum(axis=1) for o in origins])
    size = np.maximum(expected, 0.0)
    relative = np.divide(actual, expected, out=np.ones_like(actual), where=expected > 0) - 1
    return float(np.sqrt((size * relative**2).sum() / max(float(size.sum()), 1e-300)))


def _unit_of(ledger: Ledger, measure: str) -> str:
    return "days" if measure == "active_days" else ledger.measure(measure).unit


def _left_out(engine: Engine, ledger: Ledger, *, by: Cohort, cutoff: int) -> list[Finding]:
    """Who is in no cohort, by day first seen: those of the left edge, and those not yet one age old."""
    n_edge, n_young = count_left_out(engine, ledger, by=by, cutoff=cutoff)
    edge, age = ledger.first_day + ledger.left_edge_days, AGE_DAYS[by]
    parts = []
    if n_edge:
        parts.append(
            f"{_users(n_edge)} first seen before {date_of(edge)} (the first {ledger.left_edge_days} days of the log), so the first cohort begins on that day"
        )
    if n_young:
        parts.append(f"{_users(n_young)} first seen after {date_of(cutoff - age)}, not yet {age} days old")
    if not parts:
        return []
    return [
        Finding(
            code="curves.left_out",
            severity=Severity.NOTE,
            what=f"In no cohort are {'; and '.join(parts)}.",
            why="Users seen at the left edge may be older customers, whose first days the log does not show; the youngest have no whole age to show. The curves and their totals are of the others.",
            do="Load earlier history to have the first cohorts too; the youngest join when they are old enough.",
            numbers={"n_edge": n_edge, "n_young": n_young},
        )
    ]


def _users(n: int) -> str:
    return f"{n:,} {'user' if n == 1 else 'users'}"


def _findings(curves: Curves, origins: list[PastOrigin], *, age_days: int) -> list[Finding]:
    found: list[Finding] = []
    if not origins:
        found.append(
            Finding(
                code="curves.untried",
                severity=Severity.WARN,
                what="No cohort was old enough for a forecast over this horizon to be tried in the past.",
                why="The intervals hold chance only; an error that all cohorts share is not in them.",
                do="Use a shorter horizon or a longer log before you rely on them.",
            )
        )
    if curves.shape.size > curves.n_seen:
        ages = curves.shape.size - curves.n_seen
        found.append(
            Finding(
                code="curves.tail",
                severity=Severity.NOTE,
                what=f"The last {ages} ages of {age_days} days lie beyond what cohorts were seen for; their shape is that of a {curves.tail}.",
                why="Nobody has been that old yet.",
                do="Decide by ages that were seen.",
                numbers={"ages": ages},
            )
        )
    return found
