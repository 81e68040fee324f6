"""Users assigned together, added up: one row for each cluster, and every metric a ratio over the cluster's users.

The mean over users is the clusters' totals over their sizes; a ratio keeps its own denominator. The error then goes by
clusters, as the assignment did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.core.table import Kind
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.metric import Metric
from headwater.effects.units import Units, value_of
from headwater.engine.sql import Sql, commas, conjunction, name, sql

__all__ = ["clustered"]


def clustered(units: Units, metrics: Sequence[Metric]) -> tuple[Units, tuple[Metric, ...]]:
    """Units that are clusters, and the metrics over their columns; metrics that are no function of means are left out.

    A cluster with users in several arms becomes a row in each: the checks see that it was not assigned as a whole.
    """
    columns: dict[str, Kind] = {}
    cells: list[Sql] = []
    found: list[Metric] = []
    for metric in metrics:
        kind = METRIC_KINDS.load(metric.kind)()
        if not isinstance(kind, SmoothKind):
            continue
        values = [value_of(c, units.columns) for c in kind.columns(metric)]
        known = conjunction([sql("{v} IS NOT NULL", v=v) for v in values])
        over = values[1] if len(values) > 1 else sql("1.0")
        covariates = [value_of(c, units.columns) for c in metric.covariates]
        names = [
            f"{metric.name} total",
            f"{metric.name} over",
            *(f"{metric.name}: {c}" for c in metric.covariates),
        ]
        for column, value in zip(names, (values[0], over, *covariates), strict=True):
            cells.append(sql("sum(CASE WHEN {k} THEN {v} END) AS {c}", k=known, v=value, c=name(column)))
            columns[column] = Kind.NUMBER
        total, below, *beside = (f"col({n!r})" for n in names)
        found.append(
            replace(metric, kind="ratio", outcome=total, over=below, covariates=tuple(beside), winsorize=None)
        )
    keys = [units.arm, units.cluster or units.arm, *units.strata]
    day = sql("min({d}) AS {c}", d=units.exposed_day, c=name("exposed day"))
    rows = sql(
        "(SELECT {keys}, {day}, {cells} FROM {r} r WHERE {c} IS NOT NULL GROUP BY {keys})",
        keys=commas([name(k) for k in keys]),
        day=day,
        cells=commas(cells),
        r=units.rows,
        c=name(keys[1]),
    )
    kinds = {k: units.columns[k] for k in keys} | {"exposed day": Kind.DAY} | columns
    whole = replace(units, rows=rows, columns=kinds, unit=keys[1], exposed="exposed day", cluster=None)
    return whole, tuple(found)
