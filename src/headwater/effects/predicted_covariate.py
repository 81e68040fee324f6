"""What was to be expected of each user before exposure, by a model that never saw that user: a covariate of metrics.

Boosted trees learn each outcome from columns known before exposure, of the users of the other folds (by the md5 of
their id). The prediction is used as a covariate, with a slope estimated in each arm, never taken off the outcome: one
that says nothing does no harm (MLRATE, arXiv 2106.07263).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.core.errors import ConfigError, DataError, UsageError, near_miss
from headwater.core.table import Kind
from headwater.effects.choose_method import PREDICTED
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.metric import Metric
from headwater.effects.units import Units, value_of
from headwater.engine.arrays import column_floats
from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, commas, name, shim, sql
from headwater.learners.boosting import BoostingData, Settings, cross_fit
from headwater.learners.boosting_encoder import Encoder, Words
from headwater.learners.boosting_losses import Objective

__all__ = ["with_predictions"]

_FOLDS = 4
_FEWEST = 200  # users with an outcome from which trees can learn
_VIEW = "predicted_outcomes"
_UNIT, _FOLD = "unit", "fold"
_DOUBLE, _TEXT = sql("DOUBLE"), sql("STRING")
_NUMBERS = {Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.MONEY}


def with_predictions(
    engine: Engine,
    units: Units,
    *,
    metrics: Sequence[Metric],
    known_before: Sequence[str],
    seed: int,
    settings: Settings | None = None,
) -> tuple[Units, tuple[Metric, ...]]:
    """The same users with predicted outcomes as more columns, and the metrics with these as covariates.

    A ratio gets two, of its outcome and of what it is over; quantiles get none.

    Parameters
    ----------
    known_before
        Columns known before exposure: numbers, conditions, text.

    Raises
    ------
    ConfigError
        ``source.missing_column``: a column is not there.
    UsageError
        ``covariate.no_unit``: users have no id, or several rows.
    DataError
        ``covariate.too_few_users``: too few have an outcome for a model to learn from.
    """
    for column in known_before:
        if column not in units.columns:
            raise _missing(column, units)
    if units.unit is None or units.is_long or units.cluster is not None:
        raise _no_unit()
    wanted = {m: _outcomes(m) for m in metrics}
    expressions = tuple(dict.fromkeys(e for some in wanted.values() for e in some))
    rows = engine.arrow(_query(units, units.unit, expressions, known_before))
    encoder = _encoder(units, rows, known_before)
    data = BoostingData.of(encoder.matrix(rows), categorical=encoder.categorical)
    folds = column_floats(rows, _FOLD).astype(np.int64)
    columns = {e: f"{PREDICTED}{i}" for i, e in enumerate(expressions)}
    predicted = {
        columns[e]: _predicted(data, column_floats(rows, f"y{i}"), folds, e, seed=seed, settings=settings)
        for i, e in enumerate(expressions)
    }
    engine.register(_VIEW, pa.table({_UNIT: rows.column(_UNIT), **predicted}))
    return _joined(units, units.unit, tuple(predicted)), tuple(
        replace(m, covariates=(*m.covariates, *(columns[e] for e in some))) for m, some in wanted.items()
    )


def _outcomes(metric: Metric) -> tuple[str, ...]:
    kind = METRIC_KINDS.load(metric.kind)()
    return kind.columns(metric) if isinstance(kind, SmoothKind) else ()


def _query(units: Units, unit: str, expressions: Sequence[str], known_before: Sequence[str]) -> Sql:
    text = sql("CAST({u} AS STRING)", u=name(unit))
    outcomes = [
        sql("{v} AS {a}", v=value_of(e, units.columns), a=name(f"y{i}")) for i, e in enumerate(expressions)
    ]
    known = [
        sql("CAST({c} AS {to}) AS {c}", c=name(c), to=_DOUBLE if units.columns[c] in _NUMBERS else _TEXT)
        for c in known_before
    ]
    return sql(
        "SELECT {t} AS {u}, {bucket} % {k} AS {f}, {rest} FROM {rows} r ORDER BY {t}",
        t=text,
        u=name(_UNIT),
        bucket=shim("bucket", text),
        k=_FOLDS,
        f=name(_FOLD),
        rest=commas([*outcomes, *known]),
        rows=units.rows,
    )


def _encoder(units: Units, rows: pa.Table, known_before: Sequence[str]) -> Encoder:
    numbers = tuple(c for c in known_before if units.columns[c] in _NUMBERS)
    words = tuple(Words.learned(c, rows) for c in known_before if units.columns[c] not in _NUMBERS)
    return Encoder(numbers=numbers, words=words)


def _predicted(
    data: BoostingData,
    outcome: NDArray[np.float64],
    folds: NDArray[np.int64],
    expression: str,
    *,
    seed: int,
    settings: Settings | None,
) -> NDArray[np.float64]:
    known = np.isfinite(outcome)
    if min(int(known.sum()), np.bincount(folds[known], minlength=_FOLDS).min() * _FOLDS) < _FEWEST:
        raise _too_few(expression, int(known.sum()))
    return cross_fit(
        data,
        np.where(known, outcome, 0.0),
        objective=Objective(kind="regression"),
        folds=folds,
        seed=seed,
        settings=settings or Settings(),
        rows=np.flatnonzero(known).astype(np.int32),
    ).held


def _joined(units: Units, unit: str, columns: Sequence[str]) -> Units:
    rows = sql(
        "(SELECT r.*, {columns} FROM {rows} r LEFT JOIN {view} p ON CAST(r.{unit} AS STRING) = p.{key})",
        columns=commas([sql("p.{c}", c=name(c)) for c in columns]),
        rows=units.rows,
        view=name(_VIEW),
        unit=name(unit),
        key=name(_UNIT),
    )
    return replace(units, rows=rows, columns={**units.columns, **dict.fromkeys(columns, Kind.NUMBER)})


def _missing(column: str, units: Units) -> ConfigError:
    return ConfigError(
        "source.missing_column",
        what=f"The experiment's rows have no column '{column}'.",
        why="Outcomes were to be predicted from it.",
        do=near_miss(column, units.columns),
    )


def _no_unit() -> UsageError:
    return UsageError(
        "covariate.no_unit",
        what="Predictions as covariates need one row for each user, under the user's id.",
        why="Without an id a user's own outcome cannot be kept from the model that predicts it.",
        do="Name the column of ids as the unit, and add up the rows of each user first.",
    )


def _too_few(expression: str, n: int) -> DataError:
    return DataError(
        "covariate.too_few_users",
        what=f"{n} users have the outcome '{expression}'; a model needs {_FEWEST}, spread over {_FOLDS} folds.",
        why="What trees learn of fewer is noise, and as a covariate it saves nothing.",
        do="Declare covariates of your own, or wait for more users.",
        n_users=n,
    )
