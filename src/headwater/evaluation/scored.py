"""Scored users: what was predicted beside what came, and the weighted ranks and deciles that scores share.

Weights say how often each user counts: shape (resamples, users). Integer weights give exactly the value
of a sample in which users are repeated; ties are handled by blocks, never by the order of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import DataError, UsageError
from headwater.core.finding import Finding, Severity

__all__ = [
    "Better",
    "Floats",
    "NominalScore",
    "Order",
    "Score",
    "ScoredUsers",
    "Weights",
    "decile_sums",
    "midranks",
    "ratio",
    "refuse_constant_actual",
    "refuse_few_for_deciles",
    "refuse_no_intervals",
    "refuse_no_positive_total",
    "resampled",
    "weighted_means",
]

Floats = NDArray[np.float64]
Weights = NDArray[np.float64 | np.uint16 | np.uint32 | np.int64]

_CELLS_AT_ONCE = 2**17
_DECILES = np.arange(1, 10) / 10


class Better(StrEnum):
    """Which values of a score are better: high ones, low ones, those near zero, or near a nominal value."""

    HIGHER = "higher"
    LOWER = "lower"
    ZERO = "zero"
    NOMINAL = "nominal"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """Users in ascending order of a value. Equal values form a block.

    ``rows`` (users,): position of the user at each place. ``ends`` (blocks,): last place of each block.
    ``block`` (users,): the block of the user in each row.
    """

    rows: NDArray[np.intp]
    ends: NDArray[np.intp]
    block: NDArray[np.intp]

    @classmethod
    def of(cls, values: Floats) -> Order:
        """The order of ``values``, shape (users,)."""
        rows = np.argsort(values, kind="stable")
        ordered = values[rows]
        last = np.append(ordered[1:] != ordered[:-1], True)
        block = np.empty_like(rows)
        block[rows] = np.cumsum(last) - last
        return cls(rows=rows, ends=np.flatnonzero(last), block=block)

    @property
    def has_ties(self) -> bool:
        """Whether any two users are equal."""
        return self.ends.size < self.rows.size


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredUsers:
    """Outcomes and predictions of the same users, shape (users,) each, in the unit of the target.

    ``low`` and ``high`` bound each user's outcome with probability ``level``; leave the three out where a
    model gives no intervals. ``purchases`` are actual counts, where a payer is not simply a user with a
    positive outcome. Sort orders are computed once and kept.

    Raises
    ------
    UsageError
        ``scored.shapes``, ``scored.intervals``.
    DataError
        ``scored.not_finite``.
    """

    actual: Floats
    predicted: Floats
    low: Floats | None = None
    high: Floats | None = None
    level: float | None = None
    purchases: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("actual", "predicted", "low", "high", "purchases"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _checked(given, name=name, shape=np.shape(self.actual)))
        _require_intervals(self.low, self.high, self.level)

    @property
    def n_users(self) -> int:
        """How many users."""
        return self.actual.size

    @property
    def payers(self) -> NDArray[np.bool_]:
        """Who paid: purchases above zero where they are known, else an outcome above zero."""
        return (self.actual if self.purchases is None else self.purchases) > 0

    @cached_property
    def by_predicted(self) -> Order:
        """Users in ascending order of the prediction."""
        return Order.of(self.predicted)

    @cached_property
    def by_actual(self) -> Order:
        """Users in ascending order of the outcome."""
        return Order.of(self.actual)

    def take(self, rows: NDArray[np.intp] | None) -> ScoredUsers:
        """The users at ``rows`` (None: all), with sort orders of their own that go when they go."""
        if rows is None:
            return replace(self)
        return replace(
            self,
            actual=self.actual[rows],
            predicted=self.predicted[rows],
            low=None if self.low is None else self.low[rows],
            high=None if self.high is None else self.high[rows],
            purchases=None if self.purchases is None else self.purchases[rows],
        )


class Score(Protocol):
    """One number for how good predictions were. The file's name on the shelf is the score's name."""

    about: ClassVar[str]
    better: ClassVar[Better]
    unit: ClassVar[str]

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """Why this score cannot be known for this sample; None where it can. Ask before ``value``."""
        ...

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The score on each row of ``weights``, shape (resamples,); (1,) for the plain sample.

        A resample on which the score is undefined gives NaN, which callers count and drop.
        """
        ...


@runtime_checkable
class NominalScore(Score, Protocol):
    """A score whose best value is neither high nor low but ``nominal``."""

    def nominal(self, sample: ScoredUsers) -> float:
        """The best value."""
        ...


def resampled(
    sample: ScoredUsers, *, weights: Weights | None, one: Callable[[ScoredUsers, Floats], Floats]
) -> Floats:
    """Call ``one(sample, weights)`` on a few resamples at a time, so that the work fits a CPU's cache.

    Returns shape (resamples,), or (1,) without weights. Raises ``UsageError`` (``score.weights``).
    """
    if weights is None:
        return one(sample, np.ones((1, sample.n_users)))
    _require_weights(weights, sample.n_users)
    step = max(1, _CELLS_AT_ONCE // sample.n_users)
    found = [one(sample, weights[at : at + step].astype(np.float64)) for at in range(0, len(weights), step)]
    return np.concatenate(found)


def ratio(above: Floats, below: Floats) -> Floats:
    """``above / below`` where ``below`` is positive, else NaN."""
    out = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.divide(above, below, out=out, where=below > 0)


def weighted_means(sample: ScoredUsers, *, weights: Weights | None, of: Floats) -> Floats:
    """Mean over users of ``of`` (users,) on each resample."""
    return resampled(sample, weights=weights, one=lambda _, w: ratio(w @ of, w.sum(axis=1)))


def midranks(order: Order, weights: Floats) -> tuple[Floats, Floats]:
    """Average ranks of blocks of equal users, centered.

    Returns ``(ranks, block_weights)``, each (resamples, blocks). A rank is the weight of all lower users
    plus half the block's own, less half the total: average ranks of repeated users, less their mean.
    """
    upto = np.cumsum(weights[:, order.rows], axis=1)
    if order.has_ties:
        upto = upto[:, order.ends]
    block = np.diff(upto, axis=1, prepend=0.0)
    return upto - 0.5 * block - 0.5 * upto[:, -1:], block


def decile_sums(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats]:
    """Sums of predictions and of outcomes in each tenth of the users by prediction, lowest first.

    Returns two arrays (resamples, 10). Tenths are exact: a user, or a block of equal predictions, that
    lies across a border counts in each tenth with the share that lies there.
    """
    order = sample.by_predicted
    ordered = weights[:, order.rows]
    upto = np.cumsum(ordered, axis=1)
    predicted = np.cumsum(ordered * sample.predicted[order.rows], axis=1)
    actual = np.cumsum(ordered * sample.actual[order.rows], axis=1)
    if order.has_ties:
        upto, predicted, actual = (curve[:, order.ends] for curve in (upto, predicted, actual))
    return _tenths(upto, predicted), _tenths(upto, actual)


def refuse_no_positive_total(sample: ScoredUsers) -> Finding | None:
    """``score.no_positive_actual`` where the outcomes do not sum to more than zero."""
    total = float(sample.actual.sum())
    if total > 0:
        return None
    return Finding(
        code="score.no_positive_actual",
        severity=Severity.BLOCK,
        what=f"The outcomes of {sample.n_users:,} users sum to {total:g}.",
        why="A score in shares of the total would divide by nothing, or by net refunds.",
        do="Take a longer horizon, more users, or a target that is not net of refunds.",
        numbers={"n_users": sample.n_users, "total": total},
    )


def refuse_constant_actual(sample: ScoredUsers) -> Finding | None:
    """``score.constant_actual`` where all outcomes are equal."""
    if sample.actual.min() < sample.actual.max():
        return None
    return Finding(
        code="score.constant_actual",
        severity=Severity.BLOCK,
        what=f"All {sample.n_users:,} users have the outcome {sample.actual[0]:g}.",
        why="There is no order to predict, so no ranking is better than another.",
        do="Take a longer horizon or more users.",
        numbers={"n_users": sample.n_users},
    )


def refuse_few_for_deciles(sample: ScoredUsers) -> Finding | None:
    """``score.too_few_users`` where there are fewer than ten."""
    if sample.n_users >= 10:
        return None
    return Finding(
        code="score.too_few_users",
        severity=Severity.BLOCK,
        what=f"There are {sample.n_users} users.",
        why="Tenths of fewer than ten users are fractions of one user.",
        do="Score more users.",
        numbers={"n_users": sample.n_users},
    )


def refuse_no_intervals(sample: ScoredUsers) -> Finding | None:
    """``score.no_intervals`` where the model gave none."""
    if sample.low is not None:
        return None
    return Finding(
        code="score.no_intervals",
        severity=Severity.BLOCK,
        what="The predictions come without intervals.",
        why="Nobody can check how often outcomes fell inside.",
        do="Calibrate intervals (headwater.numerics.intervals.fit_bins) before scoring.",
    )


def _tenths(upto: Floats, curve: Floats) -> Floats:
    inner = np.stack([np.interp(_DECILES * x[-1], x, y) for x, y in zip(upto, curve, strict=True)])
    first = _first_pieces(upto, curve)
    inner = np.where(_DECILES * upto[:, -1:] < upto[:, :1], first, inner)
    return np.diff(np.concatenate([np.zeros((len(inner), 1)), inner, curve[:, -1:]], axis=1), axis=1)


def _first_pieces(upto: Floats, curve: Floats) -> Floats:
    """The curve from (0, 0) to its first knot, which ``np.interp`` would hold flat."""
    slope = np.divide(curve[:, 0], upto[:, 0], out=np.zeros(len(upto)), where=upto[:, 0] > 0)
    return slope[:, None] * _DECILES * upto[:, -1:]


def _checked(given: Floats, *, name: str, shape: tuple[int, ...]) -> Floats:
    values = np.ascontiguousarray(given, dtype=np.float64)
    if values.ndim != 1 or values.shape != shape or values.size == 0:
        raise UsageError(
            "scored.shapes",
            what=f"'{name}' has shape {values.shape} beside outcomes of shape {shape}.",
            why="Every array holds one figure for each of the same users.",
            do="Pass arrays of one length, in one order of users, at least one user long.",
        )
    n_bad = int(np.sum(~np.isfinite(values)))
    if n_bad:
        raise DataError(
            "scored.not_finite",
            what=f"'{name}' is not finite for {n_bad:,} of {values.size:,} users.",
            why="One such figure would make every score undefined.",
            do="Leave out users whose window is not finished; repair the model for the others.",
        )
    return values


def _require_intervals(low: Floats | None, high: Floats | None, level: float | None) -> None:
    if low is None and high is None:
        return
    sound = False
    if low is not None and high is not None and level is not None:
        sound = 0 < level < 1 and bool(np.all(low <= high))
    if not sound:
        raise UsageError(
            "scored.intervals",
            what="Intervals are incomplete, upside down, or of a level that is not between 0 and 1.",
            why="Coverage can only be judged against a stated level.",
            do="Pass low, high (never below low) and level together, or none of them.",
        )


def _require_weights(weights: Weights, n_users: int) -> None:
    if weights.ndim != 2 or weights.shape[1] != n_users or len(weights) == 0:
        raise UsageError(
            "score.weights",
            what=f"Weights have shape {weights.shape} for {n_users} users.",
            why="Each row is one resample and counts every user.",
            do="Pass shape (resamples, users) with at least one resample.",
        )
