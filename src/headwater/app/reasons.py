"""The road's side ways in Python: why forecasts are what they are, what changed, and which settings fit better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from headwater.app.plan import Job, task_of
from headwater.app.road import day_given, study_of
from headwater.app.tuned import Tuned, tune_model
from headwater.core.errors import UsageError
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.span import as_days, date_of
from headwater.learners.boosting import predicting_with
from headwater.models.changes import Change, what_changed
from headwater.models.drivers import Drivers, UserDrivers, drivers_of
from headwater.models.drivers import user_drivers as drivers_of_users
from headwater.models.forecasting import FittedModel

__all__ = ["changes", "drivers", "tune", "user_drivers"]


def drivers(model: FittedModel, snapshot: Snapshot, *, cutoff: str | int | None = None) -> Drivers:
    """The columns a model goes by for the users of a cutoff (the latest, unless named), the weightiest first.

    Raises ``UsageError`` (``drivers.not_explained``) where neither the model nor a member of it is boosted,
    ``drivers.no_cutoff`` where the snapshot has no such cutoff; all here raise that one.
    """
    with predicting_with(model.threads):
        return drivers_of(model.predictor, snapshot, cutoff=_cutoff(snapshot, cutoff), called=model.name)


def user_drivers(
    model: FittedModel, snapshot: Snapshot, *, users: Sequence[str], cutoff: str | int | None = None
) -> tuple[UserDrivers, ...]:
    """Why some users' forecasts are what they are: what all share, times a factor of each column.

    Raises ``UsageError`` (``drivers.not_explained``, ``drivers.no_users``, ``drivers.nobody``).
    """
    day = _cutoff(snapshot, cutoff)
    return drivers_of_users(
        model.predictor, snapshot, cutoff=day, users=users, unit=model.task.unit, called=model.name
    )


def changes(
    model: FittedModel,
    snapshot: Snapshot,
    *,
    earlier: str | int,
    later: str | int | None = None,
    group: Mapping[str, str] | None = None,
) -> Change:
    """What moved a group's forecast between two cutoffs of a snapshot, by one model, to the sum.

    ``group`` maps text columns to the value its users have. Raises ``UsageError`` (``drivers.nobody``, ``drivers.no_column``).
    """
    with predicting_with(model.threads):
        return what_changed(
            model.predictor,
            snapshot,
            earlier=_cutoff(snapshot, earlier),
            later=_cutoff(snapshot, later),
            group=group,
            unit=model.task.unit,
        )


def tune(
    model: str,
    ledger: Ledger,
    *,
    target: str,
    horizon: str | timedelta,
    seconds: float | None = 300.0,
    trials: int | None = None,
    origins: int = 3,
    every: str | timedelta = "4w",
    occasions: str | None = None,
) -> Tuned:
    """Search a model's settings on past origins only; ``tuned.tuning.settings`` are for ``fit``, ``tuned.lines`` for ``headwater.toml``.

    Raises ``UsageError`` (``tune.no_settings``, ``extra.missing``), ``DataError`` (``tune.no_past``).
    """
    study = study_of(ledger.days)
    task = task_of(ledger, target, as_days(horizon), occasions=occasions)
    job = Job(task=task, models=(model,), every_days=as_days(every), n_origins=origins)
    return tune_model(study, model, job, seconds=seconds, trials=trials)


def _cutoff(snapshot: Snapshot, given: str | int | None) -> int:
    """A cutoff of the snapshot: the latest, unless one is given. Raises ``UsageError`` (``drivers.no_cutoff``)."""
    day = max(snapshot.cutoffs) if given is None else day_given(given)
    if day not in snapshot.cutoffs:
        raise UsageError(
            "drivers.no_cutoff",
            what=f"The snapshot has no cutoff {date_of(day)}.",
            why="It knows nobody as of that day, so there is no forecast that could be explained.",
            do=f"Take one of {', '.join(str(date_of(c)) for c in sorted(snapshot.cutoffs))}, or make the snapshot with that cutoff among its own.",
        )
    return day
