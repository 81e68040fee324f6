"""Fit a model by name and forecast with intervals, made the same way for every model.

Intervals come from how far the predictor was off on the latest window that has matured, each user once
(binned split-conformal). The hurdle is judged on users held out; the others have too few parameters to
memorize users and are judged on those they were fitted with, which the backtest's coverage then checks. A buy-till-you-die model without any matured window falls back to its own predictive draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import cast

import numpy as np

from headwater.core.block import Block, Field, Grid, Prose, callouts
from headwater.core.errors import DataError, UsageError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Snapshot, Task
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.engine.arrays import column_floats
from headwater.learners.boosting import predicting_with
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Floats, Pairs, Predictor, State, Training
from headwater.numerics import intervals
from headwater.numerics.forecast import Forecast
from headwater.numerics.intervals import BinnedQuantiles
from headwater.snapshots.rows import rows_at

__all__ = ["FittedModel", "fit_model", "no_interval", "restore_model", "too_high"]

_FEWEST_PAIRS = 200
_VARIANCE_BINS = 20
_CLEAR = 3.0
_BIN_FLOATS = ("edges", "floors", "low", "high", "knots", "low_steps", "high_steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastErrors:
    """How far predictions were off: quantile bins for intervals, squared errors by size for variances.

    ``sizes`` and ``variances`` have shape (n_bins,): mean prediction and mean squared error of a bin.
    """

    bins: BinnedQuantiles
    sizes: Floats
    variances: Floats

    @classmethod
    def of(cls, pairs: Pairs, *, level: float) -> PastErrors | None:
        """Learn from pairs; None where they are too few to say anything at this level."""
        if pairs.actual.size < _fewest(level):
            return None
        sizes, variances = _errors_by_size(pairs)
        bins = intervals.fit_bins(pairs.predicted, pairs.actual, level=level)
        return cls(bins=bins, sizes=sizes, variances=variances)

    def variance(self, mean: Floats) -> Floats:
        """Variance by size; beyond the largest bin it grows with the square of the forecast."""
        inside = np.interp(mean, self.sizes, self.variances)
        top = self.sizes[-1]
        return inside * np.maximum(1.0, mean / top) ** 2 if top > 0 else inside


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FittedModel(Shown):
    """A model that can forecast: its name, its task, its predictor, its past errors, and the threads it may use."""

    name: str
    task: Task
    predictor: Predictor
    errors: PastErrors | None
    findings: tuple[Finding, ...]
    threads: int = 1

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a reader may want to know of the fit."""
        return self.predictor.facts

    def __repr__(self) -> str:
        return f"FittedModel({self.name!r}, target={self.task.target!r}, n_facts={len(self.facts)}, n_findings={len(self.findings)})"

    def blocks(self) -> tuple[Block, ...]:
        """What was fitted to what, the facts of the fit, and its findings."""
        fields = (Field(name="fact", label="Fact"), Field(name="value", label="Value"))
        told = f"{self.name} ({LTV_MODELS.load(self.name).about}), fitted to {self.task.value} in the next {self.task.horizon_days} days."
        return (
            Prose(text=told),
            Grid.of(f"fit_{self.task.target}", "What was fitted", fields, self.facts),
            *callouts(self.findings),
        )

    def forecast(self, snapshot: Snapshot, *, cutoff: int, rng: np.random.Generator) -> Forecast:
        """Forecast the users of one cutoff, in the order of the snapshot's rows.

        Raises ``UsageError`` where the snapshot has no such cutoff, ``DataError`` where it has nobody at it
        (both ``forecast.nobody``) or nothing says how far a forecast may be off (``forecast.no_interval``).
        """
        rows = rows_at(snapshot, cutoff, self.predictor.columns)
        if rows.num_rows == 0:
            raise nobody_at(snapshot, cutoff)
        with predicting_with(self.threads):
            mean = self.predictor.predict(rows)
        level = self.task.level
        if self.errors is not None:
            low, high = intervals.apply(self.errors.bins, mean)
            low, high = np.minimum(low, mean), np.maximum(high, mean)
            return Forecast(
                mean=mean,
                low=low,
                high=high,
                variance=self.errors.variance(mean),
                level=level,
                method="errors on matured windows",
                bins=self.errors.bins,
            )
        draws = self.predictor.spread(rows, level=level, rng=rng)
        if draws is None:
            raise no_interval(self.name, self.task)
        return Forecast(
            mean=mean,
            low=draws.low,
            high=draws.high,
            variance=draws.variance,
            level=level,
            method="the model's own draws",
        )

    def state(self) -> State:
        """Numbers and text from which ``restore_model`` makes the same model."""
        errors = None if self.errors is None else {k: _plain(v) for k, v in asdict(self.errors).items()}
        return {
            "name": self.name,
            "task": asdict(self.task),
            "predictor": self.predictor.state(),
            "errors": errors,
        }


def fit_model(name: str, training: Training) -> FittedModel:
    """Fit a model of the shelf.

    Raises ``UsageError`` for an unknown name or a horizon the snapshot was not built for, ``DataError`` where
    the data cannot carry the model.
    """
    _require_target(training)
    with predicting_with(training.threads):
        predictor = training.fitted(name, LTV_MODELS.load(name))
        pairs = predictor.held_out or _past_pairs(predictor, training)
    errors = PastErrors.of(pairs, level=training.task.level)
    return FittedModel(
        name=name,
        task=training.task,
        predictor=predictor,
        errors=errors,
        findings=(*predictor.findings, *too_high(name, pairs, errors, unit=training.task.unit)),
        threads=training.threads,
    )


def restore_model(state: State, *, threads: int = 1) -> FittedModel:
    """The model of a saved state, to forecast with so many threads."""
    task = Task(**cast("dict[str, object]", state["task"]))  # pyright: ignore[reportArgumentType]  values are checked by the caller's schema
    name = str(state["name"])
    predictor = LTV_MODELS.load(name)().restore(task, cast("Mapping[str, object]", state["predictor"]))
    saved = cast("dict[str, dict[str, object]] | None", state["errors"])
    errors = _restored_errors(saved)
    return FittedModel(name=name, task=task, predictor=predictor, errors=errors, findings=(), threads=threads)


def no_interval(model: str, task: Task) -> DataError:
    """Too few users to say how far a model may be off."""
    return DataError(
        "forecast.no_interval",
        what=f"Fewer than {_fewest(task.level)} users stood at the latest cutoff whose window of {task.horizon_days} days has ended, so nothing says how far {model} may be off.",
        why="A forecast without an interval looks surer than it is.",
        do="Use a shorter horizon or a longer log; at an age, cohorts of more days (cohort_days).",
    )


def too_high(model: str, pairs: Pairs, errors: PastErrors | None, *, unit: str) -> list[Finding]:
    """Users of some size of whom nearly all brought less than was said, and all together clearly less (bin by bin): High is the forecast there.

    A mean above what nearly all bring is no error by itself, where a few bring much.
    """
    if errors is None:
        return []
    bins = errors.bins
    bin_of = np.searchsorted(bins.edges[:-1], pairs.predicted, side="left")
    missing, n = pairs.predicted - pairs.actual, bins.n_users
    mean = np.bincount(bin_of, missing, minlength=n.size) / n
    error = np.sqrt(np.bincount(bin_of, (missing - mean[bin_of]) ** 2, minlength=n.size)) / n
    inside = (~bins.absolute & (bins.high < 1) & (mean > _CLEAR * error))[bin_of]
    if not inside.any():
        return []
    said, came = pairs.predicted[inside], pairs.actual[inside]
    return [
        Finding(
            code="interval.forecast_too_high",
            severity=Severity.WARN,
            what=f"{said.size:,} of {inside.size:,} past users, {model} forecasting {said.min():,.4g} to {said.max():,.4g} {unit} for each, brought {came.sum() / said.sum():.0%} of it together, and at least {bins.level:.0%} of them less than forecast.",
            why="It says too much for users of that size: the upper bound learned there lies below the forecast, so High is the forecast itself and says nothing.",
            do="For such users read Low, not High, and forecast the largest by hand.",
            numbers={"n_users": int(said.size), "came": float(came.sum()), "said": float(said.sum())},
        )
    ]


def _fewest(level: float) -> int:
    return max(_FEWEST_PAIRS, ceil(2 / (1 - level)))


def _require_target(training: Training) -> None:
    task, snapshot = training.task, training.snapshot
    if task.horizon_days not in snapshot.horizons:
        built = ", ".join(f"{h}d" for h in snapshot.horizons)
        raise UsageError(
            "fit.other_horizon",
            what=f"The snapshot was built for the horizons {built}, not for {task.horizon_days}d.",
            why="It holds no outcome of that length to learn from.",
            do=f"Build it with horizons=['{task.horizon_days}d'], or fit one of {built}.",
        )


def nobody_at(snapshot: Snapshot, cutoff: int) -> DataError | UsageError:
    """That a snapshot holds no user at a cutoff, or has no such cutoff (``forecast.nobody``)."""
    kind = DataError if cutoff in snapshot.cutoffs else UsageError
    return kind(
        "forecast.nobody",
        what=f"The snapshot holds no user at {date_of(cutoff)}.",
        why="There is nobody to forecast.",
        do=f"Choose one of its cutoffs: {', '.join(str(date_of(c)) for c in snapshot.cutoffs)}.",
    )


def _past_pairs(predictor: Predictor, training: Training) -> Pairs:
    rows = training.last_matured(predictor.columns)
    if rows.num_rows == 0:
        return Pairs(predicted=np.empty(0), actual=np.empty(0))
    return Pairs(predicted=predictor.predict(rows), actual=column_floats(rows, training.task.target))


def _restored_errors(saved: Mapping[str, object] | None) -> PastErrors | None:
    if saved is None:
        return None
    bins = cast("dict[str, object]", saved["bins"])
    return PastErrors(
        bins=BinnedQuantiles(
            level=float(cast("float", bins["level"])),
            absolute=np.asarray(bins["absolute"], dtype=bool),
            n_users=np.asarray(bins["n_users"], dtype=np.int64),
            **{name: np.asarray(bins[name], dtype=float) for name in _BIN_FLOATS},
        ),
        sizes=np.asarray(saved["sizes"], dtype=float),
        variances=np.asarray(saved["variances"], dtype=float),
    )


def _errors_by_size(pairs: Pairs) -> tuple[Floats, Floats]:
    """Mean prediction and mean squared error of about equal groups; equal predictions are never split."""
    order = np.argsort(pairs.predicted, kind="stable")
    ordered = pairs.predicted[order]
    squares = (pairs.actual - pairs.predicted)[order] ** 2
    wanted = np.linspace(0, ordered.size, min(_VARIANCE_BINS, ordered.size // 50) + 1)[1:-1].astype(np.int64)
    starts = np.unique(np.append(0, np.searchsorted(ordered, ordered[wanted], side="left")))
    counts = np.diff(np.append(starts, ordered.size))
    return np.add.reduceat(ordered, starts) / counts, np.add.reduceat(squares, starts) / counts


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return value
