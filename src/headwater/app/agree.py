"""Forecasts of one measure over several horizons, made to agree: for no user does a longer one say less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from headwater.app.plan import Job, is_net
from headwater.app.study import ForecastStep, Study
from headwater.core.errors import DataError, UsageError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Task
from headwater.engine.arrays import column_floats
from headwater.evaluation.backtest import Backtest
from headwater.numerics.consistent import agreed
from headwater.numerics.forecast import Forecast

__all__ = ["Agreed", "agreed_forecasts", "chosen_forecast", "named_forecast"]

_MANY = 0.05
_DO_WHERE_MANY = {
    True: "Where many fall, name one model for all horizons.",
    False: "Where many fall, predict a measure before refunds.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """The forecasts, horizons in ascending order.

    ``n_pooled`` users had a forecast that fell from a shorter horizon to a longer one, of ``n_users``;
    where ``may_fall`` (the measure is net of refunds) they were left as they are, elsewhere pooled.
    """

    forecasts: tuple[ForecastStep, ...]
    n_users: int
    n_pooled: int
    may_fall: bool

    def over(self, task: Task) -> ForecastStep:
        """The forecast of a task. Raises ``KeyError`` where it is not among them."""
        return {f.task: f for f in self.forecasts}[task]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a reader must know of it."""
        if not self.n_pooled:
            return ()
        days = ", ".join(f"{f.task.horizon_days}" for f in self.forecasts)
        models = list(dict.fromkeys(f.model for f in self.forecasts))
        what = f"For {self.n_pooled:,} of {self.n_users:,} users the forecasts over {days} days fell from a shorter horizon to a longer one"
        numbers = {"n_pooled": self.n_pooled, "n_users": self.n_users}
        if self.may_fall:
            return (
                Finding(
                    code="horizons.net_may_fall",
                    severity=Severity.WARN if self.n_pooled > _MANY * self.n_users else Severity.NOTE,
                    what=f"{what}; {self.forecasts[0].task.measure} is net of refunds, so they were left as they are.",
                    why=_why_net_falls(models),
                    do=f"Use one horizon at a time; do not take the difference of two as what comes between. {_DO_WHERE_MANY[len(models) > 1]}",
                    numbers=numbers,
                ),
            )
        if len(models) == 1:
            why = f"{models[0]} is fitted anew for each horizon, and what it learns for one may cross what it learns for another"
            do = "Nothing, while they are few; where they are many, use one horizon at a time."
        else:
            why = f"Each horizon has the model that was best for it, and models differ (here {', '.join(sorted(models))})"
            do = "Nothing, while they are few; where they are many, name one model for all horizons."
        return (
            Finding(
                code="horizons.pooled",
                severity=Severity.NOTE,
                what=f"{what}; these were replaced by the nearest that do not.",
                why=f"{why}; nobody can bring less in more days.",
                do=do,
                numbers=numbers,
            ),
        )


def _why_net_falls(models: Sequence[str]) -> str:
    """The reason that is sure first: models that differ, else one fitted anew; refunds may add to it."""
    refunds = "money given back later may also take off what came before."
    if len(models) > 1:
        return f"The horizons are by different models ({', '.join(models)}), each the best for its own, and models differ; {refunds}"
    return f"{models[0]} is fitted anew for each horizon, and what it learns for one may cross what it learns for another; {refunds}"


def chosen_forecast(study: Study, job: Job) -> tuple[Backtest, Agreed]:
    """What is handed over: the forecast by the model chosen for the job, agreed with those chosen for the measure's other horizons.

    Raises ``DataError`` where this job has none.
    """
    return _forecast_with_others(study, job, model=None)


def named_forecast(study: Study, model: str, job: Job) -> tuple[Backtest, Agreed]:
    """The forecast by a model, agreed with its own over the measure's other horizons, where it was tested there too.

    Raises ``UsageError`` (``predict.untested``) where it is not among the models of this job, ``DataError`` where it
    could not be tested for it.
    """
    if model not in job.models:
        raise UsageError(
            "predict.untested",
            what=f"{model} is not among the models that are tested for {job.name}.",
            why="Nothing says how far its totals may be off; a forecast without an interval looks surer than it is.",
            do=f"Add it under [[predict]] models, or take one of {', '.join(job.models)}.",
        )
    return _forecast_with_others(study, job, model=model)


def _forecast_with_others(study: Study, job: Job, *, model: str | None) -> tuple[Backtest, Agreed]:
    proof = study.backtest(job)
    own = study.forecast(model or proof.choice.name, job, proof=proof)
    others = [j for j in study.jobs() if _together(j) == _together(job) and j != job]
    made = [own, *(f for j in others if (f := _forecast_or_none(study, j, model=model)))]
    return proof, agreed_forecasts(study, made)


def agreed_forecasts(study: Study, forecasts: Sequence[ForecastStep]) -> Agreed:
    """Make forecasts of the same users and the same measure agree. One alone agrees with itself."""
    ordered = tuple(sorted(forecasts, key=lambda f: f.task.horizon_days))
    may_fall = is_net(study.ledger(), ordered[0].task)
    if len(ordered) == 1:
        return Agreed(forecasts=ordered, n_users=ordered[0].rows.n_rows, n_pooled=0, may_fall=may_fall)
    return study.step(
        "agree",
        {"forecasts": [(f.rows.fingerprint, f.task) for f in ordered], "may_fall": may_fall},
        Agreed,
        lambda folder: _agree(study, ordered, folder, may_fall=may_fall),
        title="making horizons agree",
    )


def _agree(study: Study, forecasts: tuple[ForecastStep, ...], folder: Path, *, may_fall: bool) -> Agreed:
    tables = [f.rows.to_arrow() for f in forecasts]
    before = [_arrays(t, f.task) for t, f in zip(tables, forecasts, strict=True)]
    falls = (np.diff([f.mean for f in before], axis=0) < 0).any(axis=0)
    if not may_fall:
        after = agreed(before)
        forecasts = tuple(
            replace(
                f, rows=study.write_forecast(_replaced(t, made), f.task, folder / str(f.task.horizon_days))
            )
            for f, t, made in zip(forecasts, tables, after, strict=True)
        )
    return Agreed(
        forecasts=forecasts, n_users=falls.size, n_pooled=int(np.count_nonzero(falls)), may_fall=may_fall
    )


def _arrays(table: pa.Table, task: Task) -> Forecast:
    mean, low, high, variance = (column_floats(table, c) for c in ("forecast", "low", "high", "variance"))
    return Forecast(mean=mean, low=low, high=high, variance=variance, level=task.level, method="as written")


def _replaced(table: pa.Table, made: Forecast) -> pa.Table:
    columns = {"forecast": pa.array(made.mean), "low": pa.array(made.low), "high": pa.array(made.high)}
    kept = {c: table.column(c) for c in ("user_id", "variance", "at_left_edge")}
    return pa.table({**kept, **columns})


def _together(job: Job) -> tuple[str, str, float]:
    return job.task.measure, job.task.occasions, job.task.level


def _forecast_or_none(study: Study, job: Job, *, model: str | None) -> ForecastStep | None:
    try:
        proof = study.backtest(job)
        return study.forecast(model or proof.choice.name, job, proof=proof)
    except DataError:
        return None
