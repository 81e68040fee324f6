"""``headwater drivers`` and ``headwater changes``: why a forecast is what it is, and what moved it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headwater.app.cli.program import app
from headwater.app.cli.session import Options, in_workspace, with_options
from headwater.app.cli.speak import Reply
from headwater.app.cli.tables import grid_text
from headwater.app.cli.targets import Horizon, Model, Target, job_of
from headwater.app.plan import Job
from headwater.app.study import FittedStep, Study
from headwater.app.why import change_of, drivers_now, drivers_of_users
from headwater.core.block import Block, Grid, Prose
from headwater.core.errors import UsageError
from headwater.core.show import one_line
from headwater.core.span import date_of, day_of
from headwater.models.changes import Change

__all__ = ["changes", "drivers"]


@app.command()
@with_options
def drivers(
    options: Options,
    *,
    model: Model = None,
    target: Target = None,
    horizon: Horizon = None,
    user: Annotated[
        list[str] | None, typer.Option(help="A user whose forecast to explain; may be given several times.")
    ] = None,
) -> None:
    """What a forecast goes by: of all users, or of one, column by column, up to the forecast itself."""

    def reply(study: Study) -> Reply:
        fitted, job = _fitted(study, model, target, horizon)
        return _of_users(study, fitted, job, tuple(user)) if user else _of_all(study, fitted, job)

    in_workspace(options, "drivers", reply)


@app.command()
@with_options
def changes(
    options: Options,
    *,
    model: Model = None,
    target: Target = None,
    horizon: Horizon = None,
    since: Annotated[
        str | None, typer.Option(help="An earlier date such as 2011-08-01; default: the cutoff before.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Users with a value in a text column, such as country=de; may be given several times."
        ),
    ] = None,
) -> None:
    """What moved a group's forecast since an earlier day: who came and went, and which columns, to the sum."""

    def reply(study: Study) -> Reply:
        named = dict(_named(g) for g in group or [])
        fitted, job = _fitted(study, model, target, horizon)
        day = None if since is None else day_of(since)
        return _changed(fitted, change_of(study, fitted, job, since=day, group=named))

    in_workspace(options, "changes", reply)


def _fitted(
    study: Study, model: str | None, target: str | None, horizon: str | None
) -> tuple[FittedStep, Job]:
    study.require_models(*([model] if model else []))
    job = job_of(study, target, horizon)
    return study.fit(model or study.backtest(job).choice.name, job), job


def _named(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise UsageError(
            "drivers.no_group",
            what=f"'{text}' names no group.",
            why="A group is told by a text column and a value in it.",
            do="Write COLUMN=VALUE, such as country=de.",
        )
    return column, value


def _of_all(study: Study, fitted: FittedStep, job: Job) -> Reply:
    found = drivers_now(study, fitted, job)
    rows = [
        {"column": d.column, "share": d.share, "typical_factor": d.typical_factor, "direction": d.direction}
        for d in found.drivers
    ]
    data: dict[str, Any] = {
        "model": fitted.name,
        "member": found.member or None,
        "weight": found.weight,
        "n_users": found.n_users,
        "drivers": rows,
    }
    return Reply(text=f"{fitted.name} for {fitted.task.target}\n{_text(found.blocks())}", data=data)


def _of_users(study: Study, fitted: FittedStep, job: Job, users: tuple[str, ...]) -> Reply:
    found = drivers_of_users(study, fitted, job, users)
    data = [
        {
            "user_id": f.user_id,
            "shared": f.shared,
            "drivers": [{"column": d.column, "value": d.value, "factor": d.factor} for d in f.drivers],
            "others": f.others,
            "forecast": f.forecast,
            "unit": f.unit,
            "member": f.member or None,
            "weight": f.weight,
        }
        for f in found
    ]
    text = "\n\n".join(_text(f.blocks()) for f in found)
    return Reply(
        text=f"{fitted.name} for {fitted.task.target}\n{text}", data={"model": fitted.name, "users": data}
    )


def _changed(fitted: FittedStep, change: Change) -> Reply:
    data = {
        "model": fitted.name,
        "group": change.group,
        "cutoffs": [str(date_of(c)) for c in change.cutoffs],
        "earlier": change.earlier,
        "later": change.later,
        "come": change.come,
        "gone": change.gone,
        "n_come": change.n_come,
        "n_gone": change.n_gone,
        "n_stayed": change.n_stayed,
        "n_looked_at": change.n_looked_at,
        "by_column": dict(change.by_column),
        "rest": change.rest,
        "unit": change.unit,
    }
    return Reply(text=f"{fitted.name} for {fitted.task.target}\n{_text(change.blocks())}", data=data)


def _text(blocks: tuple[Block, ...]) -> str:
    return "\n".join(
        one_line(b.text) if isinstance(b, Prose) else grid_text(b)
        for b in blocks
        if isinstance(b, Prose | Grid)
    )
