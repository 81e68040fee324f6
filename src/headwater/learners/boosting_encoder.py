"""Rows as boosted trees read them: numbers as they are, words as codes that were learned once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["Encoder", "Words"]

Features = NDArray[np.float32]
_MOST_WORDS, _FEWEST_ROWS = 60, 20
_AT_ONCE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The values of a text column that have a code of their own, the most frequent first.

    A value that is rare, or was not there when they were learned, shares the code after theirs; no value at
    all has the one after that.
    """

    column: str
    values: tuple[str, ...]

    @classmethod
    def learned(cls, column: str, rows: pa.Table) -> Words:
        """The 60 most frequent values of at least 20 rows; equally frequent ones in alphabetical order."""
        counts = pc.value_counts(rows.column(column).combine_chunks()).to_pylist()
        known = [(c["counts"], str(c["values"])) for c in counts if c["values"] is not None]
        ordered = sorted(known, key=lambda one: (-one[0], one[1]))
        return cls(column=column, values=tuple(v for n, v in ordered[:_MOST_WORDS] if n >= _FEWEST_ROWS))

    def codes(self, rows: pa.Table) -> NDArray[np.float32]:
        """The code of each row."""
        column = rows.column(self.column).cast(pa.string())
        found = pc.fill_null(pc.index_in(column, pa.array(self.values, pa.string())), len(self.values))
        codes = np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.float32)
        codes[np.asarray(pc.is_null(column).to_numpy(zero_copy_only=False), dtype=bool)] = (
            len(self.values) + 1
        )
        return codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Numeric columns, then coded text columns, as a float32 matrix laid out column by column."""

    numbers: tuple[str, ...]
    words: tuple[Words, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads, in the order of the matrix."""
        return (*self.numbers, *(w.column for w in self.words))

    @property
    def categorical(self) -> tuple[int, ...]:
        """The places of coded columns."""
        return tuple(range(len(self.numbers), len(self.columns)))

    def batches(self) -> Iterator[tuple[str, ...]]:
        """The columns, a few at a time, for a reader that does not hold them all."""
        for at in range(0, len(self.columns), _AT_ONCE):
            yield self.columns[at : at + _AT_ONCE]

    def empty(self, n_rows: int) -> Features:
        """A matrix to ``fill``."""
        return np.empty((n_rows, len(self.columns)), dtype=np.float32, order="F")

    def fill(self, matrix: Features, rows: pa.Table, columns: Sequence[str]) -> None:
        """Write some columns of all rows into their places; NULL becomes NaN."""
        words = {w.column: w for w in self.words}
        for name in columns:
            at = self.columns.index(name)
            matrix[:, at] = (
                words[name].codes(rows)
                if name in words
                else rows.column(name).cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
            )

    def matrix(self, rows: pa.Table) -> Features:
        """The rows as a matrix of shape (n_rows, n_columns)."""
        made = self.empty(rows.num_rows)
        self.fill(made, rows, self.columns)
        return made

    def groups(self, matrix: Features) -> dict[str, NDArray[np.int64]]:
        """The codes of each text column."""
        return {self.columns[at]: matrix[:, at].astype(np.int64) for at in self.categorical}

    def state(self) -> dict[str, object]:
        """Numbers and text."""
        words = [{"column": w.column, "values": list(w.values)} for w in self.words]
        return {"numbers": list(self.numbers), "words": words}

    @classmethod
    def restored(cls, state: Mapping[str, object]) -> Encoder:
        """The encoder of a saved state."""
        words = cast("list[dict[str, object]]", state["words"])
        return cls(
            numbers=tuple(cast("list[str]", state["numbers"])),
            words=tuple(
                Words(column=str(w["column"]), values=tuple(cast("list[str]", w["values"]))) for w in words
            ),
        )
