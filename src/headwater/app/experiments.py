"""An experiment of a workspace: from its settings, the log of exposures and the ledger to units and a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from headwater.app.experiment_settings import BEFORE, FIRST_DAY, PREDICTED, ExperimentSettings, plan_of
from headwater.app.plan import Job
from headwater.app.steps import ledger_key
from headwater.app.study import Study
from headwater.core.errors import UsageError, near_miss
from headwater.core.finding import Finding
from headwater.core.sources import Sourced, SourceKind
from headwater.core.span import as_days, day_of
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.effects.clustered import clustered
from headwater.effects.day_totals import ACTIVE_DAYS, DayTotal
from headwater.effects.earlier import earlier_arms
from headwater.effects.exposed import Exposed, read_exposed
from headwater.effects.facts import N_CROSSED, N_DELAYED, UNITS_ARE_CLUSTERS, fact_key
from headwater.effects.metric import Metric
from headwater.effects.plan import Plan
from headwater.effects.running_totals import RunningTotals, running_totals, units_of
from headwater.effects.triggered import TRIGGERED, UNTRIGGERED
from headwater.effects.units import Units
from headwater.engine.engine import table_scan
from headwater.engine.expression import columns_of
from headwater.engine.sql import Sql, commas, name, sql
from headwater.snapshots.rows import rows_at

__all__ = ["ExperimentData", "read_experiment"]

_OBSERVED, _TRIGGER = "observed_days", "trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentData:
    """What an analysis reads: the ``plan`` with outcomes and covariates as columns of ``units``, a row for each exposed user.

    ``facts`` are those of ``effects/facts.py`` that the log of exposures tells. With a trigger the first stratum
    tells triggered users from others: ``triggered_part`` of what is gathered is the analysis among them.
    """

    plan: Plan
    units: Units
    exposed: Exposed
    running: RunningTotals
    facts: Mapping[str, float]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forecast:
    rows: Table


def read_experiment(study: Study, experiment: str) -> ExperimentData:
    """An experiment that the settings declare, as far as the workspace knows it. Steps that are there are reused.

    Raises
    ------
    UsageError
        No experiment is so called (``experiment.unknown``).
    DataError
        Nobody met it (``exposures.nobody``).
    """
    given = _declared(study, experiment)
    source = _source(study, given)
    exposed = _exposed(study, given, source)
    asked = _asked(given)
    running = _running(study, given, exposed, asked)
    predicted = tuple(_predicted(study, given, target) for target in asked.targets)
    units, metrics = _units(study, given, running, predicted), asked.metrics
    facts = _facts(exposed) | earlier_arms(study.engine, source.rows, exposed)
    if given.cluster is not None:
        units, metrics = clustered(units, metrics)
        facts[UNITS_ARE_CLUSTERS] = 1.0
    return ExperimentData(
        plan=replace(plan_of(given), metrics=metrics),
        units=units,
        exposed=exposed,
        running=running,
        facts=facts,
        findings=(*exposed.findings, *running.findings),
    )


def _declared(study: Study, experiment: str) -> ExperimentSettings:
    known = {e.name: e for e in study.settings.experiments}
    if experiment not in known:
        raise UsageError(
            "experiment.unknown",
            what=f"The settings declare no experiment named '{experiment}'.",
            why="Nothing says what its arms and metrics are.",
            do=near_miss(experiment, known) if known else "Add it under [[experiments]].",
        )
    return known[experiment]


def _source(study: Study, given: ExperimentSettings) -> Sourced:
    found = [s for s in study.sources() if s.source.kind is SourceKind.EXPOSURES]
    return next(s for s in found if given.source in {None, s.source.name})


def _exposed(study: Study, given: ExperimentSettings, source: Sourced) -> Exposed:
    keep = tuple(dict.fromkeys(source.source.keep))
    zone, arms = study.contract.app.time_zone, tuple(given.arms)
    first_day = None if given.starts_on is None else day_of(given.starts_on)
    end_day = None if given.stop.ends_on is None else day_of(given.stop.ends_on)
    return study.step(
        "exposed",
        {
            "exposures": source.rows.fingerprint,
            "experiment": given.name,
            "arms": arms,
            "days": (first_day, end_day),
            "time_zone": zone,
            "trigger": given.trigger,
            "keep": keep,
        },
        Exposed,
        lambda folder: read_exposed(
            study.engine,
            source.rows,
            experiment=given.name,
            arms=arms,
            folder=folder,
            first_day=first_day,
            end_day=end_day,
            time_zone=zone,
            trigger=given.trigger,
            keep=keep,
        ),
        title=f"reading who met {given.name}",
        n_rows=source.rows.n_rows,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The metrics over columns of the units, the totals that make these columns, the targets of forecasts."""

    metrics: tuple[Metric, ...]
    totals: tuple[DayTotal, ...]
    targets: tuple[str, ...]


def _asked(given: ExperimentSettings) -> _Asked:
    window = None if given.window is None else as_days(given.window)
    totals: dict[str, DayTotal] = {}
    metrics: list[Metric] = []
    for metric in plan_of(given).metrics:
        own = given.metrics[metric.name].covariates
        named = columns_of(metric.outcome) + (columns_of(metric.over) if metric.over else ())
        measures = [c for c in named if not c.endswith(BEFORE)]
        before = tuple(f"{m}{BEFORE}" for m in dict.fromkeys(measures)) if own is None else ()
        covariates = metric.covariates or (before if metric.kind not in {"quantile", "time_to_event"} else ())
        changed, needed = _in_columns(replace(metric, covariates=covariates), window)
        metrics.append(changed)
        looked_at = [*named, *(c for e in covariates for c in columns_of(e))]
        if needed:
            looked_at = looked_at[len(named) :]  # the outcome is a column of its own
        for total in (*needed, *(_total(c, window, as_days(given.before)) for c in looked_at)):
            if total is not None:
                totals[total.name] = total
    targets = [c for m in metrics for e in m.covariates for c in columns_of(e) if c.startswith(PREDICTED)]
    return _Asked(
        metrics=tuple(metrics),
        totals=tuple(totals[n] for n in sorted(totals)),
        targets=tuple(dict.fromkeys(t.removeprefix(PREDICTED) for t in targets)),
    )


def _total(column: str, window: int | None, before: int) -> DayTotal | None:
    if column.startswith(PREDICTED):
        return None
    if column.endswith(BEFORE):
        return DayTotal(name=column, measure=column.removesuffix(BEFORE), first=-before, end=0)
    return DayTotal(name=column, measure=column, end=window)


def _in_columns(metric: Metric, window: int | None) -> tuple[Metric, tuple[DayTotal, ...]]:
    """A metric of days by the columns of its own that it needs."""
    if metric.kind == "retention" and metric.days is not None:
        first, last = metric.days
        column = f"{metric.outcome}_on_{first}_to_{last}" if last > first else f"{metric.outcome}_on_{first}"
        back = DayTotal(name=column, measure=metric.outcome, first=first, end=last + 1)
        return replace(metric, outcome=column), (back,)
    if metric.kind == "time_to_event":
        column = f"{metric.outcome}{FIRST_DAY}"
        first_day = DayTotal(name=column, measure=metric.outcome, end=window, is_first_day=True)
        days = None if window is None else (0, window - 1)
        return replace(metric, outcome=column, over=_OBSERVED, days=days), (first_day,)
    return metric, ()


def _running(study: Study, given: ExperimentSettings, exposed: Exposed, asked: _Asked) -> RunningTotals:
    ledger = study.ledger()
    known = {m.name for m in ledger.measures} | {ACTIVE_DAYS}
    totals = tuple(t for t in asked.totals if t.measure in known)
    line = {"experiment": given.name, "arms": tuple(given.arms), "totals": totals, "end": exposed.end_day}

    def make(folder: Path) -> RunningTotals:
        earlier = study.store.latest("experiment_totals", line, RunningTotals)
        return running_totals(study.engine, exposed, ledger, totals=totals, folder=folder, earlier=earlier)

    return study.step(
        "experiment_totals",
        line | {"exposed": exposed.users.fingerprint, "ledger": ledger_key(ledger)},
        RunningTotals,
        make,
        title=f"adding up the days of {given.name}",
        n_rows=ledger.days.n_rows,
        line=line,
    )


def _predicted(study: Study, given: ExperimentSettings, target: str) -> tuple[str, Table]:
    """What a model would have said of each user on the experiment's first day, knowing no more than that day did."""
    job = next(j for j in study.jobs() if j.task.measure == target)
    model = given.predicted_by or next(
        (m for p in study.settings.predict if p.target == target for m in p.models), "rate_so_far"
    )
    if given.starts_on is None:
        raise UsageError(
            "experiment.no_start",
            what=f"'{given.name}' names a forecast as a covariate and does not say when it starts.",
            why="A forecast made after the start would know what the treatment did.",
            do="Write starts_on.",
        )
    cutoff = day_of(given.starts_on)
    key = {
        "ledger": ledger_key(study.ledger()),
        "view": study.view(),
        "task": job.task,
        "model": model,
        "settings": study.settings_for((model,)),
        "cutoff": cutoff,
        "every": job.every_days,
        "calendar": study.calendar,
        "seed": study.seed,
    }
    made = study.step(
        "predicted_before",
        key,
        _Forecast,
        lambda folder: _forecast_before(study, model, job, cutoff, folder),
        title=f"forecasting {target} as of the start of {given.name}",
    )
    return target, made.rows


def _forecast_before(study: Study, model: str, job: Job, cutoff: int, folder: Path) -> _Forecast:
    forecast = study.forecast_at(model, job, cutoff, seed=study.seed)
    snapshot = study.learned_from(job, cutoff, as_of=cutoff)
    rows = rows_at(snapshot, cutoff, ("user_id",)).append_column("forecast", pa.array(forecast.mean))
    columns = (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="forecast", kind=Kind.NUMBER, about=f"{model} as of the experiment's first day"),
    )
    return _Forecast(rows=study.keep(rows, columns, folder, table="predicted_before"))


def _units(
    study: Study,
    given: ExperimentSettings,
    running: RunningTotals,
    predicted: Sequence[tuple[str, Table]],
) -> Units:
    columns: dict[str, Kind] = {c.name: c.kind for c in running.rows.columns}
    columns |= {t.name: Kind.INTEGER if t.is_first_day else Kind.NUMBER for t in running.totals}
    columns[_OBSERVED] = Kind.INTEGER
    rows = sql("({u})", u=units_of(running))
    if predicted:
        cells = [
            sql("p{i}.forecast AS {c}", i=i, c=name(f"{PREDICTED}{t}")) for i, (t, _) in enumerate(predicted)
        ]
        joins = Sql(
            tuple(
                piece
                for i, (_, table) in enumerate(predicted)
                for piece in sql(
                    " LEFT JOIN {s} p{i} ON u.user_id = p{i}.user_id", s=table_scan(table), i=i
                ).pieces
            )
        )
        rows = sql("(SELECT u.*, {c} FROM {r} u{j})", c=commas(cells), r=rows, j=joins)
        columns |= {f"{PREDICTED}{t}": Kind.NUMBER for t, _ in predicted}
    strata = tuple(given.strata)
    if given.trigger is not None:
        marked = sql("CASE WHEN is_triggered THEN {t} ELSE {u} END", t=TRIGGERED, u=UNTRIGGERED)
        rows = sql("(SELECT x.*, {m} AS {c} FROM {r} x)", m=marked, c=name(_TRIGGER), r=rows)
        columns[_TRIGGER], strata = Kind.TEXT, (_TRIGGER, *strata)
    return Units(
        rows=rows,
        columns=columns,
        arm="arm",
        unit="user_id",
        strata=strata,
        exposed="exposed_day",
        cluster=given.cluster,
        is_long=False,
        time_zone=study.contract.app.time_zone,
    )


def _facts(exposed: Exposed) -> dict[str, float]:
    facts: dict[str, float] = {}
    for arm in exposed.by_arm:
        facts[fact_key(N_CROSSED, arm.arm)] = float(arm.n_crossed)
        if arm.n_known_later is not None:
            facts[fact_key(N_DELAYED, arm.arm)] = float(arm.n_known_later)
    return facts
