"""What is asked for: the options that name a model, a target and a horizon, and the forecast they name."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.app.plan import Job
from headwater.app.study import Study
from headwater.core.errors import UsageError, near_miss
from headwater.core.span import as_days

__all__ = ["Horizon", "Model", "Target", "job_of"]

Model = Annotated[str | None, typer.Option(help="A model of the shelf; default: the one the backtest chose.")]
Target = Annotated[
    str | None, typer.Option(help="A measure of headwater.toml; default: the first under [[predict]].")
]
Horizon = Annotated[
    str | None, typer.Option(help="A duration such as 90d; default: the last of that target.")
]


def job_of(study: Study, target: str | None, horizon: str | None) -> Job:
    """The declared forecast of a target over a horizon. Raises ``UsageError`` (``predict.none``, ``predict.not_declared``)."""
    jobs = study.jobs()
    if not jobs:
        raise UsageError(
            "predict.none",
            what="headwater.toml has no [[predict]].",
            why="Nothing says what to forecast.",
            do="Add a [[predict]] with a target and horizons.",
        )
    wanted = target or jobs[0].task.measure
    same = [j for j in jobs if j.task.measure == wanted]
    days = as_days(horizon) if horizon else None
    chosen = [j for j in same if days is None or j.task.horizon_days == days]
    if not chosen:
        raise UsageError(
            "predict.not_declared",
            what=f"headwater.toml declares no forecast of '{wanted}'{f' over {horizon}' if horizon else ''}.",
            why="A forecast that is not declared would have no backtest behind it.",
            do=near_miss(wanted, {j.task.measure for j in jobs})
            if not same
            else "Horizons: " + ", ".join(f"{j.task.horizon_days}d" for j in same),
        )
    return chosen[-1]
