"""An experiment from one file or frame: a row for each user with the arm and the outcomes, and a scorecard of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from headwater.app.experiment_memory import changed_plan, looks_of, remember
from headwater.app.experiment_settings import read_plan
from headwater.core.errors import UsageError, near_miss
from headwater.core.span import day_of
from headwater.effects.analyze import analyze
from headwater.effects.gather import gather
from headwater.effects.gathered import Gathered
from headwater.effects.infer_units import ReadUnits, expression_of, read_units
from headwater.effects.metric import Better, Metric, Part
from headwater.effects.plan import Arm, Plan
from headwater.effects.predicted_covariate import with_predictions
from headwater.effects.scorecard import Scorecard
from headwater.engine.duckdb import DuckDB
from headwater.engine.engine import Engine

__all__ = ["Asked", "analyze_file", "as_file", "estimate"]

_SEED = 20_263


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a file; what is left out is guessed and told, or taken from the plan.

    Parameters
    ----------
    arm, control, unit, strata, exposed, cluster, is_long, time_zone
        The roles of columns, as in ``Units``.
    outcomes
        Columns or expressions, each a metric: a mean, or a proportion where it is true or false.
    ratios
        Such as ``"revenue / orders"``: the sum of one over the sum of the other.
    quantiles
        Such as ``"latency @ 0.9"``.
    covariates
        Columns known before exposure.
    predict_from
        Columns known before exposure, numbers or text, from which each user's outcomes are predicted by a model that
        never saw that user; the predictions are covariates. They are no outcomes. Needs ``unit``.
    guardrails
        Which of the metrics are guardrails: a name, or ``"crashes = 0.02"`` with the relative harm that is tolerated.
    lower
        Metrics of which less is better.
    shares
        Planned shares by arm; equal ones where none are given.
    winsorize
        Caps every mean and ratio at this quantile of both arms together.
    alpha
        The error rate of all primary metrics together.
    plan
        A plan file; then its arms, metrics and stop rule hold, and naming others is refused.
    looked
        Shares of the planned users at earlier looks; those of the record where none are given.
    record
        The folder of the record: earlier looks come from it, and this one is added to it.
    """

    arm: str | None = None
    control: str | None = None
    unit: str | None = None
    strata: tuple[str, ...] = ()
    exposed: str | None = None
    cluster: str | None = None
    is_long: bool = False
    time_zone: str = "UTC"
    outcomes: tuple[str, ...] = ()
    ratios: tuple[str, ...] = ()
    quantiles: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    predict_from: tuple[str, ...] = ()
    guardrails: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()
    shares: Mapping[str, float] | None = None
    winsorize: float | None = None
    alpha: float = 0.05
    plan: Path | None = None
    looked: tuple[float, ...] = ()
    record: Path | None = None


def estimate(
    data: str | Path | Any,
    *,
    threads: int = 2,
    memory: str = "1500MB",
    today: date | None = None,
    **asked: Any,
) -> Scorecard:
    """The scorecard of an experiment in a file or a frame.

    Parameters
    ----------
    data
        A path (CSV, JSON lines, Parquet, Excel), or a table of pyarrow, pandas or Polars: a row for each user.
    today
        The day of the analysis, for plans with an end; the clock's where none is given.
    **asked
        As in ``Asked``: ``arm="variant"``, ``outcomes=["revenue"]``, ``plan="plan.toml"``.

    Raises
    ------
    UsageError, ConfigError, SourceError, DataError
        What is asked makes no sense, a column is not there, the file cannot be read, the arms cannot be told.
    """
    given = _asked(asked)
    day = day_of(today or date.today())
    with TemporaryDirectory() as folder:
        engine = DuckDB(threads=threads, memory=memory, spill=Path(folder) / "spill")
        try:
            return analyze_file(engine, as_file(data, Path(folder)), given, today=day)
        finally:
            engine.close()


def analyze_file(engine: Engine, path: Path, asked: Asked, *, today: int) -> Scorecard:
    """Read, gather once, analyze."""
    planned = None if asked.plan is None else read_plan(asked.plan)
    if planned is not None:
        _require_no_second_definition(asked)
    read = read_units(
        engine,
        path,
        arm=asked.arm,
        control=planned.control.name if planned else asked.control,
        unit=asked.unit,
        outcomes=[m.outcome for m in planned.metrics] if planned else _named_outcomes(asked),
        covariates=asked.covariates,
        strata=asked.strata,
        exposed=asked.exposed,
        cluster=asked.cluster,
        is_long=asked.is_long,
        time_zone=asked.time_zone,
    )
    plan = planned or _plan(asked, read, name=path.stem)
    units = read.units
    if asked.predict_from:
        known = {expression_of(c) for c in asked.predict_from}
        units, metrics = with_predictions(
            engine,
            units,
            metrics=[m for m in plan.metrics if m.outcome not in known],
            known_before=asked.predict_from,
            seed=_SEED,
        )
        plan = replace(plan, metrics=metrics)
    gathered = gather(engine, units, metrics=plan.metrics, arms=[a.name for a in plan.arms])
    card = _analyzed(plan, gathered, asked, today=today)
    return replace(card, findings=(*read.findings, *card.findings))


def _analyzed(plan: Plan, gathered: Gathered, asked: Asked, *, today: int) -> Scorecard:
    if asked.record is None:
        return analyze(plan, gathered, today=today, looked=asked.looked)
    n_users = sum(gathered.users_of(a.name) for a in plan.arms)
    looked = asked.looked or looks_of(asked.record, plan, n_users=n_users)
    card = analyze(plan, gathered, today=today, looked=looked)
    changed = changed_plan(asked.record, plan)
    remember(card, asked.record, today=today)
    return replace(card, findings=(*changed, *card.findings))


def _asked(given: Mapping[str, Any]) -> Asked:
    known = Asked.__dataclass_fields__
    for name in given:
        if name not in known:
            raise UsageError(
                "estimate.unknown_argument",
                what=f"There is no argument '{name}'.",
                why="It would change nothing.",
                do=near_miss(name, known),
            )
    made: dict[str, Any] = {}
    for name, value in given.items():
        many = str(known[name].type).startswith("tuple")
        made[name] = ((value,) if isinstance(value, str) else tuple(value)) if many else value
    for name in ("plan", "record"):
        if isinstance(made.get(name), str):
            made[name] = Path(made[name])
    return Asked(**made)


def as_file(data: str | Path | Any, folder: Path) -> Path:
    """The path given, or that of a frame written into ``folder``."""
    if isinstance(data, str | Path):
        return Path(data)
    table = data if isinstance(data, pa.Table) else _arrow(data)
    path = folder / "frame.parquet"
    parquet.write_table(table, path)
    return path


def _arrow(frame: Any) -> pa.Table:
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    if hasattr(frame, "columns"):
        return pa.table({str(name): pa.array(frame[name], from_pandas=True) for name in frame.columns})
    raise UsageError(
        "estimate.no_table",
        what=f"A {type(frame).__name__} is neither a path nor a table.",
        why="There is nothing to read.",
        do="Pass a path, or a table of pyarrow, pandas or Polars.",
    )


def _require_no_second_definition(asked: Asked) -> None:
    named = {
        "--outcome": asked.outcomes,
        "--ratio": asked.ratios,
        "--quantile": asked.quantiles,
        "--covariate": asked.covariates,
        "--predict-from": asked.predict_from,
        "--guardrail": asked.guardrails,
        "--lower": asked.lower,
        "--control": asked.control,
        "--share": asked.shares,
        "--winsorize": asked.winsorize,
    }
    given = [option for option, value in named.items() if value]
    if given:
        raise UsageError(
            "plan.second_definition",
            what=f"{', '.join(given)} stands beside a plan.",
            why="An analysis is held to its plan; what was not written down before is not part of it.",
            do="Leave it out, or analyze without the plan: the scorecard then says that it is exploratory.",
        )


def _named_outcomes(asked: Asked) -> tuple[str, ...]:
    """Outcomes to read; where only ratios or quantiles are asked for, their own columns keep guesses away."""
    others = [
        *(_halves(r, "/", "--ratio")[0] for r in asked.ratios),
        *(_halves(q, "@", "--quantile")[0] for q in asked.quantiles),
    ]
    return asked.outcomes or tuple(dict.fromkeys(others))


def _plan(asked: Asked, read: ReadUnits, *, name: str) -> Plan:
    """What a file without a plan is analyzed by: every metric is primary unless it is named a guardrail."""
    plain = read.metrics if asked.outcomes or not (asked.ratios or asked.quantiles) else ()
    covariates = read.metrics[0].covariates if read.metrics else ()
    metrics = [
        *plain,
        *(_ratio(r, read, covariates) for r in asked.ratios),
        *(_quantile(q, read) for q in asked.quantiles),
    ]
    margins = dict(_margin(g) for g in asked.guardrails)
    names = [m.name for m in metrics]
    for named in (*margins, *asked.lower):
        if named not in names:
            raise UsageError(
                "metric.unknown",
                what=f"There is no metric '{named}'.",
                why="It was named a guardrail, or one of which less is better.",
                do=near_miss(named, names),
            )
    return Plan(
        name=name,
        question="",
        arms=_arms(asked, read.arms),
        metrics=tuple(_placed(m, asked, margins) for m in metrics),
        alpha=asked.alpha,
    )


def _placed(metric: Metric, asked: Asked, margins: Mapping[str, float | None]) -> Metric:
    guards = metric.name in margins
    return replace(
        metric,
        part=Part.GUARDRAIL if guards else Part.PRIMARY,
        margin=margins.get(metric.name),
        better=Better.LOWER if metric.name in asked.lower else Better.HIGHER,
        winsorize=asked.winsorize if metric.kind in {"mean", "ratio"} else None,
    )


def _arms(asked: Asked, arms: Sequence[str]) -> tuple[Arm, ...]:
    shares = asked.shares or dict.fromkeys(arms, 1 / len(arms))
    if set(shares) != set(arms):
        raise UsageError(
            "arms.shares",
            what=f"Shares are given for {', '.join(sorted(shares))}; the arms are {', '.join(arms)}.",
            why="The sample ratio is checked against the planned share of every arm.",
            do="Name each arm once: --share control=0.5 --share treatment=0.5.",
        )
    return tuple(Arm(name=a, share=shares[a]) for a in arms)


def _ratio(text: str, read: ReadUnits, covariates: tuple[str, ...]) -> Metric:
    above, below = _halves(text, "/", "--ratio")
    return Metric(
        name=text, kind="ratio", outcome=_value(above, read), over=_value(below, read), covariates=covariates
    )


def _quantile(text: str, read: ReadUnits) -> Metric:
    column, share = _halves(text, "@", "--quantile")
    found = re.fullmatch(r"0?\.\d+", share)
    if not found or not 0 < float(share) < 1:
        raise UsageError(
            "metric.share",
            what=f"'{share}' is no quantile.",
            why="A quantile is a share of users between 0 and 1.",
            do=f"Write it such as --quantile '{column} @ 0.9'.",
        )
    return Metric(name=text, kind="quantile", outcome=_value(column, read), share=float(share))


def _value(text: str, read: ReadUnits) -> str:
    return expression_of(text) if text in read.units.columns else text


def _halves(text: str, mark: str, option: str) -> tuple[str, str]:
    left, found, right = text.rpartition(mark)
    if not found or not left.strip() or not right.strip():
        raise UsageError(
            "metric.halves",
            what=f"{option} '{text}' does not have two sides of '{mark}'.",
            why="A ratio needs what is above and below, a quantile its column and its share.",
            do="Write --ratio 'revenue / orders', or --quantile 'latency @ 0.9'.",
        )
    return left.strip(), right.strip()


def _margin(text: str) -> tuple[str, float | None]:
    name, found, margin = text.rpartition("=")
    if not found:
        return text.strip(), None
    try:
        value = float(margin)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UsageError(
            "metric.margin",
            what=f"The margin of '{name.strip()}' is '{margin.strip()}'.",
            why="It is the relative harm that is tolerated, above 0 and below 1.",
            do=f"Write --guardrail '{name.strip()}=0.02' for two percent.",
        )
    return name.strip(), value
