"""LightGBM hurdle: the probability of any value, times the amount if there is some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding
from headwater.core.ledger import Task
from headwater.engine.arrays import column_floats
from headwater.learners.boosting import Boosted, Settings, cross_fit, fit_boosting, restore_boosting
from headwater.models.model import Draws, Floats, Pairs, Predictor, State, Training, require_signal

__all__ = ["LightgbmHurdle"]

_FOLDS, _FOLDS_OF_MANY = 5, 3
_MANY_ROWS = (
    50_000  # above it two thirds of the rows teach as much as four fifths, at three fits instead of five
)
_FEWEST_POSITIVE = 30
_SETTINGS = Settings()


class LightgbmHurdle:
    """Two boosted models on all features: whether the outcome is above zero, and the log of the amount.

    The amount is brought back from logs by the ratio of held-out actual to held-out predicted totals (a
    smearing factor that is right for the mean), so that the whole adds up on users the model did not see.
    """

    about: ClassVar[str] = "gradient boosting: probability of any value, times the amount"
    simplicity: ClassVar[int] = 5
    by_default: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Learn from matured windows. Raises ``DataError`` where none has matured."""
        names = tuple(c.name for c in training.snapshot.features)
        rows = training.mature((*names, "bucket"))
        actual = require_signal(training, rows)
        matrix = _matrix(rows, names)
        folds = _folds(column_floats(rows, "bucket"))
        _require_amounts(actual, folds)
        seed = int(training.rng.integers(2**31 - 1))
        positive = actual > 0
        logs = np.log(actual[positive])
        any_held = cross_fit(
            matrix,
            positive.astype(float),
            objective="binary",
            names=names,
            folds=folds,
            seed=seed,
            settings=_SETTINGS,
        )
        any_model = fit_boosting(
            matrix, positive.astype(float), objective="binary", names=names, seed=seed, settings=_SETTINGS
        )
        amount_model = fit_boosting(
            matrix[positive], logs, objective="regression", names=names, seed=seed, settings=_SETTINGS
        )
        amount_held = _held_amounts(matrix, logs, positive=positive, folds=folds, names=names, seed=seed)
        held = any_held * np.exp(amount_held)
        factor = float(actual.sum() / held.sum())
        cutoffs = column_floats(rows, "cutoff")
        latest = cutoffs == cutoffs.max()
        return _Hurdle(
            columns=names,
            any_model=any_model,
            amount_model=amount_model,
            factor=factor,
            held_out=Pairs(predicted=held[latest] * factor, actual=actual[latest]),
            facts=_facts(names, any_model, amount_model, factor=factor, n_rows=actual.size),
        )

    def restore(self, task: Task, state: State) -> Predictor:
        """The two models of a saved state."""
        del task
        return _Hurdle(
            columns=tuple(cast("list[str]", state["columns"])),
            any_model=restore_boosting(str(state["any_model"])),
            amount_model=restore_boosting(str(state["amount_model"])),
            factor=float(cast("float", state["factor"])),
            held_out=None,
            facts=(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hurdle:
    columns: tuple[str, ...]
    any_model: Boosted
    amount_model: Boosted
    factor: float
    held_out: Pairs | None
    facts: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...] = ()

    def predict(self, rows: pa.Table) -> Floats:
        matrix = _matrix(rows, self.columns)
        return self.any_model.predict(matrix) * np.exp(self.amount_model.predict(matrix)) * self.factor

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        del rows, level, rng
        return None

    def state(self) -> State:
        return {
            "columns": list(self.columns),
            "any_model": self.any_model.text(),
            "amount_model": self.amount_model.text(),
            "factor": self.factor,
        }


def _folds(buckets: Floats) -> NDArray[np.int64]:
    """Fold of each row, by its user's bucket, so that a user's rows lie in one fold."""
    n_folds = _FOLDS if buckets.size <= _MANY_ROWS else _FOLDS_OF_MANY
    return (buckets % n_folds).astype(np.int64)


def _require_amounts(actual: Floats, folds: NDArray[np.int64]) -> None:
    positive = actual > 0
    if positive.sum() < _FEWEST_POSITIVE or np.unique(folds[positive]).size < 2 or actual.sum() <= 0:
        raise DataError(
            "fit.nothing_to_learn",
            what=f"{actual.size:,} matured rows, {int(positive.sum()):,} of them above zero, {actual.sum():,.2f} in total.",
            why="How large amounts are cannot be learned from so few, nor a mean from a total that is not above zero.",
            do="Check the measure, or use a longer log or a simpler model.",
        )


def _matrix(rows: pa.Table, names: tuple[str, ...]) -> Floats:
    return np.column_stack([column_floats(rows, n) for n in names])


def _held_amounts(
    matrix: Floats,
    logs: Floats,
    *,
    positive: np.ndarray,
    folds: np.ndarray,
    names: tuple[str, ...],
    seed: int,
) -> Floats:
    """Held-out log amounts for every row, by models that saw the positive rows of the other folds."""
    held = np.empty(positive.size)
    for fold in np.unique(folds):
        inside = folds == fold
        learn = ~inside[positive]
        model = fit_boosting(
            matrix[positive][learn],
            logs[learn],
            objective="regression",
            names=names,
            seed=seed,
            settings=_SETTINGS,
        )
        held[inside] = model.predict(matrix[inside])
    return held


def _facts(
    names: tuple[str, ...], any_model: Boosted, amount_model: Boosted, *, factor: float, n_rows: int
) -> tuple[tuple[str, str], ...]:
    gains = any_model.gains() / max(any_model.gains().sum(), 1.0) + amount_model.gains() / max(
        amount_model.gains().sum(), 1.0
    )
    top = ", ".join(names[i] for i in np.argsort(-gains)[:5])
    return (
        ("matured rows learned from", f"{n_rows:,}"),
        ("factor back from logs", f"{factor:.3f}"),
        ("features that gained most", top),
    )
