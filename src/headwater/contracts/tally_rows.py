"""What the tally's pass brings: its rows by grouping, and the sizes of a numeric column for each series by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["BINS_PER_E", "Grouped", "Sized", "TallyRows", "first_of", "mean_logs", "sizes"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_N = TypeVar("_N", np.int64, np.float64)

BINS_PER_E = 16
_MICRO = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sized:
    """How large a numeric column is for each series of a tally, by day: all arrays have shape (series, days).

    ``n`` counts numbers that are not zero; ``bins`` and ``squares`` add up their logarithmic bins (sixteen to a
    factor of e) and the squares of these; ``money`` is their sum as it is written, in whole currency (zero for
    a column that is no money).
    """

    column: str
    n: Counts
    bins: Counts
    squares: Counts
    money: Floats

    def logs(self, *, least: int) -> tuple[Floats, Floats]:
        """The mean natural logarithm of the sizes and its sampling variance, (series, days); NaN and 0 below ``least`` sizes."""
        return mean_logs(self.n, self.bins, self.squares, least=least)


def mean_logs(n: Counts, bins: Counts, squares: Counts, *, least: int) -> tuple[Floats, Floats]:
    """The mean logarithm of sizes whose bins add up to ``bins``, and its sampling variance; NaN and 0 below ``least``."""
    enough = n >= least
    some = np.maximum(n, 1)
    mean = bins / some
    spread = np.maximum(squares / some - mean**2, 0.0) + 1.0 / 12.0
    logs = np.where(enough, (mean + 0.5) / BINS_PER_E, np.nan)
    return logs, np.where(enough, spread / BINS_PER_E**2 / some + 1e-4, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grouped:
    """Which ``rows`` of the pass count ``n`` series, and the series (``place``) of each of them."""

    rows: Counts
    place: Counts
    n: int


class TallyRows:
    """The result of the pass, as arrays, and which of its rows belong to which grouping."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows
        self.keys = [c.removeprefix("not ") for c in rows.column_names if c.startswith("not ")]
        self._in = {k: self._numbers(f"not {k}") == 0 for k in self.keys}

    def of(self, *keys: str) -> NDArray[np.bool_]:
        """The rows grouped by exactly these keys (and the day)."""
        found = np.ones(self.rows.num_rows, dtype=bool)
        for key in self.keys:
            found &= self._in[key] == (key in keys)
        return found

    def column(self, column: str) -> Counts:
        """A column of whole numbers; what is aggregated away is 0."""
        return self._numbers(column)

    def texts(self, column: str, rows: NDArray[np.bool_]) -> list[str]:
        """A text column, of some rows."""
        return self.rows.column(column).filter(pa.array(rows)).to_pylist()

    def is_null(self, column: str) -> NDArray[np.bool_]:
        """Where a column has no value."""
        return np.asarray(self.rows.column(column).is_null().to_numpy(), dtype=bool)

    def added(self, what: str, groups: Grouped, key: str, span: Counts) -> Counts:
        """A column added up for each series and each of consecutive days or hours, shape (series, span)."""
        return self._added(self.column(what), groups, key, span)

    def amounts(self, what: str, groups: Grouped, key: str, span: Counts) -> Floats:
        """The same of sums that may be larger than any whole number of 64 bits."""
        values = self.rows.column(what).cast(pa.float64()).fill_null(0)
        return self._added(np.asarray(values.to_numpy(), dtype=np.float64), groups, key, span)

    def _added(self, values: NDArray[_N], groups: Grouped, key: str, span: Counts) -> NDArray[_N]:
        total = np.zeros((groups.n, len(span)), dtype=values.dtype)
        at = self.column(key)[groups.rows] - first_of(span)
        np.add.at(total, (groups.place, at), values[groups.rows])
        return total

    def _numbers(self, column: str) -> Counts:
        filled = self.rows.column(column).cast(pa.int64()).fill_null(0)
        return np.asarray(filled.to_numpy(), dtype=np.int64)


def sizes(
    at: TallyRows, index: int, *, column: str, groups: Grouped, days: Counts, stay: NDArray[np.bool_]
) -> Sized:
    """The sizes of one numeric column, of the series that ``stay``."""
    n, bins, squares = (
        at.added(f"{what} {index}", groups, "app_day", days)[stay] for what in ("sizes", "bins", "squares")
    )
    money = at.amounts(f"money {index}", groups, "app_day", days)[stay]
    return Sized(column=column, n=n, bins=bins, squares=squares, money=money * _MICRO)


def first_of(places: Counts) -> int:
    """The first of consecutive days or hours; 0 where there is none."""
    return int(places[0]) if len(places) else 0
