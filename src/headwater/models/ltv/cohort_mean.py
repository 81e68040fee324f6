"""Cohort mean: a user will be worth what users of the same age were worth. A baseline that knows the level only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import pyarrow as pa

from headwater.core.finding import Finding
from headwater.core.ledger import Task
from headwater.engine.arrays import column_floats
from headwater.models.model import Draws, Floats, Pairs, Predictor, State, Training, require_signal

__all__ = ["CohortMean"]

_BAND_DAYS = 28
_FEW = 30


class CohortMean:
    """The mean matured outcome of users in the same four-week band of tenure at their cutoff.

    A band with fewer than 30 matured users takes the mean of the nearest younger band that has them.
    """

    about: ClassVar[str] = "the mean of users of the same age, in four-week bands"
    simplicity: ClassVar[int] = 2
    by_default: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Average the matured outcomes by band. Raises ``DataError`` where nothing has matured."""
        rows = training.mature(("tenure_days",))
        actual = require_signal(training, rows)
        band = _band(column_floats(rows, "tenure_days"))
        counts = np.bincount(band)
        sums = np.bincount(band, weights=actual)
        overall = float(actual.mean())
        means: list[float] = []
        for n, total in zip(counts, sums, strict=True):
            means.append(float(total / n) if n >= _FEW else (means[-1] if means else overall))
        return _Means(means=tuple(means))

    def restore(self, task: Task, state: State) -> Predictor:
        """The bands of a saved state."""
        del task
        return _Means(means=tuple(float(m) for m in cast("list[float]", state["means"])))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Means:
    means: tuple[float, ...]
    findings: tuple[Finding, ...] = ()
    held_out: Pairs | None = None
    columns: tuple[str, ...] = ("tenure_days",)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        return (("bands of tenure", f"{len(self.means)} of {_BAND_DAYS} days"),)

    def predict(self, rows: pa.Table) -> Floats:
        band = np.minimum(_band(column_floats(rows, "tenure_days")), len(self.means) - 1)
        return np.asarray(self.means)[band]

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        del rows, level, rng
        return None

    def state(self) -> State:
        return {"means": list(self.means)}


def _band(tenure: Floats) -> np.ndarray:
    return (tenure // _BAND_DAYS).astype(np.int64)
