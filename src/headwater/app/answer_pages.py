"""Chapters beside the forecasts: curves of cohorts and channels with users made to add up to them; newcomers; discounted value."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.app.answer_settings import reach_of
from headwater.app.curves import added_up, added_up_grids, attributes_of, curves_of
from headwater.app.newcomers import newcomers_of
from headwater.app.plan import Job
from headwater.app.study import ForecastStep, Study
from headwater.app.valued import value_grid, valued
from headwater.core.block import Block, Callout, Heading, Page, Prose, callouts
from headwater.core.errors import DataError, UsageError
from headwater.core.span import as_days
from headwater.evaluation.backtest import Backtest
from headwater.evaluation.trust import check_trust

__all__ = ["curve_horizon", "curve_pages", "newcomer_pages", "value_pages"]

_CHANNEL = "channel"
_WHAT = "A user's age is counted from the user's own first day; only whole ages that were seen count, so young cohorts are short, not poor. Users first seen at the left edge of the log are left out."


def curve_pages(study: Study, forecasts: Sequence[tuple[Backtest, ForecastStep]]) -> tuple[Page, ...]:
    """One page for each measure that is predicted; where a curve cannot be drawn it says why."""
    measures = dict.fromkeys(job.task.measure for job in study.jobs())
    return tuple(_page(study, m, [f for f in forecasts if f[1].task.measure == m]) for m in measures)


def curve_horizon(study: Study, measure: str) -> int:
    """What ``[curves] horizon`` says, else the longest horizon over which the measure is predicted, in days."""
    given = study.settings.curves.horizon
    asked = [j.task.horizon_days for j in study.jobs() if j.task.measure == measure]
    return as_days(given) if given else max(asked, default=90)


def newcomer_pages(study: Study) -> tuple[Page, ...]:
    """A page for each measure that is predicted, where ``[newcomers]`` is set; where nobody can be forecast it says why."""
    if study.settings.newcomers is None:
        return ()
    measures = dict.fromkeys(job.task.measure for job in study.jobs())
    return tuple(
        Page(
            name=f"newcomers_{m}",
            title=f"{m.replace('_', ' ').capitalize()}: what newcomers will be worth",
            blocks=_newcomers(study, m),
        )
        for m in measures
    )


def _newcomers(study: Study, measure: str) -> tuple[Block, ...]:
    try:
        return newcomers_of(study, measure=measure).blocks()
    except (DataError, UsageError) as error:
        return (Callout(finding=error.finding),)


def value_pages(study: Study) -> tuple[Page, ...]:
    """A page where ``[value]`` is set and something is predicted; where no model can value, it says why."""
    given, jobs = study.settings.value, study.jobs()
    if given is None or not jobs:
        return ()
    try:
        made = valued(
            study,
            jobs[0],
            model=given.model,
            horizon_days=reach_of(given.horizon),
            yearly_rate=given.yearly_rate,
        )
        blocks: tuple[Block, ...] = (
            *callouts(made.forbidding),
            Prose(text=made.says),
            *_how_it_did(study, jobs[0], given.model),
            value_grid(made, engine=study.engine),
            *callouts(made.beside),
        )
    except (DataError, UsageError) as error:
        blocks = (Callout(finding=error.finding),)
    return (Page(name="value", title="What customers are worth today", blocks=blocks),)


def _how_it_did(study: Study, job: Job, model: str) -> tuple[Prose, ...]:
    """What past totals of the model say against the value, in a line; nothing where they say nothing."""
    try:
        proof = study.backtest(job)
    except DataError:
        return ()
    if model not in proof.models:
        return (Prose(text=f"{model} was not among the models tested ({job.name}): nothing says how far its totals were off."),)  # fmt: skip
    off = [f for f in check_trust(proof, model=model) if f.code == "trust.calibration_off"]
    return tuple(Prose(text=f"This total cannot be trusted. {f.what}") for f in off)


def _page(study: Study, measure: str, forecasts: Sequence[tuple[Backtest, ForecastStep]]) -> Page:
    days, given = curve_horizon(study, measure), study.settings.curves
    known = attributes_of(study)
    by = given.by if given.by is not None else [a for a in known if a == _CHANNEL]
    blocks: list[Block] = [Prose(text=_WHAT)]
    for attribute in (None, *by):
        blocks += _drawn(study, measure, attribute, days, forecasts)
    title = f"{measure.replace('_', ' ').capitalize()}: value by cohort and age"
    return Page(name=f"curves_{measure}", title=title, blocks=tuple(blocks))


def _drawn(
    study: Study,
    measure: str,
    attribute: str | None,
    days: int,
    forecasts: Sequence[tuple[Backtest, ForecastStep]],
) -> list[Block]:
    try:
        made = curves_of(
            study, measure=measure, by=attribute, cohorts=study.settings.curves.cohorts, horizon_days=days
        )
    except (DataError, UsageError) as error:
        return [*_headed(attribute), Callout(finding=error.finding)]
    blocks: list[Block] = [*_headed(attribute), *made.blocks()[: -len(made.beside) or None]]
    for proof, forecast in forecasts:
        if forecast.task.horizon_days == days and forecast.cutoff == made.cutoff and attribute is None:
            blocks += added_up_grids(added_up(study, made, forecast, proof=proof), made, engine=study.engine)
    return [*blocks, *callouts(made.beside)]


def _headed(attribute: str | None) -> list[Block]:
    return [] if attribute is None else [Heading(text=f"By {attribute}", level=3)]
