"""Tables as NumPy arrays, for models: numbers as float64 with NaN for NULL, everything else as objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headwater.core.table import Table, set_table_reader

__all__ = ["column_floats", "column_objects", "read_arrow", "read_arrow_in_parts"]

_PART_ROWS = 1 << 20


def read_arrow(table: Table, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a table, or some of its columns, in file order."""
    names = list(columns) if columns is not None else [c.name for c in table.columns]
    return pa.concat_tables(
        [pq.ParquetFile(f).read(columns=names).select(names) for f in table.files], promote_options="default"
    )


def read_arrow_in_parts(table: Table, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The same rows in the same order, a million at a time."""
    for f in table.files:
        for batch in pq.ParquetFile(f).iter_batches(batch_size=_PART_ROWS, columns=list(columns)):
            yield pa.Table.from_batches([batch]).select(list(columns))


def column_floats(rows: pa.Table, column: str) -> NDArray[np.float64]:
    """A numeric column as float64, NULL as NaN."""
    return (
        rows.column(column)
        .cast(pa.float64(), safe=False)
        .to_numpy(zero_copy_only=False)
        .astype(np.float64, copy=False)
    )


def column_objects(rows: pa.Table, column: str) -> NDArray[Any]:
    """A text column as an object array."""
    return np.asarray(rows.column(column).to_pylist(), dtype=object)


set_table_reader(read_arrow)
