"""Why a forecast is what it is: what the model goes by, and what changed since the cutoff before, for all users and the largest cohorts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from headwater.app.plan import Job, rungs_of
from headwater.app.study import FittedStep, Study
from headwater.core.block import Block, Chart, ChartKind, Field, Form, Grid, Page, Prose, Role
from headwater.core.errors import UsageError
from headwater.core.ledger import Snapshot
from headwater.core.span import date_of
from headwater.engine.arrays import column_floats
from headwater.evaluation.grouping import Grouping, by_month
from headwater.learners.boosting import predicting_with
from headwater.models.changes import Change, Mask, changes_of, what_changed
from headwater.models.drivers import Drivers, UserDrivers, drivers_of, user_drivers
from headwater.models.ltv import LTV_MODELS
from headwater.snapshots.rows import rows_at

__all__ = ["Why", "change_of", "drivers_now", "drivers_of_users", "why", "why_page"]

_COHORTS = 5
_IN_CHART, _NAMED = 12, 3
_ALL = "all users"


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What a model goes by now (None where it does not say) and what changed since an earlier cutoff: all users first, then cohorts."""

    drivers: Drivers | None
    changes: tuple[Change, ...]


def why(study: Study, fitted: FittedStep, job: Job) -> Why:
    """The drivers of a fitted model and the changes since the cutoff before, kept as a step."""
    now = study.ledger().end_day
    snapshot, earlier = _two_cutoffs(study, job, None)
    key = {"model": fitted.fingerprint, "snapshot": snapshot.rows.fingerprint, "cutoffs": (earlier, now)}
    return study.step(
        "why",
        key,
        Why,
        lambda _: _made(study, fitted, snapshot, earlier),
        title=f"asking why ({job.name})",
    )


def drivers_now(study: Study, fitted: FittedStep, job: Job) -> Drivers:
    """What a fitted model goes by. Raises ``UsageError`` (``drivers.not_explained``)."""
    found = why(study, fitted, job).drivers
    return _drivers(study, fitted, _two_cutoffs(study, job, None)[0]) if found is None else found


def drivers_of_users(
    study: Study, fitted: FittedStep, job: Job, users: tuple[str, ...]
) -> tuple[UserDrivers, ...]:
    """Why some users' forecasts are what they are. Raises ``UsageError`` (``drivers.not_explained``, ``drivers.nobody``)."""
    end = study.ledger().end_day
    snapshot = study.snapshot(cutoffs=(end,), horizons=rungs_of(job.task.horizon_days))
    model = study.open_model(fitted).predictor
    return user_drivers(model, snapshot, cutoff=end, users=users, unit=job.task.unit, called=fitted.name)


def change_of(
    study: Study, fitted: FittedStep, job: Job, *, since: int | None, group: Mapping[str, str]
) -> Change:
    """What changed for a group since an earlier day (the cutoff before, unless given).

    Raises ``UsageError`` (``drivers.nobody``, ``drivers.no_column``).
    """
    now = study.ledger().end_day
    snapshot, earlier = _two_cutoffs(study, job, since)
    with predicting_with(study.threads):
        return what_changed(
            study.open_model(fitted).predictor,
            snapshot,
            earlier=earlier,
            later=now,
            group=group,
            unit=job.task.unit,
        )


def why_page(found: Why, fitted: FittedStep, *, name: str, title: str) -> Page:
    """A chapter of the report."""
    blocks: list[Block] = []
    if found.drivers is None:
        about = LTV_MODELS.load(fitted.name).about.rstrip(".")
        told = f"{fitted.name} says nothing of single columns ({about}). A LightGBM model of the same task would."
        blocks.append(Prose(text=told))
    else:
        blocks += [_chart(found.drivers, name), *_renamed(found.drivers.blocks(), f"drivers_{name}")]
    if found.changes:
        whole, *cohorts = found.changes
        blocks += _renamed(whole.blocks(), f"changed_{name}")
        blocks += [_cohort_grid(cohorts, name)] if cohorts else []
    return Page(name=f"why_{name}", title=f"{title}: why", blocks=tuple(blocks))


def _two_cutoffs(study: Study, job: Job, since: int | None) -> tuple[Snapshot, int]:
    """The users now and at an earlier cutoff, in one snapshot; now alone where the log has no day before."""
    ledger = study.ledger()
    end, horizons = ledger.end_day, rungs_of(job.task.horizon_days)
    earlier = end - job.every_days if since is None else since
    if since is None and earlier <= ledger.first_day:
        return study.snapshot(cutoffs=(end,), horizons=horizons), end
    return study.snapshot(cutoffs=tuple(sorted({end, earlier}, reverse=True)), horizons=horizons), earlier


def _made(study: Study, fitted: FittedStep, snapshot: Snapshot, earlier: int) -> Why:
    now = max(snapshot.cutoffs)
    try:
        drivers = _drivers(study, fitted, snapshot)
    except UsageError:
        drivers = None
    if earlier == now:
        return Why(drivers=drivers, changes=())
    one, two = (_months(snapshot, c) for c in (earlier, now))
    members: dict[str, tuple[Mask, Mask]] = {
        _ALL: (np.ones(one.codes.size, dtype=np.bool_), np.ones(two.codes.size, dtype=np.bool_))
    }
    counts = np.bincount(two.codes, minlength=len(two.names))
    largest = [two.names[k] for k in np.argsort(-counts, kind="stable")[:_COHORTS]]
    members |= {f"cohort {m}": (_in_month(one, m), _in_month(two, m)) for m in sorted(largest)}
    with predicting_with(study.threads):
        model = study.open_model(fitted).predictor
        changes = changes_of(
            model, snapshot, earlier=earlier, later=now, members=members, unit=fitted.task.unit
        )
    return Why(drivers=drivers, changes=changes)


def _drivers(study: Study, fitted: FittedStep, snapshot: Snapshot) -> Drivers:
    with predicting_with(study.threads):
        return drivers_of(
            study.open_model(fitted).predictor, snapshot, cutoff=max(snapshot.cutoffs), called=fitted.name
        )


def _months(snapshot: Snapshot, cutoff: int) -> Grouping:
    """The month in which each user was first seen."""
    return by_month(cutoff - column_floats(rows_at(snapshot, cutoff, ("tenure_days",)), "tenure_days"))


def _in_month(months: Grouping, month: str) -> Mask:
    if month not in months.names:
        return np.zeros(months.codes.size, dtype=np.bool_)
    return months.codes == months.names.index(month)


def _chart(drivers: Drivers, name: str) -> Chart:
    shown = drivers.drivers[:_IN_CHART]
    first = shown[0]
    return Chart(
        name=f"drivers_chart_{name}",
        title=f"What {drivers.member} goes by, its part of the forecast ({drivers.weight:.0%} of the blend)"
        if drivers.member
        else "What the model goes by",
        kind=ChartKind.BAR,
        fields=(
            Field(name="column", label="Column"),
            Field(name="share", label="Share of all contributions", form=Form.SHARE),
        ),
        rows=tuple((d.column, d.share) for d in reversed(shown)),
        roles=((Role.X, "column"), (Role.Y, "share")),
        finding=f"{first.column} weighs most: {first.share:.0%} of all contributions; the forecast {first.direction}.",
    )


def _cohort_grid(cohorts: list[Change], name: str) -> Grid:
    unit = cohorts[0].unit
    amounts = {
        "earlier": "Forecast then",
        "later": "Forecast now",
        "come": "Came",
        "stayed": "Of those who stayed",
    }
    fields = (
        Field(name="cohort", label="Cohort"),
        *(Field(name=k, label=label, form=Form.NUMBER, unit=unit) for k, label in amounts.items()),
        Field(name="columns", label="The most by"),
    )
    rows = [
        (
            c.group.removeprefix("cohort "),
            c.earlier,
            c.later,
            c.come - c.gone,
            c.later - c.earlier - c.come + c.gone,
            ", ".join(f"{column} {amount:+,.0f}" for column, amount in c.by_column[:_NAMED] if c.n_stayed),
        )
        for c in cohorts
    ]
    one, two = (date_of(c) for c in cohorts[0].cutoffs)
    return Grid.of(
        f"changed_cohorts_{name}",
        f"What changed from {one} to {two} in the largest cohorts",
        fields,
        rows,
        note="A cohort is the month in which users were first seen. Both forecasts are by today's model, before horizons are made to agree.",
    )


def _renamed(blocks: tuple[Block, ...], name: str) -> list[Block]:
    """The same blocks, their grids under names that are unique in a report."""
    return [replace(b, name=name) if isinstance(b, Grid) else b for b in blocks]
