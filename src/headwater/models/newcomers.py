"""Newcomers: what users will be worth over their first days, from the first hour on, anew as they grow older.

A model for each age, fitted on a snapshot at that age, forecasts what a user adds from then on; a user is
forecast by the oldest age reached. What was known at the age is added, so a forecast is of the whole window.
Users well beyond the oldest age are left out: nothing they did since would be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.ledger import Snapshot, Task
from headwater.engine.arrays import column_floats, column_objects, read_arrow
from headwater.engine.engine import Engine
from headwater.learners.boosting import predicting_with
from headwater.models.forecasting import FittedModel, fit_model, no_interval, restore_model
from headwater.models.model import Floats, State, Training
from headwater.numerics.forecast import Forecast
from headwater.snapshots.rows import mature_rows, rows_at

__all__ = [
    "NewcomerForecasts",
    "Newcomers",
    "PastCohort",
    "fit_newcomers",
    "past_cohort",
    "restore_newcomers",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewcomerForecasts:
    """Users whose window has not ended: when they began, what was known at an age, what the whole window will be.

    All of shape (n_users,); ``value`` and ``so_far`` in the target's unit. ``at_hours`` is the age they are
    forecast as of, at which ``so_far`` was known; they may be older by up to a day, or by the time to the next age.
    ``n_beyond`` is how many were left out as more than a day beyond the oldest age.
    """

    user_ids: NDArray[np.object_]
    first_day: NDArray[np.int64]
    at_hours: NDArray[np.int64]
    so_far: Floats
    value: Forecast
    n_beyond: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCohort:
    """Users of the latest cohort whose window has ended: what a model says of the whole window, and what came.

    ``so_far``, ``predicted`` and ``actual`` have shape (n_users,), in the target's unit. ``held_out``: each was
    predicted without having been learned from.
    """

    cutoff: int
    so_far: Floats
    predicted: Floats
    actual: Floats
    held_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomers:
    """Fitted models by age in hours, the youngest first."""

    task: Task
    models: tuple[tuple[int, FittedModel], ...]

    def forecast(
        self, snapshots: Mapping[int, Snapshot], *, rng: np.random.Generator, beyond: bool = False
    ) -> NewcomerForecasts:
        """Forecast users whose window has not ended, by the oldest age reached.

        ``snapshots`` are those at the ages of the models, by hours, all of one ledger and day. Users more than a
        day beyond the oldest age are left out; ``beyond`` forecasts them too, as of that age: right in total, but
        blind to what each has done since. Raises ``DataError`` (``forecast.nobody``) where there is no such user.
        """
        parts: list[NewcomerForecasts] = []
        oldest, _ = self.models[-1]
        older = pa.array([], pa.string()) if beyond else _beyond(snapshots[oldest], self.task, hours=oldest)
        taken = older
        for hours, model in reversed(self.models):
            for cutoff in _unfinished(snapshots[hours], self.task):
                part, users = _at(model, snapshots[hours], cutoff, hours=hours, rng=rng, taken=taken)
                parts.append(part)
                taken = pa.concat_arrays([taken, users])
        if len(taken) == len(older):
            raise DataError(
                "forecast.nobody",
                what=f"No user's first {self.task.horizon_days} days are open, but for {len(older):,} users more than a day older than {oldest} hours.",
                why="There is no newcomer to forecast.",
                do="Use a later day or a longer horizon, or forecast the older users at a cutoff.",
            )
        return _joined(parts, n_beyond=len(older))

    def state(self) -> State:
        """Numbers and text from which ``restore_newcomers`` makes the same models."""
        return {"models": [{"hours": hours, "model": model.state()} for hours, model in self.models]}


def fit_newcomers(
    name: str,
    snapshots: Mapping[int, Snapshot],
    *,
    task: Task,
    engine: Engine,
    rng: np.random.Generator,
    threads: int = 2,
) -> Newcomers:
    """Fit a model of the shelf on each snapshot at an age (by hours).

    A model that reads the snapshot's own features will do, and ``cohort_mean``; those that read occasions
    by day have no columns at an age. Raises as ``fit_model`` does.
    """
    ages = sorted(snapshots)
    fitted = [
        fit_model(name, Training(snapshot=snapshots[h], task=task, engine=engine, rng=own, threads=threads))
        for h, own in zip(ages, rng.spawn(len(ages)), strict=True)
    ]
    return Newcomers(task=task, models=tuple(zip(ages, fitted, strict=True)))


def past_cohort(model: FittedModel, snapshot: Snapshot) -> PastCohort:
    """How a model that was just fitted on a snapshot at an age did on its latest cohort whose window has ended.

    Raises ``DataError`` (``forecast.no_interval``) where too few users stand in it to say.
    """
    if model.errors is None:
        raise no_interval(model.name, model.task)
    predictor, task = model.predictor, model.task
    known = f"{task.value}_so_far"
    rows = mature_rows(snapshot, task.target, (*predictor.columns, known))
    cutoff = int(pc.max(rows.column("cutoff")).as_py())
    rows = rows.filter(pc.equal(rows.column("cutoff"), cutoff))
    so_far, held = column_floats(rows, known), predictor.held_out
    with predicting_with(model.threads):
        rest = predictor.predict(rows) if held is None else held.predicted
    return PastCohort(
        cutoff=cutoff,
        so_far=so_far,
        predicted=so_far + rest,
        actual=so_far + column_floats(rows, task.target),
        held_out=held is not None,
    )


def restore_newcomers(state: State) -> Newcomers:
    """The models of a saved state."""
    saved = cast("Sequence[Mapping[str, object]]", state["models"])
    models = [(int(cast("int", s["hours"])), restore_model(cast("State", s["model"]))) for s in saved]
    return Newcomers(task=models[0][1].task, models=tuple(models))


def _unfinished(snapshot: Snapshot, task: Task) -> list[int]:
    """Cohorts whose window has not ended, by their cutoffs."""
    rows = read_arrow(snapshot.rows, ["cutoff", task.target])
    open_ones = rows.filter(pc.is_null(rows.column(task.target))).column("cutoff")
    return sorted(int(c) for c in pc.unique(open_ones).to_pylist())


def _beyond(snapshot: Snapshot, task: Task, *, hours: int) -> pa.Array:
    """Users whose window has not ended and who passed the age more than a day before the end of the log."""
    rows = read_arrow(snapshot.rows, ["user_id", "first_day", task.target])
    last = snapshot.end_day - ceil(hours / 24) - 1
    old = pc.less(rows.column("first_day").cast(pa.int64()), last)
    open_ones = pc.is_null(rows.column(task.target))
    return rows.filter(pc.and_(old, open_ones)).column("user_id").combine_chunks().cast(pa.string())


def _at(
    model: FittedModel,
    snapshot: Snapshot,
    cutoff: int,
    *,
    hours: int,
    rng: np.random.Generator,
    taken: pa.Array,
) -> tuple[NewcomerForecasts, pa.Array]:
    """The users of a cohort at an age, without those already forecast at an older one."""
    known = f"{model.task.value}_so_far"
    rows = rows_at(snapshot, cutoff, ("user_id", "first_day", known))
    rest = model.forecast(snapshot, cutoff=cutoff, rng=rng)
    new = pc.invert(pc.is_in(rows.column("user_id"), value_set=taken))
    kept, mask = rows.filter(new), np.asarray(new.to_numpy(), dtype=bool)
    so_far = column_floats(kept, known)
    part = NewcomerForecasts(
        user_ids=column_objects(kept, "user_id"),
        first_day=column_floats(kept, "first_day").astype(np.int64),
        at_hours=np.full(so_far.size, hours, dtype=np.int64),
        so_far=so_far,
        value=Forecast(
            mean=so_far + rest.mean[mask],
            low=so_far + rest.low[mask],
            high=so_far + rest.high[mask],
            variance=rest.variance[mask],
            level=rest.level,
            method=rest.method,
        ),
        n_beyond=0,
    )
    return part, kept.column("user_id").combine_chunks().cast(pa.string())


def _joined(parts: Sequence[NewcomerForecasts], *, n_beyond: int) -> NewcomerForecasts:
    first = parts[0].value
    return NewcomerForecasts(
        user_ids=np.concatenate([p.user_ids for p in parts]),
        first_day=np.concatenate([p.first_day for p in parts]),
        at_hours=np.concatenate([p.at_hours for p in parts]),
        so_far=np.concatenate([p.so_far for p in parts]),
        value=Forecast(
            mean=np.concatenate([p.value.mean for p in parts]),
            low=np.concatenate([p.value.low for p in parts]),
            high=np.concatenate([p.value.high for p in parts]),
            variance=np.concatenate([p.value.variance for p in parts]),
            level=first.level,
            method=first.method,
        ),
        n_beyond=n_beyond,
    )
