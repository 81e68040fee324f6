"""What boosted models learn from: rows in one order whatever order they came in, binned once, whales capped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.engine.arrays import column_floats
from headwater.learners.boosting import Boosted, BoostingData, Settings, cross_fit, fit_boosting
from headwater.learners.boosting_encoder import Encoder, Words
from headwater.learners.boosting_losses import Objective
from headwater.models.model import Floats, Setting, Training, require_signal
from headwater.models.settings import Learned, checked, learned_columns
from headwater.numerics.whales import Cap, whale_cap

__all__ = ["SETTINGS", "Grown", "Lesson", "read_lesson"]

_FOLDS, _FOLDS_OF_MANY = 5, 3
_MANY_ROWS = (
    50_000  # above it two thirds of the rows teach as much as four fifths, at three fits instead of five
)
_FEWEST_POSITIVE = 30
_D = Settings()

SETTINGS = (
    Setting(name="rounds", low=1, high=20_000, default=_D.rounds, about="The most rounds of boosting; growing stops before where held-out users gain nothing more."),
    Setting(name="learning_rate", low=1e-4, high=1.0, default=_D.learning_rate, about="How far each round goes."),
    Setting(name="leaves", low=2, high=4_096, default=_D.leaves, about="The most leaves of a tree."),
    Setting(name="rows_in_leaf", low=1, high=1_000_000_000, default=_D.rows_in_leaf, about="The fewest rows of a leaf."),
    Setting(name="share_of_features", low=0.01, high=1.0, default=_D.share_of_features, about="The share of columns that each tree may look at."),
    Setting(name="penalty", low=0.0, high=1e6, default=_D.penalty, about="L2 penalty on the values of leaves."),
    Setting(name="without", default=(), about="Groups of features that are left out, by their name on the shelf; attributes is all text columns."),
    Setting(name="rising", default=(), about="Numeric columns in which a forecast may never fall."),
    Setting(name="falling", default=(), about="Numeric columns in which a forecast may never rise."),
)  # fmt: skip
"""What the boosted models take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A model of all rows, and what models that never saw a row's user said of it: shape (n_rows,) or (n_rows, 2)."""

    model: Boosted
    held: Floats
    rounds: int
    in_leaf: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Matured rows. ``actual`` is what happened, ``target`` what is learned: zero at least, the cap at most.

    Arrays have shape (n_rows,); ``groups`` holds the codes of text columns, ``folds`` the fold of a row's user.
    """

    data: BoostingData
    encoder: Encoder
    actual: Floats
    target: Floats
    cap: Cap
    users: pa.ChunkedArray
    cutoffs: Floats
    buckets: NDArray[np.int64]
    groups: Mapping[str, NDArray[np.int64]]
    settings: Settings
    seed: int

    @property
    def folds(self) -> NDArray[np.int64]:
        """Fold of each row, by its user's bucket, so that a user's rows lie in one fold."""
        return _folds(self.buckets)

    @property
    def paying(self) -> NDArray[np.int32]:
        """The rows above zero."""
        return np.flatnonzero(self.target > 0).astype(np.int32)

    def try_out(self, objective: Objective, target: Floats) -> Floats:
        """Predictions of the first fold's rows by a model of the others; NaN for all other rows."""
        first = self.folds == self.folds.min()
        crossed = cross_fit(
            self.data,
            target,
            objective=objective,
            folds=np.where(first, 0, -1),
            seed=self.seed,
            settings=self.settings,
        )
        return crossed.held

    def grow(self, objective: Objective, target: Floats, *, rows: NDArray[np.int32] | None = None) -> Grown:
        """Grow a model for an objective on ``rows`` (all unless given), as long as held-out users gain from it."""
        crossed = cross_fit(
            self.data,
            target,
            objective=objective,
            folds=self.folds,
            seed=self.seed,
            settings=self.settings,
            rows=rows,
        )
        whole = fit_boosting(
            self.data,
            target,
            objective=objective,
            seed=self.seed,
            settings=replace(self.settings, rounds=crossed.rounds),
            rows=rows,
        )
        in_leaf = self.settings.in_leaf(self.actual.size if rows is None else rows.size)
        return Grown(model=whole, held=crossed.held, rounds=crossed.rounds, in_leaf=in_leaf)


def read_lesson(training: Training, *, rung: int | None = None, after: int | None = None) -> Lesson:
    """The rows whose window of ``rung`` days (the task's unless given) has ended; of what came after ``after`` days.

    Rows are put in the order of cutoff and user; columns are read a few at a time, so that the matrix is the largest
    thing held. Raises ``DataError`` where they are too few.
    """
    learned = learned_columns(training.snapshot, training.settings)
    settings, texts = _settings(training, learned), learned.texts
    target = training.target_of(training.task.horizon_days if rung is None else rung)
    early = () if after is None else (training.target_of(after),)
    rows = training.mature((*early, *texts, "user_id", "bucket"), rung=rung)
    if rung is None:
        require_signal(training, rows)
    order = _order(rows)
    if early and rows.column(early[0]).null_count:
        order = _without_null(rows, early[0], order)
    rows = _taken(rows, order)
    actual = column_floats(rows, target) - (column_floats(rows, early[0]) if early else 0.0)
    buckets = column_floats(rows, "bucket").astype(np.int64)
    cap = whale_cap(actual)
    target_of_rows = cap.applied(np.maximum(actual, 0.0))
    _require_amounts(actual, target_of_rows, _folds(buckets))
    encoder = Encoder(numbers=learned.numbers, words=tuple(Words.learned(t, rows) for t in texts))
    matrix = encoder.empty(rows.num_rows)
    for columns in encoder.batches():
        encoder.fill(matrix, _taken(training.mature(columns, rung=rung), order), columns)
    return Lesson(
        data=BoostingData.of(matrix, categorical=encoder.categorical, threads=settings.threads),
        encoder=encoder,
        actual=actual,
        target=target_of_rows,
        cap=cap,
        users=rows.column("user_id"),
        cutoffs=column_floats(rows, "cutoff"),
        buckets=buckets,
        groups=encoder.groups(matrix),
        settings=settings,
        seed=int(training.rng.integers(2**31 - 1)),
    )


def _settings(training: Training, learned: Learned) -> Settings:
    """The defaults, with what the training was given in their place."""
    given = checked(SETTINGS, training.settings, model="a boosted model")
    numbers = {k: v for k, v in given.items() if not isinstance(v, tuple)}
    slopes = (*learned.slopes, *(0 for _ in learned.texts))
    return replace(Settings(threads=training.threads, rising=slopes), **numbers)  # pyright: ignore[reportArgumentType]  whole numbers where the field has them


def _order(rows: pa.Table) -> NDArray[np.int64] | None:
    """The order by cutoff and user, or None where rows are in it already, as a snapshot's are."""
    user, cutoff = rows.column("user_id").combine_chunks(), rows.column("cutoff").combine_chunks()
    later = pc.greater(cutoff[1:], cutoff[:-1])
    same = pc.and_(pc.equal(cutoff[1:], cutoff[:-1]), pc.greater_equal(user[1:], user[:-1]))
    if pc.all(pc.or_(later, same)).as_py() is not False:
        return None
    keys = [("cutoff", "ascending"), ("user_id", "ascending")]
    return pc.sort_indices(rows, sort_keys=keys).to_numpy().astype(np.int64)


def _without_null(rows: pa.Table, column: str, order: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The order without rows that lack a value (a hole can touch a short window by more than its share of a long one)."""
    known = np.asarray(pc.is_valid(rows.column(column)).to_numpy(zero_copy_only=False), dtype=bool)
    whole = np.arange(rows.num_rows) if order is None else order
    return whole[known[whole]]


def _taken(rows: pa.Table, order: NDArray[np.int64] | None) -> pa.Table:
    return rows if order is None else rows.take(pa.array(order))


def _folds(buckets: NDArray[np.int64]) -> NDArray[np.int64]:
    return buckets % (_FOLDS if buckets.size <= _MANY_ROWS else _FOLDS_OF_MANY)


def _require_amounts(actual: Floats, learned: Floats, folds: NDArray[np.int64]) -> None:
    positive = learned > 0
    if positive.sum() < _FEWEST_POSITIVE or np.unique(folds[positive]).size < 2 or actual.sum() <= 0:
        raise DataError(
            "fit.nothing_to_learn",
            what=f"{actual.size:,} matured rows, {int(positive.sum()):,} of them above zero, {actual.sum():,.2f} in total.",
            why="How large amounts are cannot be learned from so few, nor a mean from a total that is not above zero.",
            do="Check the measure, or use a longer log or a simpler model.",
        )
