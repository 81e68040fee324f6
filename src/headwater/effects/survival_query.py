"""Days to an event by arm: how many users saw it on each day, and how many were last seen without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from headwater.effects.gathered import MetricState, SurvivalState
from headwater.effects.metric import Metric
from headwater.effects.moment_query import MomentRows
from headwater.effects.units import Units, value_of
from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, sql

__all__ = ["with_survival"]


def with_survival(
    engine: Engine,
    rows: MomentRows,
    units: Units,
    metrics: Sequence[Metric],
    states: Mapping[str, MetricState],
) -> dict[str, MetricState]:
    """The states of metrics, those of the kind ``time_to_event`` with their counts by day."""
    return {
        **states,
        **{
            m.name: replace(states[m.name], survival=_states(engine, rows, units, m))
            for m in metrics
            if m.kind == "time_to_event" and m.over is not None
        },
    }


def _states(engine: Engine, rows: MomentRows, units: Units, metric: Metric) -> tuple[SurvivalState, ...]:
    """An event beyond the days observed is not known yet; who was not observed for a day is left out."""
    horizon = None if metric.days is None else metric.days[1] + 1
    found = engine.rows(_query(rows, units, metric, horizon))
    arms = sorted({str(arm) for arm, *_ in found})
    return tuple(
        SurvivalState(
            arm=arm,
            days=np.array([day for a, day, *_ in found if str(a) == arm], dtype=np.int64),
            events=np.array([n for a, _, n, _ in found if str(a) == arm], dtype=np.int64),
            censored=np.array([n for a, _, _, n in found if str(a) == arm], dtype=np.int64),
            horizon=horizon,
        )
        for arm in arms
    )


def _query(rows: MomentRows, units: Units, metric: Metric, horizon: int | None) -> Sql:
    observed = sql("floor({v})", v=value_of(metric.over or "", units.columns))
    known = observed if horizon is None else sql("least({o}, {h})", o=observed, h=float(horizon))
    return sql(
        "SELECT arm, CAST(CASE WHEN is_seen THEN day ELSE observed - 1 END AS BIGINT) AS day,"
        " sum(CASE WHEN is_seen THEN 1 ELSE 0 END), sum(CASE WHEN is_seen THEN 0 ELSE 1 END)"
        " FROM (SELECT arm, observed, day, coalesce(day < observed, FALSE) AS is_seen"
        " FROM (SELECT {arm} AS arm, {known} AS observed, floor({day}) AS day FROM {rows} r WHERE {where}) x WHERE observed > 0) y"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        arm=rows.arm,
        known=known,
        day=value_of(metric.outcome, units.columns),
        rows=rows.rows,
        where=rows.where,
    )
