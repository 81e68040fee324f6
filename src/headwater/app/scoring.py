"""Score any fitted model on Spark: Arrow batches in, forecasts with their intervals out, on the executors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pyarrow as pa

from headwater.core.errors import DataError, UsageError, near_miss
from headwater.engine.spark_session import speaking_arrow
from headwater.engine.spark_text import back_quoted
from headwater.models.forecasting import FittedModel, restore_model
from headwater.models.model import Draws
from headwater.numerics import intervals

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["score_on_spark"]

_MADE = ("forecast", "low", "high", "variance")


def score_on_spark(
    model: FittedModel, rows: DataFrame, *, keys: Sequence[str] = ("user_id",), seed: int = 7
) -> DataFrame:
    """Forecast every row of a Spark frame, on your own session; nothing comes to the driver.

    The model travels as text and is restored on the executors, whose Python needs headwater. The columns
    are the keys, then ``forecast``, ``low``, ``high`` (bounds of one user's outcome at the task's level) and
    ``variance``, in the target's unit and equal to what ``forecast`` gives for the same rows.

    Parameters
    ----------
    model
        As fitted, or read back with ``restore_model``.
    rows
        One row for each user, with the snapshot's columns that the model reads (``model.predictor.columns``).
    keys
        Columns that say whose forecast it is; they are handed through.
    seed
        Only where no window had matured when the model was fitted and its own draws make the interval: each
        batch then draws by itself, so such bounds differ by sampling noise with how Spark cuts the rows.

    Raises
    ------
    UsageError
        ``score.columns``: the frame lacks a column the model reads.

    Notes
    -----
    What cannot be done row by row is not done here: totals over a group, whose interval needs the error that
    its users share (``numerics.intervals.interval_of_total``; sum ``forecast`` and ``variance`` on Spark).
    """
    needed = list(dict.fromkeys([*keys, *model.predictor.columns]))
    missing = [c for c in needed if c not in rows.columns]
    if missing:
        raise UsageError(
            "score.columns",
            what=f"The frame lacks {len(missing)} of the {len(needed)} columns that {model.name} reads: {', '.join(missing[:8])}.",
            why="A forecast without them would be another model's.",
            do=near_miss(missing[0], rows.columns),
        )
    types = {f.name: f.dataType.simpleString() for f in rows.schema.fields}
    schema = ", ".join(
        [*(f"{back_quoted(k)} {types[k]}" for k in keys), *(f"{back_quoted(c)} double" for c in _MADE)]
    )
    scorer = _Scorer(json.dumps(model.state()), keys=tuple(keys), seed=seed)
    with speaking_arrow():
        return rows.select(*(back_quoted(c) for c in needed)).mapInArrow(scorer, schema)


class _Scorer:
    """Forecasts Arrow batches on an executor. Travels to it, so it holds plain values only."""

    def __init__(self, state: str, *, keys: tuple[str, ...], seed: int) -> None:
        self.state = state
        self.keys = keys
        self.seed = seed

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = restore_model(json.loads(self.state))
        for batch in batches:
            rows = pa.Table.from_batches([batch])
            if rows.num_rows:
                yield from self._scored(model, rows).to_batches()

    def _scored(self, model: FittedModel, rows: pa.Table) -> pa.Table:
        mean = model.predictor.predict(rows)
        draws = _spread(model, rows, mean, rng=np.random.default_rng([self.seed, _print_of(rows)]))
        arrays: dict[str, Any] = {k: rows.column(k) for k in self.keys}
        made = (mean, draws.low, draws.high, draws.variance)
        arrays |= {c: pa.array(values, pa.float64()) for c, values in zip(_MADE, made, strict=True)}
        return pa.table(arrays)


def _spread(model: FittedModel, rows: pa.Table, mean: np.ndarray, *, rng: np.random.Generator) -> Draws:
    """The interval of each row as ``FittedModel.forecast`` makes it."""
    if model.errors is not None:
        low, high = intervals.apply(model.errors.bins, mean)
        return Draws(
            low=np.minimum(low, mean), high=np.maximum(high, mean), variance=model.errors.variance(mean)
        )
    draws = model.predictor.spread(rows, level=model.task.level, rng=rng)
    if draws is None:
        raise DataError(
            "forecast.no_interval",
            what=f"No window of {model.task.horizon_days} days had matured when {model.name} was fitted.",
            why="A forecast without an interval looks surer than it is.",
            do="Use a shorter horizon or a longer log.",
        )
    return draws


def _print_of(rows: pa.Table) -> int:
    return crc32(str(rows.slice(0, 1).to_pylist()).encode(), rows.num_rows)
