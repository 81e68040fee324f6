"""Rows added up to one for each unit: of users with several rows, and of clusters that were randomized as a whole.

Rows of one unit depend on each other. Taken as units they make every error too small.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from headwater.core.errors import UsageError
from headwater.core.table import Kind
from headwater.effects.facts import UNITS_ARE_CLUSTERS
from headwater.effects.gathered import Gathered
from headwater.effects.kind import METRIC_KINDS
from headwater.effects.metric import Metric
from headwater.effects.units import Units, value_of
from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["AddedUp", "added_up"]

_VIEW = "units_added_up"
_ARM, _UNIT, _DAY, _SIZE = "arm", "unit", "day", "size"
_EVER = {"proportion", "funnel_step"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedUp:
    """Units with one row each, and the metrics over the columns of that row."""

    units: Units
    metrics: tuple[Metric, ...]
    declared: tuple[Metric, ...]
    are_clusters: bool

    def named(self, gathered: Gathered) -> Gathered:
        """The same, its columns under the names that were declared."""
        states = {m.name: replace(gathered.metrics[m.name], columns=self._columns(m)) for m in self.declared}
        facts = {UNITS_ARE_CLUSTERS: 1.0} if self.are_clusters else {}
        return replace(gathered, metrics=states, facts={**gathered.facts, **facts})

    def _columns(self, metric: Metric) -> tuple[str, ...]:
        own = METRIC_KINDS.load(metric.kind)().columns(metric)
        size = (_SIZE,) if self.are_clusters and _is_sized(metric) else ()
        return (*own, *size, *metric.covariates)


@contextmanager
def added_up(engine: Engine, units: Units, *, metrics: Sequence[Metric]) -> Generator[AddedUp]:
    """Add up the rows of each unit (or cluster) in each arm, readable while the block runs.

    Outcomes are summed; a proportion or a step is whether any row has it; covariates are averaged. Of clusters a
    mean or proportion is one of rows: a ratio of the sum over the cluster's size.

    Raises
    ------
    UsageError
        ``units.no_id``: neither a unit nor a cluster says which rows belong together; ``units.cluster_metric``: a
        metric of clusters is of a kind that does not add up.
    """
    key = units.cluster or units.unit
    if key is None:
        raise _no_id()
    are_clusters = units.cluster is not None
    made: dict[Sql, str] = {}
    own = tuple(_own(m, units, made, are_clusters=are_clusters) for m in metrics)
    strata = [sql("min({s}) AS {a}", s=s, a=name(f"s{i}")) for i, s in enumerate(units.stratum_texts)]
    query = sql(
        "SELECT {arm} AS arm, {key} AS unit, {columns} FROM {rows} r GROUP BY {arm}, {key}",
        arm=units.arm_text,
        key=name(key),
        columns=commas([
            sql("min({d}) AS {a}", d=units.exposed_day, a=name(_DAY)),
            *strata,
            *(sql("{v} AS {a}", v=v, a=name(a)) for v, a in made.items()),
        ]),
        rows=units.rows,
    )  # fmt: skip
    engine.hold(_VIEW, query)
    try:
        yield AddedUp(
            units=_one_row(units, key, tuple(made.values())),
            metrics=own,
            declared=tuple(metrics),
            are_clusters=are_clusters,
        )
    finally:
        engine.release(_VIEW)


def _is_sized(metric: Metric) -> bool:
    return metric.kind in {"mean", "proportion"}


def _own(metric: Metric, units: Units, made: dict[Sql, str], *, are_clusters: bool) -> Metric:
    """The metric over columns of one row for each unit, which are noted in ``made``."""

    def column(how: str, expression: str) -> str:
        value = value_of(expression, units.columns)
        made_of = {
            "sum": sql("sum({v})", v=value),
            "ever": sql("max({v})", v=value),
            "mean": sql("avg({v})", v=value),
            "size": sql("count({v})", v=value),
        }[how]
        return made.setdefault(made_of, f"v{len(made)}")

    covariates = tuple(column("mean", c) for c in metric.covariates)
    if are_clusters and metric.kind not in {"mean", "proportion", "ratio"}:
        raise _cluster_metric(metric)
    if are_clusters and _is_sized(metric):
        return replace(
            metric,
            kind="ratio",
            outcome=column("sum", metric.outcome),
            over=column("size", metric.outcome),
            covariates=covariates,
        )
    how = "ever" if metric.kind in _EVER else "sum"
    over = None if metric.over is None else column(how, metric.over)
    return replace(metric, outcome=column(how, metric.outcome), over=over, covariates=covariates)


def _one_row(units: Units, key: str, columns: Sequence[str]) -> Units:
    strata = tuple(f"s{i}" for i in range(len(units.strata)))
    kinds = {_ARM: Kind.TEXT, _UNIT: units.columns[key], _DAY: Kind.DAY}
    return Units(
        rows=name(_VIEW),
        columns={**kinds, **dict.fromkeys(strata, Kind.TEXT), **dict.fromkeys(columns, Kind.NUMBER)},
        arm=_ARM,
        unit=_UNIT,
        strata=strata,
        exposed=None if units.exposed is None else _DAY,
    )


def _no_id() -> UsageError:
    return UsageError(
        "units.no_id",
        what="Units have several rows, and no column says which rows belong together.",
        why="Rows of one user taken as users make every error too small.",
        do="Name the column of ids: --user, or --cluster for what was randomized as a whole.",
    )


def _cluster_metric(metric: Metric) -> UsageError:
    return UsageError(
        "units.cluster_metric",
        what=f"{metric.name} is of the kind {metric.kind}, which rows of a cluster do not add up to.",
        why="Of clusters totals are compared: means, proportions and ratios.",
        do="Declare it as one of these.",
    )
