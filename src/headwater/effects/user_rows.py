"""Users themselves, for methods that permute them or draw them again; of small experiments only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding, Severity
from headwater.effects.gathered import ArmRows, Gathered
from headwater.effects.kind import METRIC_KINDS
from headwater.effects.metric import Metric
from headwater.effects.units import Units, value_of
from headwater.engine.arrays import column_floats
from headwater.engine.engine import Engine
from headwater.engine.sql import commas, name, sql

__all__ = ["BY_ROWS", "MOST_USERS", "rows_of", "with_user_rows"]

BY_ROWS = frozenset({"bootstrap", "permutation"})
"""Methods that need users' rows."""

MOST_USERS = 200_000
"""In all arms together; of more, means are as normal as permutations could show."""


def with_user_rows(
    gathered: Gathered, *, engine: Engine, units: Units, metrics: Sequence[Metric]
) -> Gathered:
    """The same, with the users of each metric that is served by permutation or bootstrap, if they are not too many."""
    wanted = [m for m in metrics if m.method in BY_ROWS]
    if not wanted or gathered.n_users.sum() > MOST_USERS or units.is_long or units.cluster is not None:
        return gathered
    states = {
        m.name: replace(gathered.metrics[m.name], rows=_rows(gathered, engine, units, m)) for m in wanted
    }
    return replace(gathered, metrics={**gathered.metrics, **states})


def rows_of(
    metric: Metric, gathered: Gathered, *, arms: tuple[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | Finding:
    """The users of two arms, shape (users, columns) each; a blocking finding where they were not gathered."""
    found = {rows.arm: rows.values for rows in gathered.metrics[metric.name].rows if len(rows.values) > 1}
    if arms[0] in found and arms[1] in found:
        return found[arms[0]], found[arms[1]]
    return _no_rows(metric, gathered)


def _rows(gathered: Gathered, engine: Engine, units: Units, metric: Metric) -> tuple[ArmRows, ...]:
    columns = METRIC_KINDS.load(metric.kind)().columns(metric)
    values = [sql("{v} AS {a}", v=value_of(c, units.columns), a=name(f"y{i}")) for i, c in enumerate(columns)]
    arms = tuple(dict.fromkeys(group.arm for group in gathered.groups))
    cap = gathered.metrics[metric.name].cap
    made: list[ArmRows] = []
    for arm in arms:
        rows = engine.arrow(
            sql(
                "SELECT * FROM (SELECT {values} FROM {rows} r WHERE {of} = {arm}) v ORDER BY {keys}",
                values=commas(values),
                rows=units.rows,
                of=units.arm_text,
                arm=arm,
                keys=[name(f"y{i}") for i in range(len(columns))],
            )
        )
        table = np.stack([column_floats(rows, f"y{i}") for i in range(len(columns))], axis=1)
        if cap is not None:
            table[:, 0] = np.minimum(table[:, 0], cap)
        made.append(ArmRows(arm=arm, values=table[np.isfinite(table).all(axis=1)]))
    return tuple(made)


def _no_rows(metric: Metric, gathered: Gathered) -> Finding:
    n = int(gathered.n_users.sum())
    return Finding(
        code="method.no_rows",
        severity=Severity.BLOCK,
        what=f"{metric.name} is to be compared by drawing users again, and they are not at hand; the experiment has {n} users.",
        why=f"Users are taken into memory up to {MOST_USERS} of them, one row each, and where the metric names the method.",
        do="Leave the method to Headwater: of so many users moments say as much.",
        numbers={"n_users": n},
    )
