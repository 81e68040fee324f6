"""The rows a network learns from, read from Parquet a row group at a time and never held as a whole.

A pass shuffles the row groups, fills a buffer with them, and shuffles the buffer. Encoded rows, half as large, stay in
memory only where all of them fit in a stated number of bytes; the batches are the same either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headwater.engine.arrays import column_floats
from headwater.learners.network_inputs import Encoded, Inputs, InputsLearner

__all__ = ["Buffer", "Feed", "Piece", "RowSource", "learn_inputs", "rises"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One row group of one file."""

    file: str
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """Which rows of a snapshot's files to learn from, and which of their targets count.

    ``targets`` are the columns of the rungs, shortest first; ``latest[k]`` is the last cutoff whose window of rung
    ``k`` has ended. ``cutoffs`` keeps rows of these only; ``only`` those of one fold of users, ``without`` those of
    all others (a fold is the remainder of a user's bucket, ``(fold, n_folds)``). Rows none of whose rungs has ended
    are left out.
    """

    files: tuple[str, ...]
    numbers: tuple[str, ...]
    words: tuple[str, ...]
    targets: tuple[str, ...]
    latest: tuple[int, ...]
    cutoffs: frozenset[int]
    only: tuple[int, int] | None = None
    without: tuple[int, int] | None = None

    def pieces(self) -> tuple[Piece, ...]:
        """Every row group, in file order."""
        return tuple(
            Piece(file=f, group=g) for f in self.files for g in range(pq.ParquetFile(f).num_row_groups)
        )

    def read(self, piece: Piece) -> tuple[pa.Table, Floats]:
        """The rows of a piece that are learned from, and their targets, shape (n_rows, n_rungs), NaN where not ended."""
        opened = pq.ParquetFile(piece.file)
        keep, targets = self._kept(opened, piece.group)
        columns = [*self.numbers, *self.words]
        if not keep.any():
            return opened.schema_arrow.empty_table().select(columns), targets
        rows = opened.read_row_group(piece.group, columns=columns).select(columns)
        return rows if keep.all() else rows.filter(pa.array(keep)), targets

    def _kept(self, opened: pq.ParquetFile, group: int) -> tuple[NDArray[np.bool_], Floats]:
        """Which rows of a group are learned from, and the targets of these."""
        keys = opened.read_row_group(group, columns=["cutoff", "bucket", *self.targets])
        cutoffs, buckets = column_floats(keys, "cutoff"), column_floats(keys, "bucket")
        targets = np.column_stack([column_floats(keys, t) for t in self.targets])
        targets[cutoffs[:, None] > np.asarray(self.latest)] = np.nan
        keep = np.isin(cutoffs, list(self.cutoffs)) & np.isfinite(targets).any(axis=1)
        if self.only is not None:
            keep &= buckets % self.only[1] == self.only[0]
        if self.without is not None:
            keep &= buckets % self.without[1] != self.without[0]
        return keep, targets[keep]

    def table(self) -> pa.Table:
        """All the rows at once, for small sources."""
        return pa.concat_tables([self.read(p)[0] for p in self.pieces()])

    def every_target(self) -> Floats:
        """The targets of all rows, in file order."""
        return np.concatenate([self._kept(pq.ParquetFile(p.file), p.group)[1] for p in self.pieces()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """Encoded rows and what each rung added to the ones before it, shape (n_rows, n_rungs), NaN where unknown."""

    rows: Encoded
    amounts: NDArray[np.float32]

    @property
    def n_rows(self) -> int:
        """How many rows it holds."""
        return self.amounts.shape[0]

    @property
    def bytes_of_a_row(self) -> int:
        """How much memory a row takes."""
        arrays = (self.rows.numbers, self.rows.words, self.amounts)
        return sum(a.itemsize * a.shape[1] for a in arrays)

    def taken(self, order: NDArray[np.int64]) -> Buffer:
        """The rows in another order."""
        return Buffer(
            rows=Encoded(numbers=self.rows.numbers[order], words=self.rows.words[order]),
            amounts=self.amounts[order],
        )


@dataclass(slots=True, kw_only=True)
class Feed:
    """Encoded buffers of a source, in file order or shuffled.

    ``n_rows`` is how many rows it has; they are kept, encoded, where that takes at most ``kept_bytes``.
    """

    source: RowSource
    inputs: Inputs
    n_rows: int
    buffer_rows: int
    kept_bytes: int = 0
    _kept: dict[Piece, Buffer] = field(init=False, default_factory=dict[Piece, Buffer])

    def buffers(self, rng: np.random.Generator | None = None) -> Iterator[Buffer]:
        """One pass over all rows; with a generator, in an order of its own."""
        pieces = list(self.source.pieces())
        if rng is not None:
            pieces = [pieces[i] for i in rng.permutation(len(pieces))]
        filling: list[Buffer] = []
        for at, piece in enumerate(pieces):
            filling.append(self._encoded(piece))
            full = sum(b.n_rows for b in filling) >= self.buffer_rows
            if full or at == len(pieces) - 1:
                whole = _joined(filling)
                filling = []
                if whole.n_rows:
                    yield whole if rng is None else whole.taken(rng.permutation(whole.n_rows))

    def _encoded(self, piece: Piece) -> Buffer:
        if piece in self._kept:
            return self._kept[piece]
        rows, targets = self.source.read(piece)
        made = Buffer(rows=self.inputs.encode(rows), amounts=rises(targets).astype(np.float32))
        if self.n_rows * made.bytes_of_a_row <= self.kept_bytes:
            self._kept[piece] = made
        return made


def learn_inputs(source: RowSource) -> Inputs:
    """Scales and vocabularies of a source, in two passes over it."""
    learner = InputsLearner(source.numbers, source.words)
    for look in (learner.look, learner.measure):
        for piece in source.pieces():
            rows, _ = source.read(piece)
            if rows.num_rows:
                look(rows)
    return learner.done()


def rises(targets: Floats) -> Floats:
    """What each rung adds to the one before it, shape (n_rows, n_rungs); what was given back adds nothing.

    >>> rises(np.array([[3.0, 5.0, 4.0]])).tolist()
    [[3.0, 2.0, 0.0]]
    """
    before = np.column_stack([np.zeros(len(targets)), targets[:, :-1]])
    return np.maximum(targets - before, 0.0)


def _joined(buffers: list[Buffer]) -> Buffer:
    if len(buffers) == 1:
        return buffers[0]
    return Buffer(
        rows=Encoded(
            numbers=np.concatenate([b.rows.numbers for b in buffers]),
            words=np.concatenate([b.rows.words for b in buffers]),
        ),
        amounts=np.concatenate([b.amounts for b in buffers]),
    )
