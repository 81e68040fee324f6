"""The scorecards of a workspace's experiments, and their chapters in the report."""

from __future__ import annotations

from dataclasses import replace

from headwater.app.experiments import read_experiment
from headwater.app.study import Study
from headwater.core.block import Page, callouts
from headwater.core.errors import DataError
from headwater.effects.analyze import analyze
from headwater.effects.gather import gather
from headwater.effects.scorecard import Scorecard

__all__ = ["card_of", "experiment_pages"]


def card_of(study: Study, name: str, *, looked: tuple[float, ...] = ()) -> Scorecard:
    """The scorecard of an experiment that the settings declare, as of the end of the log.

    Raises
    ------
    UsageError
        No experiment is so called (``experiment.unknown``).
    DataError
        Nobody met it, or its arms cannot be told.
    """
    data = read_experiment(study, name)
    arms = [a.name for a in data.plan.arms]
    gathered = gather(study.engine, data.units, metrics=data.plan.metrics, arms=arms)
    whole = replace(
        gathered,
        facts={**gathered.facts, **data.facts},
        findings=(*data.findings, *gathered.findings),
    )
    return analyze(data.plan, whole, today=study.ledger().end_day, looked=looked)


def experiment_pages(study: Study) -> list[Page]:
    """A page for each declared experiment; where the data cannot carry one, what is in the way."""
    return [_page(study, given.name, number) for number, given in enumerate(study.settings.experiments, 1)]


def _page(study: Study, name: str, number: int) -> Page:
    try:
        blocks = card_of(study, name).blocks()
    except DataError as error:
        blocks = callouts([error.finding])
    return Page(name=f"experiment_{number}", title=f"Experiment {name}", blocks=blocks)
