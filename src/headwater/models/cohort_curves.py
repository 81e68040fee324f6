"""Value by cohort and age from the ledger, carried on to any age, with intervals and what past forecasts were worth.

Users are cut into cohorts by the month or week of their first day, and by an attribute (a channel) where one is
named. Each user's ages are counted from his own first day and only whole ages that were seen count, so young
cohorts are short, not poor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headwater.core.block import Block, Chart, ChartKind, Field, Form, Grid, Prose, Role, callouts
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger
from headwater.core.show import Shown
from headwater.engine.engine import Engine
from headwater.models.cohort_counts import AGE_DAYS, Cohort, CohortCounts, cohorts_of_users, count_cohorts
from headwater.models.model import Floats
from headwater.numerics.curve_totals import (
    PastOrigin,
    Totals,
    blend,
    mape,
    past_origins,
    reconcile,
    shared_error,
    totals_ahead,
)
from headwater.numerics.curves import Curves, Triangle, fit_curves, project
from headwater.numerics.intervals import interval_of_total
from headwater.numerics.rfm import Ints, totals

__all__ = ["CohortCurves", "CohortTotal", "cohort_curves", "places_of_users", "reconciled"]

_ORIGINS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortTotal:
    """One cohort (of one group): per user so far, and the total to come over the horizon with its interval."""

    cohort: str
    group: str
    n_users: int
    seen_ages: int
    so_far: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CohortCurves(Shown):
    """What cohorts brought by age and are to bring.

    Attributes
    ----------
    cohorts
        One entry for each cohort and group, in order.
    value_by_age
        Expected value of a user of each group up to each age, cumulative, ``(n_groups, n_ages)``.
    mape_points, mape_totals
        Errors of past forecasts of cohorts, as shares; NaN where the log holds no past origin.
    total_error
        Root mean squared relative error of cohorts' totals, each weighed by its size; infinite where never tried.
    shared_error
        The relative error that all cohorts of an origin shared.
    """

    measure: str
    unit: str
    by: Cohort
    attribute: str | None
    cutoff: int
    age_days: int
    horizon_days: int
    level: float
    groups: tuple[str, ...]
    cohorts: tuple[CohortTotal, ...]
    value_by_age: Floats
    shape: Curves
    mape_points: float
    mape_totals: float
    total_error: float
    shared_error: float
    n_origins: int
    findings: tuple[Finding, ...]

    def blocks(self) -> tuple[Block, ...]:
        """How well past forecasts did, the cohorts, and the curves."""
        past = (
            f"At {self.n_origins} past origins, cohorts' totals over {self.horizon_days} days were off by {self.mape_totals:.1%} "
            f"on average, single points of their curves by {self.mape_points:.1%}."
            if self.n_origins
            else "The log holds no past origin on which these forecasts could be tried."
        )
        return (Prose(text=past), self._grid(), self._chart(), *callouts(self.findings))

    def _grid(self) -> Grid:
        fields = (
            Field(name="cohort", label="First seen"),
            Field(name="group", label="Group"),
            Field(name="n_users", label="Users", form=Form.INTEGER),
            Field(name="seen_ages", label=f"Ages of {self.age_days} days seen", form=Form.INTEGER),
            Field(name="so_far", label="So far, per user", form=Form.NUMBER, unit=self.unit),
            Field(name="expected", label=f"Next {self.horizon_days} days", form=Form.NUMBER, unit=self.unit),
            Field(
                name="low", label="Low", form=Form.NUMBER, unit=self.unit, note=f"{self.level:.0%} interval"
            ),
            Field(name="high", label="High", form=Form.NUMBER, unit=self.unit),
        )
        rows = [
            (c.cohort, c.group, c.n_users, c.seen_ages, c.so_far, c.expected, c.low, c.high)
            for c in self.cohorts
        ]
        return Grid.of(f"cohort_curves_{self.measure}", "Cohorts, so far and to come", fields, rows)

    def _chart(self) -> Chart:
        rows = [
            ((age + 1) * self.age_days, float(value), group)
            for group, curve in zip(self.groups, self.value_by_age, strict=True)
            for age, value in enumerate(curve.tolist())
        ]
        best = self.groups[int(np.argmax(self.value_by_age[:, -1]))]
        return Chart(
            name=f"value_by_age_{self.measure}",
            title="Value of a user by age",
            kind=ChartKind.LINE,
            fields=(
                Field(name="age", label="Age, days", form=Form.INTEGER),
                Field(name="value", label="Value so far", form=Form.NUMBER, unit=self.unit),
                Field(name="group", label="Group"),
            ),
            rows=tuple(rows),
            roles=((Role.X, "age"), (Role.Y, "value"), (Role.SERIES, "group")),
            finding=f"A user is worth most by {rows[len(self.value_by_age[0]) - 1][0]} days in the group {best}.",
        )


def cohort_curves(
    engine: Engine,
    ledger: Ledger,
    *,
    measure: str,
    by: Cohort = "month",
    attribute: str | None = None,
    as_of: int | None = None,
    horizon_days: int = 90,
    level: float = 0.9,
) -> CohortCurves:
    """Curves of every cohort, and of every value of ``attribute`` within it.

    Parameters
    ----------
    measure
        A measure of the ledger, or ``"active_days"``.
    by
        Cohorts by month, ages of 30 days; or by week, ages of 7 days.
    attribute
        A kept column of the events, such as ``"channel"``; each user has the first value given.
    as_of
        The cutoff (an app day); the end of the log unless given. Nothing known later is read.

    Raises
    ------
    DataError
        ``curves.nobody`` where nobody was seen for one whole age, ``curves.no_value`` where nothing was brought.
    """
    cutoff = ledger.end_day if as_of is None else as_of
    counts = count_cohorts(engine, ledger, measure=measure, by=by, attribute=attribute, cutoff=cutoff)
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
        groups=counts.groups,
        cohorts=_cohort_totals(counts, unit=unit, coming=coming, shared=shared, windows=windows, level=level),
        value_by_age=curves.group_curve().cumsum(axis=1),
        shape=curves,
        mape_points=points,
        mape_totals=whole,
        total_error=_total_error(origins),
        shared_error=shared,
        n_origins=len(origins),
        findings=tuple(_findings(curves, origins, age_days=age_days)),
    )


def places_of_users(engine: Engine, ledger: Ledger, curves: CohortCurves, *, user_ids: Sequence[str]) -> Ints:
    """For each user the position of his cohort in ``curves.cohorts``, ``(n_users,)``; -1 for users in none."""
    known = cohorts_of_users(engine, ledger, by=curves.by, attribute=curves.attribute, cutoff=curves.cutoff)
    position = {(c.cohort, c.group): i for i, c in enumerate(curves.cohorts)}
    pairs = zip(known.column("cohort").to_pylist(), known.column("grp").to_pylist(), strict=True)
    place = dict(zip(known.column("user_id").to_pylist(), (position[p] for p in pairs), strict=True))
    return np.array([place.get(user, -1) for user in user_ids], dtype=np.int64)


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
    sums = blend(own, curve_error=curves.total_error, users=summed, users_error=users_error)
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


def _units(triangle: Triangle) -> tuple[list[tuple[int, int]], Ints]:
    """Cohort and group of each unit, and the unit of each strip."""
    pairs = np.stack([triangle.cohort, triangle.group])
    units, unit = np.unique(pairs, axis=1, return_inverse=True)
    return [(c, g) for c, g in units.T.tolist()], unit.astype(np.int64)


def _past_errors(origins: list[PastOrigin]) -> tuple[float, float]:
    """Both percentage errors over the cohorts of all past origins."""
    if not origins:
        return float("nan"), float("nan")
    return mape(np.concatenate([o.expected for o in origins]), np.concatenate([o.actual for o in origins]))


def _total_error(origins: list[PastOrigin]) -> float:
    """Root mean squared relative error of cohorts' totals on past origins, each weighed by its size."""
    if not origins:
        return float("inf")
    expected = np.concatenate([o.expected.sum(axis=1) for o in origins])
    actual = np.concatenate([o.actual.sum(axis=1) for o in origins])
    size = np.maximum(expected, 0.0)
    relative = np.divide(actual, expected, out=np.ones_like(actual), where=expected > 0) - 1
    return float(np.sqrt((size * relative**2).sum() / max(float(size.sum()), 1e-300)))


def _unit_of(ledger: Ledger, measure: str) -> str:
    return "days" if measure == "active_days" else ledger.measure(measure).unit


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
