"""Recency, frequency and age as arrays: what a buy-till-you-die likelihood needs to know of a customer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headwater.core.errors import DataError

__all__ = ["Floats", "Ints", "RfmRows", "compress", "distinct", "distinct_pairs", "dot", "rising", "totals"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MAX_TABLE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RfmRows:
    """Customers as float64 arrays of one shape ``(n,)``.

    Attributes
    ----------
    x
        Repeat purchases by the cutoff, whole numbers.
    t_x
        Time from first to last purchase; 0 where ``x`` is 0.
    T
        Time from first purchase to the cutoff, in the unit of ``t_x``.
    weights
        Customers that share the row; a million customers are often a few thousand rows.

    Raises
    ------
    DataError
        ``rfm.*`` where shapes differ, nothing is there, or a row cannot have happened.
    """

    x: Floats
    t_x: Floats
    T: Floats
    weights: Floats

    def __post_init__(self) -> None:
        for name in ("x", "t_x", "T", "weights"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        _require_shapes(self)
        _require_possible(self)

    @classmethod
    def of(cls, x: ArrayLike, *, t_x: ArrayLike, T: ArrayLike, weights: ArrayLike | None = None) -> RfmRows:
        """Rows from anything array-like; without ``weights`` each row is one customer."""
        counts = np.asarray(x, dtype=np.float64)
        return cls(
            x=counts,
            t_x=np.asarray(t_x, dtype=np.float64),
            T=np.asarray(T, dtype=np.float64),
            weights=np.ones_like(counts) if weights is None else np.asarray(weights, dtype=np.float64),
        )

    @property
    def n_users(self) -> float:
        """Customers behind the rows."""
        return float(self.weights.sum())

    @property
    def n_purchases(self) -> float:
        """Repeat purchases of all customers."""
        return dot(self.weights, self.x)

    @property
    def mean_age(self) -> float:
        """Mean of T over customers: the unit in which fits look at time. Raises ``DataError`` where it is 0."""
        mean = dot(self.weights, self.T) / self.n_users
        if mean == 0:
            raise DataError(
                "rfm.no_time",
                what="T is 0 for every customer.",
                why="Nobody was observed after the first purchase, so rates cannot be learned.",
                do="Use a later cutoff.",
            )
        return mean

    def in_units_of(self, scale: float) -> RfmRows:
        """The same customers with time divided by ``scale``."""
        return RfmRows(x=self.x, t_x=self.t_x / scale, T=self.T / scale, weights=self.weights)


def compress(
    x: ArrayLike, *, t_x: ArrayLike, T: ArrayLike, weights: ArrayLike | None = None
) -> tuple[RfmRows, Ints]:
    """Group customers to their distinct ``(x, t_x, T)``; no likelihood can tell the difference.

    Returns
    -------
    rows, inverse
        The distinct rows with their weights, and for each customer the index of his row.
    """
    full = RfmRows.of(x, t_x=t_x, T=T, weights=weights)
    _, pair = distinct_pairs(full.x, full.t_x)
    _, age = distinct(full.T)
    first, inverse = _first_of(pair * (int(age.max()) + 1) + age)
    counts = totals(inverse, full.weights, size=first.size)
    return RfmRows(x=full.x[first], t_x=full.t_x[first], T=full.T[first], weights=counts), inverse


def dot(a: Floats, b: Floats) -> float:
    """Sum of products, without BLAS: its threads cost more than such sums, and add in a varying order."""
    return float(np.einsum("n,n->", a, b))


def totals(which: Ints, weights: Floats, *, size: int = 0) -> Floats:
    """Sum of weights for each index, at least ``size`` of them."""
    return np.bincount(which, weights=weights, minlength=size).astype(np.float64, copy=False)


def distinct(values: Floats) -> tuple[Floats, Ints]:
    """Sorted distinct values and the index of each row's value; linear in time for small whole numbers."""
    if values.size and values.min() >= 0 and values.max() < _MAX_TABLE:
        whole = values.astype(np.int64)
        if np.array_equal(whole, values):
            present = np.zeros(int(whole.max()) + 1, dtype=np.bool_)
            present[whole] = True
            return np.flatnonzero(present).astype(np.float64), (np.cumsum(present) - 1)[whole]
    found, inverse = np.unique(values, return_inverse=True)
    return found, inverse.astype(np.int64, copy=False)


def distinct_pairs(x: Floats, t: Floats) -> tuple[tuple[Floats, Floats], Ints]:
    """Distinct ``(x, t)`` pairs as two arrays, and the index of each row's pair."""
    _, count = distinct(x)
    times, when = distinct(t)
    first, inverse = _first_of(count * times.size + when)
    return (x[first], t[first]), inverse


def rising(users_by_x: Floats, *, start: float) -> tuple[float, float, float]:
    """Sum over customers of log (start)_x, the rising factorial, with two derivatives by ``start``.

    ``log (c)_x = sum of log(c + j) for j < x``, so each term counts the customers with more than j purchases:
    exact for any c, with no difference of gamma functions.
    """
    more = users_by_x[::-1].cumsum()[::-1][1:]
    steps = start + np.arange(more.size)
    return dot(more, np.log(steps)), dot(more, 1 / steps), -dot(more, 1 / steps**2)


def _first_of(keys: Ints) -> tuple[Ints, Ints]:
    top = int(keys.max()) + 1
    if top > max(_MAX_TABLE, 8 * keys.size):
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        return first.astype(np.int64, copy=False), inverse.astype(np.int64, copy=False)
    holder = np.full(top, -1, dtype=np.int64)
    holder[keys[::-1]] = np.arange(keys.size - 1, -1, -1)
    present = holder >= 0
    return holder[present], (np.cumsum(present) - 1)[keys]


def _require_shapes(rows: RfmRows) -> None:
    shapes = {rows.x.shape, rows.t_x.shape, rows.T.shape, rows.weights.shape}
    if len(shapes) != 1 or rows.x.ndim != 1 or rows.x.size == 0:
        raise DataError(
            "rfm.shape",
            what=f"x, t_x, T and weights have the shapes {sorted(shapes)}.",
            why="Each customer needs one value of each, and there must be a customer.",
            do="Pass one-dimensional arrays of one length, at least 1.",
        )


def _require_possible(rows: RfmRows) -> None:
    rules = {
        "finite": np.isfinite(rows.x)
        & np.isfinite(rows.t_x)
        & np.isfinite(rows.T)
        & np.isfinite(rows.weights),
        "a whole x of at least 0": (rows.x >= 0) & (rows.x == np.floor(rows.x)),
        "0 <= t_x <= T": (rows.t_x >= 0) & (rows.t_x <= rows.T),
        "t_x = 0 where x = 0": (rows.x > 0) | (rows.t_x == 0),
        "a positive weight": rows.weights > 0,
    }
    for rule, holds in rules.items():
        if not holds.all():
            bad = int(np.flatnonzero(~holds)[0])
            raise DataError(
                "rfm.impossible",
                what=f"{int((~holds).sum())} rows lack {rule}; the first is row {bad}: x={rows.x[bad]:g}, "
                f"t_x={rows.t_x[bad]:g}, T={rows.T[bad]:g}, weight={rows.weights[bad]:g}.",
                why="No history of purchases looks like this, so no likelihood would mean anything.",
                do="Count x after the first purchase, t_x and T from it, up to one cutoff, in one unit.",
            )
