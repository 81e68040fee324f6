"""Commands that answer beside the forecast of every user: ``headwater curves``, ``newcomers`` and ``value``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from headwater.app.agree import chosen_forecast
from headwater.app.answer_pages import curve_horizon
from headwater.app.answer_settings import ValueSettings, reach_of
from headwater.app.cli.program import app
from headwater.app.cli.session import Options, in_workspace, with_options
from headwater.app.cli.speak import Reply, cannot_say, finding_data, finding_line
from headwater.app.cli.tables import grid_text
from headwater.app.cli.targets import Target, job_of
from headwater.app.cli.written import files_told
from headwater.app.curves import AddedUp, added_up, added_up_grids, curves_of, require_alike
from headwater.app.deliver import exporter_for, require_writable
from headwater.app.newcomers import NewcomerValues, newcomers_of
from headwater.app.road import write
from headwater.app.study import Study
from headwater.app.valued import ValuedStep, value_grid, valued
from headwater.core.block import Block, Grid
from headwater.core.show import Shown
from headwater.core.span import as_days, day_of
from headwater.models.cohort_counts import Cohort
from headwater.models.cohort_curves import CohortCurves
from headwater.models.extras import require_any_stretch

__all__ = ["curves", "newcomers", "value"]

To = Annotated[list[Path] | None, typer.Option(help="Write the result too: a file ending in .html or .xlsx.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CurvesAndUsers(Shown):
    """Curves, and the users made to add up to them where that was asked for."""

    curves: CohortCurves
    users: tuple[Grid, ...]

    def blocks(self) -> tuple[Block, ...]:
        return (*self.curves.blocks(), *self.users)


@app.command()
@with_options
def curves(
    options: Options,
    *,
    target: Target = None,
    by: Annotated[str | None, typer.Option(help="An attribute such as channel; default: all users together.")] = None,
    horizon: Annotated[str | None, typer.Option(help="A duration such as 90d; default: [curves] horizon, or the longest of the target.")] = None,
    cohorts: Annotated[str | None, typer.Option(help="month or week; default: by the length of the log.")] = None,
    as_of: Annotated[str | None, typer.Option(help="A past date such as 2011-09-01: what was known by then.")] = None,
    add_up: Annotated[bool, typer.Option("--add-up", help="Make the users' forecasts add up to their cohorts' totals; tests the models first.")] = False,
    to: To = None,
) -> None:  # fmt: skip
    """What cohorts brought by age and are to bring, all together or by channel, and how such forecasts did before."""

    def work(study: Study) -> Reply:
        _require_files(to)
        made = _drawn(study, target, by=by, horizon=horizon, cohorts=cohorts, as_of=as_of)
        together = _together(study, made) if add_up else None
        return _curves_reply(study, made, together, () if study.rehearsal else to or ())

    in_workspace(options, "curves", work)


@app.command()
@with_options
def newcomers(
    options: Options,
    *,
    target: Target = None,
    horizon: Annotated[str | None, typer.Option(help="Whole days from the first on, such as 30d; default: [newcomers] horizon, or the longest of the target.")] = None,
    ages: Annotated[str | None, typer.Option(help="Such as 1h,24h,3d (the default), 168h at most; default: [newcomers] ages.")] = None,
    model: Annotated[str | None, typer.Option(help="A model that reads a snapshot's own features; default: [newcomers] model, or lightgbm_hurdle.")] = None,
    to: To = None,
) -> None:  # fmt: skip
    """What users hours or days old will be worth over their first days, and how such forecasts did before."""

    def work(study: Study) -> Reply:
        _require_files(to)
        made = newcomers_of(
            study,
            measure=target or job_of(study, None, None).task.measure,
            horizon_days=as_days(horizon) if horizon else None,
            ages=None if ages is None else [a.strip() for a in ages.split(",") if a.strip()],
            model=model,
        )
        return _newcomers_reply(made, to or ())

    in_workspace(options, "newcomers", work)


@app.command()
@with_options
def value(
    options: Options,
    *,
    target: Target = None,
    model: Annotated[
        str | None, typer.Option(help="A buy-till-you-die model; default: [value] model, or pareto_nbd.")
    ] = None,
    yearly_rate: Annotated[
        float | None,
        typer.Option(help="The discount of one year, 0 or more; default: [value] yearly_rate, or 0.1."),
    ] = None,
    horizon: Annotated[
        str | None, typer.Option(help="Such as 365d, or forever; default: [value] horizon, or 365d.")
    ] = None,
) -> None:
    """What each customer's purchases to come are worth today, with the chance of being a customer still."""

    def work(study: Study) -> Reply:
        given = study.settings.value or ValueSettings()
        named = model or given.model
        require_any_stretch(named)
        made = valued(
            study,
            job_of(study, target, None),
            model=named,
            horizon_days=reach_of(horizon or given.horizon),
            yearly_rate=given.yearly_rate if yearly_rate is None else yearly_rate,
        )
        return _value_reply(study, made)

    in_workspace(options, "value", work)


def _newcomers_reply(made: NewcomerValues, to: Sequence[Path]) -> Reply:
    data: dict[str, Any] = asdict(made) | {
        "rows": list(made.rows.files),
        "n_users": made.rows.n_rows,
        "findings": [finding_data(f) for f in made.findings],
    }
    lines = [
        made.summary(),
        made.past(),
        "",
        grid_text(made.ages_grid()),
        "",
        grid_text(made.users_grid(), rows=10),
        *files_told("newcomers", made.rows.files),
        *(finding_line(f) for f in made.findings),
        *_written(made, to, data),
    ]
    return Reply(text="\n".join(lines), data=data)


def _value_reply(study: Study, made: ValuedStep) -> Reply:
    lines = [
        *map(cannot_say, made.forbidding),
        f"{made.model}: {made.says}",
        "",
        grid_text(value_grid(made, engine=study.engine), rows=10),
        *files_told("values", made.rows.files),
        *(finding_line(f) for f in made.beside),
    ]
    data = asdict(made) | {
        "rows": list(made.rows.files),
        "findings": [finding_data(f) for f in made.findings],
    }
    return Reply(text="\n".join(lines), data=data)


def _drawn(
    study: Study,
    target: str | None,
    *,
    by: str | None,
    horizon: str | None,
    cohorts: str | None,
    as_of: str | None,
) -> CohortCurves:
    measure = target or job_of(study, None, None).task.measure
    chosen = cohorts or study.settings.curves.cohorts
    return curves_of(
        study,
        measure=measure,
        by=by,
        cohorts=cast("Cohort | None", chosen),
        horizon_days=as_days(horizon) if horizon else curve_horizon(study, measure),
        as_of=None if as_of is None else day_of(as_of),
    )


def _together(study: Study, made: CohortCurves) -> AddedUp:
    job = job_of(study, made.measure, f"{made.horizon_days}d")
    require_alike(made, job.task, cutoff=study.ledger().end_day)
    proof, agreed = chosen_forecast(study, job)
    return added_up(study, made, agreed.over(job.task), proof=proof)


def _curves_reply(study: Study, made: CohortCurves, together: AddedUp | None, to: Sequence[Path]) -> Reply:
    lines = [
        *map(cannot_say, made.forbidding),
        made.past,
        made.curve_chart().finding,
        "",
        grid_text(made.cohort_grid()),
    ]
    data: dict[str, Any] = asdict(made) | {"findings": [finding_data(f) for f in made.findings]}
    grids: list[Grid] = []
    if together is not None:
        grids += added_up_grids(together, made, engine=study.engine)
        lines += ["", grid_text(grids[0]), *files_told("users made to add up", together.rows.files)]
        data["added_up"] = asdict(together) | {"rows": list(together.rows.files)}
    whole = _CurvesAndUsers(curves=made, users=tuple(grids))
    lines += ["", *(finding_line(f) for f in made.beside), *_written(whole, to, data)]
    return Reply(text="\n".join(lines).rstrip(), data=data)


def _require_files(to: Sequence[Path] | None) -> None:
    for path in to or ():
        exporter_for(path)
        require_writable(path.parent)


def _written(result: Shown, to: Sequence[Path], data: dict[str, Any]) -> list[str]:
    """The files a result was written to, in text and in ``data``."""
    paths = [str(p) for p in write(result, *to)]
    data["reports"] = paths
    return paths
