"""Scored users: what was predicted beside what came, and the weighted ranks and deciles that scores share.

Weights say how often each user counts: shape (resamples, users). Integer weights give exactly the value
of a sample in which users are repeated; ties are handled by blocks, never by the order of rows. What scores
share on the same weights (orders, running sums) is computed once and kept until other weights come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import ClassVar, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import DataError, UsageError
from headwater.core.finding import Finding

__all__ = [
    "Better",
    "Floats",
    "NominalScore",
    "Order",
    "Score",
    "ScoredUsers",
    "Weights",
    "actual_curves",
    "actual_ranks",
    "decile_sums",
    "gain_curves",
    "parts_of",
    "predicted_ranks",
    "ratio",
    "resampled",
    "share_below",
    "weighted_means",
]

Floats = NDArray[np.float64]
Weights = NDArray[np.float64 | np.uint16 | np.uint32 | np.int64]

T = TypeVar("T")

_CELLS_AT_ONCE = 2**17
_DECILES = np.arange(1, 10) / 10
_PER_USER = ("actual", "predicted", "low", "high", "purchases", "chances")


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
    model gives no intervals. ``chances``: how likely each user's randomized interval of that level holds the
    outcome. ``quantiles`` has shape (levels, users), at the probabilities ``levels``. ``purchases`` are actual
    counts, where a payer is not simply a user with a positive outcome. Sort orders are computed once and kept.

    Raises
    ------
    UsageError
        ``scored.shapes``, ``scored.intervals``, ``scored.quantiles``.
    DataError
        ``scored.not_finite``.
    """

    actual: Floats
    predicted: Floats
    low: Floats | None = None
    high: Floats | None = None
    level: float | None = None
    purchases: Floats | None = None
    chances: Floats | None = None
    quantiles: Floats | None = None
    levels: Floats | None = None
    _kept: dict[str, Floats] = field(default_factory=dict[str, Floats], init=False, repr=False)
    _shared: dict[str, object] = field(default_factory=dict[str, object], init=False, repr=False)

    def __post_init__(self) -> None:
        for name in _PER_USER:
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _checked(given, name=name, shape=np.shape(self.actual)))
        _require_intervals(self.low, self.high, self.level)
        _require_quantiles(self.quantiles, self.levels, n_users=self.actual.size)

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
        given = {name: getattr(self, name) for name in _PER_USER}
        taken: dict[str, Floats] = {n: a[rows] for n, a in given.items() if a is not None}
        if self.quantiles is not None:
            taken["quantiles"] = self.quantiles[:, rows]
        return replace(self, **taken)

    def kept(self, what: str, make: Callable[[], Floats]) -> Floats:
        """Something per user, shape (users,), made once."""
        if what not in self._kept:
            self._kept[what] = make()
        return self._kept[what]

    def shared(self, what: str, weights: Weights, make: Callable[[], T]) -> T:
        """What several scores need on the same weights (the same array), made once and kept until others come."""
        if self._shared.get("weights") is not weights:
            self._shared.clear()
            self._shared["weights"] = weights
        if what not in self._shared:
            self._shared[what] = make()
        return cast("T", self._shared[what])


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


def parts_of(weights: Weights, n_users: int) -> Iterator[Floats]:
    """A few resamples at a time, so that the work on them fits a CPU's cache. Raises ``UsageError`` (``score.weights``)."""
    _require_weights(weights, n_users)
    step = max(1, _CELLS_AT_ONCE // n_users)
    for at in range(0, len(weights), step):
        some = weights if len(weights) <= step else weights[at : at + step]
        yield some.astype(np.float64, copy=False)


def resampled(
    sample: ScoredUsers, *, weights: Weights | None, one: Callable[[ScoredUsers, Floats], Floats]
) -> Floats:
    """Call ``one(sample, weights)`` on a few resamples at a time.

    Returns shape (resamples,), or (1,) without weights. Raises ``UsageError`` (``score.weights``).
    """
    if weights is None:
        return one(sample, np.ones((1, sample.n_users)))
    return np.concatenate([one(sample, some) for some in parts_of(weights, sample.n_users)])


def ratio(above: Floats, below: Floats) -> Floats:
    """``above / below`` where ``below`` is positive, else NaN."""
    out = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.divide(above, below, out=out, where=below > 0)


def weighted_means(sample: ScoredUsers, *, weights: Weights | None, of: Floats) -> Floats:
    """Mean over users of ``of`` (users,) on each resample."""
    return resampled(sample, weights=weights, one=lambda _, w: ratio(w @ of, w.sum(axis=1)))


def predicted_ranks(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats]:
    """Average ranks of blocks of equal predictions, centered.

    Returns ``(ranks, block_weights)``, each (resamples, blocks). A rank is the weight of all lower users
    plus half the block's own, less half the total: average ranks of repeated users, less their mean.
    """
    upto = gain_curves(sample, weights)[0]
    return sample.shared("ranks of predicted", weights, lambda: _midranks(upto))


def actual_ranks(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats]:
    """As ``predicted_ranks``, of outcomes."""
    return sample.shared("ranks of actual", weights, lambda: _midranks(actual_curves(sample, weights)[0]))


def gain_curves(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Running sums over users by prediction, lowest first: of weights, of predictions, of outcomes.

    Three arrays (resamples, blocks); users with equal predictions are one block.
    """
    return sample.shared("gain", weights, lambda: _gains(sample, weights))


def actual_curves(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats]:
    """Running sums over users by outcome, lowest first: of weights and of outcomes, each (resamples, blocks)."""
    return sample.shared("actual", weights, lambda: _actual_sums(sample, weights))


def decile_sums(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats]:
    """Sums of predictions and of outcomes in each tenth of the users by prediction, lowest first.

    Returns two arrays (resamples, 10). Tenths are exact: a user, or a block of equal predictions, that
    lies across a border counts in each tenth with the share that lies there.
    """
    return sample.shared("deciles", weights, lambda: _decile_sums(sample, weights))


def share_below(upto: Floats, curve: Floats, shares: Floats) -> Floats:
    """A running sum read where it has passed these shares of the weight, shape (resamples, shares).

    Inside a block it is a straight line, so nothing hangs on the order of equal users.
    """
    wanted = shares * upto[:, -1:]
    inner = np.stack([np.interp(w, x, y) for w, x, y in zip(wanted, upto, curve, strict=True)])
    slope = np.divide(curve[:, 0], upto[:, 0], out=np.zeros(len(upto)), where=upto[:, 0] > 0)
    return np.where(wanted < upto[:, :1], slope[:, None] * wanted, inner)


def _midranks(upto: Floats) -> tuple[Floats, Floats]:
    block = np.diff(upto, axis=1, prepend=0.0)
    return upto - 0.5 * block - 0.5 * upto[:, -1:], block


def _gains(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats, Floats]:
    order = sample.by_predicted
    ordered = weights[:, order.rows]
    upto, worth = np.cumsum(ordered, axis=1), np.cumsum(ordered * sample.actual[order.rows], axis=1)
    if not order.has_ties:
        return upto, np.cumsum(ordered * sample.predicted[order.rows], axis=1), worth
    upto, worth = upto[:, order.ends], worth[:, order.ends]
    block = np.diff(upto, axis=1, prepend=0.0)
    return upto, np.cumsum(block * sample.predicted[order.rows[order.ends]], axis=1), worth


def _actual_sums(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats]:
    order = sample.by_actual
    upto = np.cumsum(weights[:, order.rows], axis=1)
    if order.has_ties:
        upto = upto[:, order.ends]
    block = np.diff(upto, axis=1, prepend=0.0)
    return upto, np.cumsum(block * sample.actual[order.rows[order.ends]], axis=1)


def _decile_sums(sample: ScoredUsers, weights: Floats) -> tuple[Floats, Floats]:
    upto, predicted, actual = gain_curves(sample, weights)
    return _tenths(upto, predicted), _tenths(upto, actual)


def _tenths(upto: Floats, curve: Floats) -> Floats:
    inner = share_below(upto, curve, _DECILES)
    return np.diff(np.concatenate([np.zeros((len(inner), 1)), inner, curve[:, -1:]], axis=1), axis=1)


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


def _require_quantiles(quantiles: Floats | None, levels: Floats | None, *, n_users: int) -> None:
    if quantiles is None and levels is None:
        return
    sound = False
    if quantiles is not None and levels is not None and levels.ndim == 1 and levels.size > 0:
        rising = bool(np.all(np.diff(levels) > 0)) and levels[0] > 0 and levels[-1] < 1
        sound = rising and quantiles.shape == (levels.size, n_users) and bool(np.isfinite(quantiles).all())
    if not sound:
        shapes = [None if a is None else a.shape for a in (quantiles, levels)]
        raise UsageError(
            "scored.quantiles",
            what=f"Quantiles of shape {shapes[0]} came with levels of shape {shapes[1]} for {n_users} users.",
            why="A quantile can only be judged at its own level.",
            do="Pass finite quantiles of shape (levels, users) and rising levels between 0 and 1, or neither.",
        )


def _require_weights(weights: Weights, n_users: int) -> None:
    if weights.ndim != 2 or weights.shape[1] != n_users or len(weights) == 0:
        raise UsageError(
            "score.weights",
            what=f"Weights have shape {weights.shape} for {n_users} users.",
            why="Each row is one resample and counts every user.",
            do="Pass shape (resamples, users) with at least one resample.",
        )
