"""What a network sees of a row: numbers on one scale, a mark where one is missing, and attributes as indices.

Scales are learned in two passes over rows that are read a group at a time and forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.engine.arrays import column_floats

__all__ = ["FEWEST_OF_A_VALUE", "Encoded", "Inputs", "InputsLearner", "restore_inputs"]

FEWEST_OF_A_VALUE = 20
Floats = NDArray[np.float64]
_RARE, _MISSING, _KNOWN = 0, 1, 2
_MOST_VALUES = 2_000
_FAR = 1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Rows as a network reads them: ``numbers`` (n_rows, n_numbers) and ``words`` (n_rows, n_attributes), indices."""

    numbers: NDArray[np.float32]
    words: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """How rows are encoded. Arrays have shape (n_numeric_columns,).

    A number becomes ``sign(x) log(1 + |x| / unit)``, with the mean size of non-zero values as its unit, less
    ``center`` over ``spread``, held within what the learning rows held: no row lies further out than they did.
    A missing one becomes 0, and 1 in a column of its own where ``gaps`` says that some were missing. An
    attribute's value becomes its index; 0 stands for rare and unseen ones, 1 for none.
    """

    numbers: tuple[str, ...]
    words: tuple[str, ...]
    units: Floats
    centers: Floats
    spreads: Floats
    lows: Floats
    highs: Floats
    gaps: NDArray[np.bool_]
    vocabularies: tuple[tuple[str, ...], ...]

    @property
    def n_numbers(self) -> int:
        """How many numbers a row becomes."""
        return len(self.numbers) + int(self.gaps.sum())

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many indices each attribute has."""
        return tuple(len(v) + _KNOWN for v in self.vocabularies)

    def encode(self, rows: pa.Table) -> Encoded:
        """Numbers and indices of rows."""
        numbers = np.zeros((rows.num_rows, self.n_numbers), dtype=np.float32, order="F")
        mark = len(self.numbers)
        for at, column in enumerate(self.numbers):
            scaled = self._scaled(at, column_floats(rows, column))
            missing = np.isnan(scaled)
            if self.spreads[at] > 0:
                scaled[missing] = 0.0
                numbers[:, at] = scaled
            if self.gaps[at]:
                numbers[:, mark] = missing
                mark += 1
        words = np.empty((rows.num_rows, len(self.words)), dtype=np.int64)
        for at, column in enumerate(self.words):
            words[:, at] = _indices(rows.column(column), self.vocabularies[at])
        return Encoded(numbers=np.ascontiguousarray(numbers), words=words)

    def _scaled(self, at: int, values: Floats) -> NDArray[np.float32]:
        """A column on its scale, in 32 bits (a quarter of the time), NaN where missing."""
        units = np.clip(values / self.units[at], -_FAR, _FAR).astype(np.float32)
        scaled = np.copysign(np.log1p(np.abs(units)), units)
        scaled -= np.float32(self.centers[at])
        scaled /= np.float32(self.spreads[at] or 1.0)
        return np.clip(scaled, np.float32(self.lows[at]), np.float32(self.highs[at]), out=scaled)

    def state(self) -> Mapping[str, object]:
        """Numbers and text from which ``restore_inputs`` makes the same."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v.tolist() if isinstance(v, np.ndarray) else list(v) for k, v in held.items()}


def restore_inputs(state: Mapping[str, Any]) -> Inputs:
    """The inputs of a saved state."""
    arrays = {k: np.asarray(state[k], dtype=float) for k in ("units", "centers", "spreads", "lows", "highs")}
    return Inputs(
        numbers=tuple(state["numbers"]),
        words=tuple(state["words"]),
        gaps=np.asarray(state["gaps"], dtype=bool),
        vocabularies=tuple(tuple(v) for v in state["vocabularies"]),
        **arrays,
    )


class InputsLearner:
    """Learns the inputs: every group of rows is shown to ``look`` and then, again, to ``measure``."""

    def __init__(self, numbers: tuple[str, ...], words: tuple[str, ...]) -> None:
        self._numbers, self._words = numbers, words
        self._sizes, self._non_zero = np.zeros(len(numbers)), np.zeros(len(numbers))
        self._gaps = np.zeros(len(numbers), dtype=bool)
        self._values: list[Counter[str]] = [Counter() for _ in words]
        self._moments = _Moments(len(numbers))

    @property
    def _units(self) -> Floats:
        return np.divide(self._sizes, self._non_zero, out=np.ones_like(self._sizes), where=self._non_zero > 0)

    def look(self, rows: pa.Table) -> None:
        """First pass: how large numbers are, and which values attributes have."""
        for at, column in enumerate(self._numbers):
            values = column_floats(rows, column)
            finite = np.isfinite(values)
            self._gaps[at] |= not finite.all()
            self._sizes[at] += np.abs(values[finite]).sum()
            self._non_zero[at] += np.count_nonzero(values[finite])
        for at, column in enumerate(self._words):
            for pair in pc.value_counts(pc.drop_null(rows.column(column))).to_pylist():
                self._values[at][str(pair["values"])] += int(pair["counts"])

    def measure(self, rows: pa.Table) -> None:
        """Second pass: center, spread and range on the scale of logs."""
        for at, column in enumerate(self._numbers):
            values = column_floats(rows, column)
            self._moments.add(at, on_log_scale(values[np.isfinite(values)], self._units[at]))

    def done(self) -> Inputs:
        """What was learned. Columns that never vary become zero; values with few rows become one index."""
        centers, spreads = self._moments.centers, self._moments.spreads
        width = np.where(spreads > 0, spreads, 1.0)
        return Inputs(
            numbers=self._numbers,
            words=self._words,
            units=self._units,
            centers=centers,
            spreads=spreads,
            lows=np.where(spreads > 0, (self._moments.lows - centers) / width, 0.0),
            highs=np.where(spreads > 0, (self._moments.highs - centers) / width, 0.0),
            gaps=self._gaps,
            vocabularies=tuple(_kept(v) for v in self._values),
        )


class _Moments:
    """Running count, mean, sum of squares about it (Chan et al.) and range of each column."""

    def __init__(self, n_columns: int) -> None:
        self._n, self.centers, self._squares = (np.zeros(n_columns) for _ in range(3))
        self.lows, self.highs = np.full(n_columns, np.inf), np.full(n_columns, -np.inf)

    @property
    def spreads(self) -> Floats:
        """Standard deviations; 0 where a column never varied."""
        variance = self._squares / np.maximum(self._n, 1)
        return np.where(self.highs > self.lows, np.sqrt(variance), 0.0)

    def add(self, at: int, values: Floats) -> None:
        if values.size == 0:
            return
        n, mean = values.size, float(values.mean())
        whole, apart = self._n[at] + n, mean - self.centers[at]
        self._squares[at] += float(np.square(values - mean).sum()) + apart**2 * self._n[at] * n / whole
        self.centers[at] += apart * n / whole
        self._n[at] = whole
        self.lows[at] = min(self.lows[at], values.min())
        self.highs[at] = max(self.highs[at], values.max())


def on_log_scale(values: Floats, unit: float) -> Floats:
    """The sign of each value times the log of one and its size in units."""
    return np.sign(values) * np.log1p(np.abs(values) / unit)


def _kept(counts: Counter[str]) -> tuple[str, ...]:
    often = [value for value, n in counts.items() if n >= FEWEST_OF_A_VALUE]
    return tuple(sorted(often, key=lambda v: (-counts[v], v))[:_MOST_VALUES])


def _indices(column: Any, vocabulary: tuple[str, ...]) -> NDArray[np.int64]:
    found = pc.index_in(column.cast(pa.string()), value_set=pa.array(vocabulary, pa.string()))
    known = pc.fill_null(pc.add(found, _KNOWN), _RARE).to_numpy().astype(np.int64)
    return np.where(pc.is_null(column).to_numpy(), _MISSING, known)
