"""Rows of a table of users, the largest first."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.block import Cell
from headwater.core.table import Table

__all__ = ["largest_first"]


def largest_first(table: Table, *, by: str) -> Iterator[tuple[Cell, ...]]:
    """The rows in which ``by`` is known, in its order."""
    rows: pa.Table = table.to_arrow()
    known = rows.filter(pc.is_valid(rows.column(by)))
    for batch in known.sort_by([(by, "descending"), ("user_id", "ascending")]).to_batches(10_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
