"""Curves of cohorts and channels as steps of a run: the curves, and the users' forecasts made to add up to them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path

import numpy as np
import pyarrow as pa

from headwater.app.largest import largest_first
from headwater.app.steps import ledger_key
from headwater.app.study import ForecastStep, Study
from headwater.core.block import Field, Form, Grid
from headwater.core.errors import UsageError
from headwater.core.ledger import Task
from headwater.core.span import date_of
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.engine.arrays import column_floats
from headwater.engine.engine import Engine
from headwater.evaluation.backtest import Backtest
from headwater.models.cohort_counts import Cohort
from headwater.models.cohort_curves import CohortCurves, cohort_curves, places_of_users, reconciled
from headwater.snapshots.attributes import first_attributes

__all__ = [
    "AddedUp",
    "CohortSum",
    "added_up",
    "added_up_grids",
    "attributes_of",
    "curves_of",
    "require_alike",
    "users_error",
]

_MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSum:
    """Of one cohort and group: users, their forecasts' sum, the curve's total, and the total both were brought to."""

    cohort: str
    group: str
    n_users: int
    users: float
    curve: float
    agreed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedUp:
    """Users' forecasts made to add up to their cohorts' totals.

    ``rows`` has ``user_id, cohort, group, forecast, reconciled``; users in no cohort keep their forecast.
    ``users_error`` is the relative error of the model's totals of such cohorts on past origins, None where not tested.
    """

    model: str
    unit: str
    rows: Table
    sums: tuple[CohortSum, ...]
    users_error: float | None


def attributes_of(study: Study) -> tuple[str, ...]:
    """By what users can be told apart: what dated sources of users tell, and the first values of kept columns."""
    told = study.told()
    return tuple(dict.fromkeys([*(told.names if told else ()), *first_attributes(study.ledger())]))


def curves_of(
    study: Study,
    *,
    measure: str,
    by: str | None = None,
    cohorts: Cohort | None = None,
    horizon_days: int = 90,
    as_of: int | None = None,
    level: float = 0.9,
) -> CohortCurves:
    """The curves of a measure, made once. Raises what ``cohort_curves`` raises."""
    ledger, told = study.ledger(), study.told()
    key = {
        "ledger": ledger_key(ledger),
        "told": None if told is None else told.rows.fingerprint,
        "measure": measure,
        "by": by,
        "cohorts": cohorts,
        "horizon_days": horizon_days,
        "as_of": as_of,
        "level": level,
    }
    return study.step(
        "curves",
        key,
        CohortCurves,
        lambda _: cohort_curves(
            study.engine,
            ledger,
            measure=measure,
            by=cohorts,
            attribute=by,
            as_of=as_of,
            horizon_days=horizon_days,
            level=level,
            told=told,
        ),
        title=f"drawing curves of {measure}{f' by {by}' if by else ''}",
    )


def added_up(study: Study, curves: CohortCurves, forecast: ForecastStep, *, proof: Backtest) -> AddedUp:
    """The forecasts of a model over the curves' horizon, made to add up to the cohorts' totals. Raises as ``require_alike``."""
    require_alike(curves, forecast.task, cutoff=forecast.cutoff)
    error = users_error(proof, forecast.model, curves)
    key = {
        "curves": curves,
        "forecast": forecast.rows.fingerprint,
        "users": study.ledger().users.fingerprint,
        "error": error,
    }
    return study.step(
        "added_up",
        key,
        AddedUp,
        lambda folder: _added_up(study, curves, forecast, error=error, folder=folder),
    )


def require_alike(curves: CohortCurves, task: Task, *, cutoff: int) -> None:
    """Raise ``UsageError`` (``curves.unlike``) where forecasts are not of the curves' measure, horizon and cutoff."""
    if (task.measure, task.horizon_days, cutoff) == (curves.measure, curves.horizon_days, curves.cutoff):
        return
    raise UsageError(
        "curves.unlike",
        what=f"The curves are of {curves.measure} over {curves.horizon_days} days from {date_of(curves.cutoff)}, the forecast is of {task.measure} over {task.horizon_days} days from {date_of(cutoff)}.",
        why="Users can only be made to add up to a total of the same thing.",
        do="Draw the curves over the forecast's horizon, as of its cutoff.",
    )


def added_up_grids(made: AddedUp, curves: CohortCurves, *, engine: Engine) -> tuple[Grid, Grid]:
    """The totals of each cohort by curve, by users and agreed; and every user, streamed."""
    unit, days = made.unit, curves.horizon_days
    tested = "never tested by cohort" if made.users_error is None else f"off by {made.users_error:.1%}"
    curve = "never tried" if curves.total_error is None else f"off by {curves.total_error:.1%}"
    note = (
        f"Next {days} days. On past cohorts totals by {made.model} were {tested}, totals by curve {curve} (root mean square, "
        "by size); each is weighed by one over its square, and users are scaled within their cohort to the total agreed."
    )
    heads = (Field(name="cohort", label="First seen"), Field(name="group", label=curves.attribute or "Group"))
    fields = (
        *heads,
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="users", label="Sum of users' forecasts", form=Form.NUMBER, unit=unit),
        Field(name="curve", label="By the curve", form=Form.NUMBER, unit=unit),
        Field(name="agreed", label="Agreed", form=Form.NUMBER, unit=unit),
    )
    rows = [(s.cohort, s.group, s.n_users, s.users, s.curve, s.agreed) for s in made.sums]
    sums = Grid.of(
        f"added_up_{curves.name}", "Cohorts and their users made to agree", fields, rows, note=note
    )
    users = Grid(
        name=f"added_up_users_{curves.name}",
        title="Every customer's forecast, made to add up to the cohort",
        fields=(
            Field(name="user_id", label="User", form=Form.ID),
            *heads,
            Field(name="forecast", label=f"Next {days} days", form=Form.NUMBER, unit=unit, note=made.model),
            Field(name="reconciled", label="Made to add up", form=Form.NUMBER, unit=unit),
        ),
        n_rows=made.rows.n_rows,
        stream=lambda: largest_first(made.rows, by="reconciled", engine=engine),
        preview=20,
    )
    return sums, users


def _added_up(
    study: Study, curves: CohortCurves, forecast: ForecastStep, *, error: float | None, folder: Path
) -> AddedUp:
    rows = forecast.rows.to_arrow(("user_id", "forecast"))
    users, mean = rows.column("user_id"), column_floats(rows, "forecast")
    place = places_of_users(study.engine, study.ledger(), curves, user_ids=users, told=study.told())
    made, agreed = reconciled(curves, mean=mean, cohort=place, users_error=inf if error is None else error)
    inside = place >= 0
    size = len(curves.cohorts)
    summed = np.bincount(place[inside], weights=mean[inside], minlength=size)
    n_users = np.bincount(place[inside], minlength=size)
    at = pa.array(place, mask=~inside)
    table = pa.table(
        {
            "user_id": users,
            "cohort": pa.array([c.cohort for c in curves.cohorts], pa.string()).take(at),
            "group": pa.array([c.group for c in curves.cohorts], pa.string()).take(at),
            "forecast": mean,
            "reconciled": made,
        }
    )
    return AddedUp(
        model=forecast.model,
        unit=curves.unit,
        rows=_written(study, table, unit=curves.unit, folder=folder),
        sums=tuple(
            CohortSum(
                cohort=c.cohort,
                group=c.group,
                n_users=int(n_users[i]),
                users=float(summed[i]),
                curve=c.expected,
                agreed=float(agreed[i]),
            )
            for i, c in enumerate(curves.cohorts)
        ),
        users_error=error,
    )


def _written(study: Study, table: pa.Table, *, unit: str, folder: Path) -> Table:
    columns = (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="cohort", kind=Kind.TEXT, about="when users of the cohort were first seen; empty for users in none"),
        Column(name="group", kind=Kind.TEXT),
        Column(name="forecast", kind=Kind.NUMBER, unit=unit, about="the model's own"),
        Column(name="reconciled", kind=Kind.NUMBER, unit=unit, about="made to add up to the cohort's total"),
    )  # fmt: skip
    return study.keep(table, columns, folder, table="added_up")


def users_error(proof: Backtest, model: str, curves: CohortCurves) -> float | None:
    """Root mean squared relative error of a model's past totals by cohort, each weighed by its size.

    None where they were never tested by these cohorts: past errors are by calendar month, of all groups together.
    """
    if curves.by != _MONTH or curves.attribute is not None:
        return None
    fits = [f for f in proof.group_fits if f.model == model and f.kind == _MONTH and f.predicted > 0]
    size = sum(f.predicted for f in fits)
    if size <= 0:
        return None
    return sqrt(sum(f.predicted * (f.actual / f.predicted - 1) ** 2 for f in fits) / size)
