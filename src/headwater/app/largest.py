"""Rows of a table of users, the largest first."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.block import Cell
from headwater.core.table import Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import commas, name, sql

__all__ = ["largest_first"]


def largest_first(table: Table, *, by: str, engine: Engine | None = None) -> Iterator[tuple[Cell, ...]]:
    """The rows in which ``by`` is known, in its order. An engine sorts tables of any size; without one all is sorted in memory."""
    if engine is None:
        rows: pa.Table = table.to_arrow()
        known = rows.filter(pc.is_valid(rows.column(by)))
        batches = iter(known.sort_by([(by, "descending"), ("user_id", "ascending")]).to_batches(10_000))
    else:
        query = sql(
            "SELECT {columns} FROM {rows} r WHERE {by} IS NOT NULL ORDER BY {by} DESC, user_id",
            columns=commas([name(c.name) for c in table.columns]),
            rows=table_scan(table),
            by=name(by),
        )
        batches = engine.batches(query)
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
