"""An experiment designed from one file of past users, and tried out on them: a row for each user, and when they came."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from headwater.app.experiment_file import as_file
from headwater.core.errors import ConfigError, UsageError, near_miss
from headwater.core.finding import Finding
from headwater.core.table import Kind
from headwater.effects.design import design as design_of
from headwater.effects.designed import Design
from headwater.effects.gather import gather
from headwater.effects.history import Arrivals, MetricHistory, cluster_inflation_of, history_of
from headwater.effects.infer_units import expression_of
from headwater.effects.kind import METRIC_KINDS
from headwater.effects.metric import Better, Metric, Part
from headwater.effects.plan import Arm, Plan
from headwater.effects.read_units import Columns, Roles, read_columns, units_of_columns
from headwater.effects.simulate_on_history import HistorySimulation, simulate_on_history
from headwater.effects.units import Units, value_of
from headwater.engine.duckdb import DuckDB
from headwater.engine.engine import Engine
from headwater.engine.expression import compile_expression
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["DesignAsked", "design", "design_file", "simulate_file"]

_HALF = "half of history"  # both are read as one; the gathering wants two arms
_MOST_SIMULATED = 1_000_000
_BUCKETS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignAsked:
    """What is asked of a file of past users.

    Parameters
    ----------
    outcomes, ratios, quantiles
        Columns or expressions; ``"revenue / orders"``; ``"latency @ 0.9"``.
    covariates
        Columns known before the outcome, which the analysis will adjust by.
    guardrails
        Metrics among the outcomes with the relative harm that is tolerated.
    lower
        Metrics of which less is better.
    effects, effect
        The relative effect to be found, by metric, and of all others.
    day
        The column of the day or time a user was first seen.
    users_a_day
        New users a day, in place of ``day``.
    shares
        Of the arms, the control first.
    looks
        How many looks, evenly spaced.
    inflation, cluster
        How many times assigning clusters grows the variance; or the column of the cluster, from which that is told.
    """

    outcomes: tuple[str, ...] = ()
    ratios: tuple[str, ...] = ()
    quantiles: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()
    guardrails: Mapping[str, float] = field(default_factory=dict[str, float])
    effects: Mapping[str, float] = field(default_factory=dict[str, float])
    effect: float = 0.02
    unit: str | None = None
    day: str | None = None
    users_a_day: float | None = None
    shares: tuple[float, ...] = (0.5, 0.5)
    looks: int = 1
    traffic: float = 1.0
    window_days: int | None = None
    winsorize: float | None = None
    alpha: float = 0.05
    power: float = 0.8
    inflation: float = 1.0
    cluster: str | None = None
    time_zone: str = "UTC"


def design(data: str | Path | Any, *, threads: int = 2, memory: str = "1500MB", **asked: Any) -> Design:
    """An experiment designed from past users in a file or a frame.

    Parameters
    ----------
    data
        A path (CSV, JSON lines, Parquet, Excel), or a table of pyarrow, pandas or Polars: a row for each user.
    **asked
        As in ``DesignAsked``: ``outcomes=["revenue"]``, ``effects={"revenue": 0.02}``, ``day="first_seen"``, ``looks=4``.

    Raises
    ------
    UsageError, ConfigError, SourceError, DataError
        What is asked makes no sense, a column is not there, the file cannot be read.
    """
    known = DesignAsked.__dataclass_fields__
    for unknown in set(asked) - set(known):
        raise UsageError(
            "design.unknown_argument",
            what=f"There is no argument '{unknown}'.",
            why="It would change nothing.",
            do=near_miss(unknown, known),
        )
    made = dict(asked)
    for one, value in asked.items():
        if str(known[one].type).startswith("tuple"):
            made[one] = (value,) if isinstance(value, str) else tuple(value)
    with TemporaryDirectory() as folder:
        engine = DuckDB(threads=threads, memory=memory, spill=Path(folder) / "spill")
        try:
            return design_file(engine, as_file(data, Path(folder)), DesignAsked(**made))
        finally:
            engine.close()


def design_file(engine: Engine, path: Path, asked: DesignAsked) -> Design:
    """Read, gather once, design. Metrics whose spread is not known are left out with their finding."""
    units, metrics = _read(engine, path, asked)
    gathered = gather(engine, units, metrics=metrics)
    grown = {m.name: cluster_inflation_of(m, gathered) if asked.cluster else asked.inflation for m in metrics}
    alike = tuple(f for f in grown.values() if isinstance(f, Finding))
    found = [history_of(m, gathered, inflation=_number(grown[m.name])) for m in metrics]
    histories = [h for h in found if isinstance(h, MetricHistory)]
    if not histories:
        first = next(f for f in found if isinstance(f, Finding))
        raise UsageError(first.code, what=first.what, why=first.why, do=first.do)
    plan = Plan(
        name=path.stem,
        question="",
        arms=_arms(asked.shares),
        metrics=tuple(h.metric for h in histories),
        alpha=asked.alpha,
        power=asked.power,
        window_days=asked.window_days,
    )
    made = design_of(
        plan,
        histories,
        effects={m.name: asked.effects.get(m.name, asked.effect) for m in metrics},
        arrivals=_arrivals(engine, units, asked),
        looks=asked.looks,
        traffic=asked.traffic,
    )
    refused = tuple(f for f in found if isinstance(f, Finding))
    return replace(made, findings=(*refused, *alike, *gathered.findings, *made.findings))


def _number(inflation: float | Finding) -> float:
    return 1.0 if isinstance(inflation, Finding) else inflation


def simulate_file(
    engine: Engine, path: Path, asked: DesignAsked, *, n_runs: int, rng: np.random.Generator
) -> HistorySimulation:
    """A/A tests, and tests of the effects to be found, on the users of the file (at most a million, by their bucket)."""
    if asked.cluster is not None:
        raise UsageError(
            "simulation.clusters",
            what=f"Users are assigned in clusters of '{asked.cluster}', and the simulation assigns users one by one.",
            why="It would promise the power of a test that will not be run.",
            do="Leave out --simulate, or the cluster.",
        )
    units, metrics = _read(engine, path, asked)
    able = [m for m in metrics if m.kind != "quantile"]
    columns = {c: value_of(c, units.columns) for m in able for c in _columns_of(m)}
    (n_users,) = engine.one(sql("SELECT count(*) FROM {rows} r", rows=units.rows))
    some = ceil(_BUCKETS * _MOST_SIMULATED / max(int(n_users), 1))
    values = engine.arrow(
        sql(
            "SELECT {cells} FROM {rows} r WHERE {b} < {some}",
            cells=commas([sql("{v} AS {a}", v=v, a=name(f"x{i}")) for i, v in enumerate(columns.values())]),
            rows=units.rows,
            b=shim("bucket", _text_of(asked, units.columns)),
            some=min(some, _BUCKETS),
        )
    )
    arrays = {c: values.column(i).to_numpy().astype(np.float64) for i, c in enumerate(columns)}
    return simulate_on_history(
        able,
        arrays,
        rng=rng,
        arms=_arms(asked.shares),
        n_runs=n_runs,
        rel_effect=asked.effect,
        alpha=asked.alpha,
    )


def _read(engine: Engine, path: Path, asked: DesignAsked) -> tuple[Units, tuple[Metric, ...]]:
    columns = read_columns(engine, path)
    for wanted in (asked.unit, asked.day, asked.cluster, *asked.covariates):
        if wanted is not None and wanted not in columns.kinds:
            raise ConfigError(
                "source.missing_column",
                what=f"There is no column '{wanted}'.",
                why="It was named as the user, the day, the cluster or a covariate.",
                do=near_miss(wanted, columns.kinds),
            )
    halved = _halved(columns, asked)
    units = units_of_columns(
        engine,
        halved,
        Roles(
            arm=_HALF,
            unit=asked.unit,
            exposed=asked.day,
            strata=(asked.cluster,) if asked.cluster else (),
            time_zone=asked.time_zone,
        ),
    )
    return units, _metrics(asked, units)


def _halved(columns: Columns, asked: DesignAsked) -> Columns:
    """The rows with a half drawn by the bucket of their id (or of their most telling column)."""
    by = asked.unit or max(columns.looks, key=lambda k: k.n_distinct).column
    rows = sql(
        "(SELECT r.*, CASE WHEN {b} < {m} THEN 'first' ELSE 'second' END AS {half} FROM {rows} r)",
        b=shim("bucket", sql("coalesce(CAST({c} AS STRING), '')", c=name(by))),
        m=_BUCKETS // 2,
        half=name(_HALF),
        rows=columns.relation.rows,
    )
    relation = replace(columns.relation, rows=rows, columns=(*columns.relation.columns, (_HALF, "VARCHAR")))
    return replace(columns, relation=relation, kinds={**columns.kinds, _HALF: Kind.TEXT})


def _text_of(asked: DesignAsked, kinds: Mapping[str, Kind]) -> Sql:
    by = [asked.unit] if asked.unit else [c for c in kinds if c != _HALF]
    return sql("concat({cs})", cs=commas([sql("coalesce(CAST({c} AS STRING), '')", c=name(c)) for c in by]))


def _metrics(asked: DesignAsked, units: Units) -> tuple[Metric, ...]:
    made = [
        *(Metric(name=o, kind=_kind(o, units), outcome=_value(o, units)) for o in asked.outcomes),
        *(_pair(r, "/", units) for r in asked.ratios),
        *(_pair(q, "@", units) for q in asked.quantiles),
    ]
    if not made:
        raise UsageError(
            "design.no_metric",
            what="No metric is named.",
            why="Users are counted by what a metric's spread asks for.",
            do='Name one: --outcome "orders > 0", --ratio "revenue / orders" or --quantile "latency @ 0.9".',
        )
    covariates = tuple(_value(c, units) for c in asked.covariates)
    return tuple(
        replace(
            m,
            covariates=() if m.kind == "quantile" else covariates,
            winsorize=asked.winsorize if m.kind in {"mean", "ratio"} else None,
            part=Part.GUARDRAIL if m.name in asked.guardrails else Part.PRIMARY,
            margin=asked.guardrails.get(m.name),
            better=Better.LOWER if m.name in asked.lower else Better.HIGHER,
        )
        for m in made
    )


def _kind(text: str, units: Units) -> str:
    return (
        "proportion"
        if compile_expression(_value(text, units), units.columns).kind is Kind.BOOLEAN
        else "mean"
    )


def _pair(text: str, mark: str, units: Units) -> Metric:
    left, _, right = (part.strip() for part in text.rpartition(mark))
    is_share = re.fullmatch(r"0?\.\d+", right) is not None
    if not left or not right or (mark == "@" and not is_share):
        raise UsageError(
            "metric.halves",
            what=f"'{text}' does not have two sides of '{mark}'.",
            why="A ratio needs what is above and below, a quantile its column and its share.",
            do="Write --ratio 'revenue / orders', or --quantile 'latency @ 0.9'.",
        )
    outcome = _value(left, units)
    if mark == "@":
        return Metric(name=text, kind="quantile", outcome=outcome, share=float(right))
    return Metric(name=text, kind="ratio", outcome=outcome, over=_value(right, units))


def _value(text: str, units: Units) -> str:
    return expression_of(text) if text in units.columns else text


def _columns_of(metric: Metric) -> tuple[str, ...]:
    return (*METRIC_KINDS.load(metric.kind)().columns(metric), *metric.covariates)


def _arms(shares: tuple[float, ...]) -> tuple[Arm, ...]:
    names = (
        ("control", "treatment")
        if len(shares) == 2
        else ("control", *(f"arm {i}" for i in range(1, len(shares))))
    )
    return tuple(Arm(name=n, share=s / sum(shares)) for n, s in zip(names, shares, strict=True))


def _arrivals(engine: Engine, units: Units, asked: DesignAsked) -> Arrivals:
    """New users by day, from the first to the last; days without anybody count as zero."""
    if asked.users_a_day is not None:
        return Arrivals(by_day=(round(asked.users_a_day),) * 28)
    if asked.day is None:
        return Arrivals(by_day=())
    found = engine.rows(
        sql(
            "SELECT {d} AS day, count(*) AS n FROM {rows} r GROUP BY {d}",
            d=units.exposed_day,
            rows=units.rows,
        )
    )
    by_day = {int(day): int(n) for day, n in found if day is not None}
    return (
        Arrivals(by_day=tuple(by_day.get(d, 0) for d in range(min(by_day), max(by_day) + 1)))
        if by_day
        else Arrivals(by_day=())
    )
