"""What an engine is: it runs our SQL, keeps tables in Parquet, and speaks Arrow. DuckDB is one, Spark another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from headwater.core.table import Column, Table, row_fingerprint
from headwater.engine.dialect import Dialect
from headwater.engine.sql import Sql, name, shim, sql

__all__ = ["Engine", "Progress", "adopt_by_day", "row_hash", "table_scan"]


class Progress(Protocol):
    """Told how far the running query is, 0 to 1."""

    def __call__(self, share_done: float) -> None:
        """Take note."""
        ...


class Engine(Protocol):
    """A connection with stated limits; only an engine opens one."""

    name: str
    dialect: Dialect
    threads: int
    memory: str
    piece_bytes: int
    """How much of a source is worth a query of its own, where it can be looked through in pieces."""

    @property
    def reader(self) -> Engine:
        """What looks at the heads of text files: this engine, or a small DuckDB beside it."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...

    def reporting(self, progress: Progress) -> AbstractContextManager[None]:
        """Call ``progress`` now and then while queries of this block run."""
        ...

    def text(self, query: Sql) -> str:
        """The SQL text this engine would run: to read, copy and keep."""
        ...

    def run(self, query: Sql) -> None:
        """Run a statement for its effect."""
        ...

    def rows(self, query: Sql) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        ...

    def one(self, query: Sql) -> tuple[Any, ...]:
        """The only row of a result."""
        ...

    def arrow(self, query: Sql) -> pa.Table:
        """A result as an Arrow table."""
        ...

    def batches(self, query: Sql, *, rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """A result as a stream of Arrow batches."""
        ...

    def register(self, view: str, rows: pa.Table) -> None:
        """Make a small Arrow table readable under a name."""
        ...

    def hold(self, view: str, query: Sql) -> int:
        """Work a query out once and make its rows readable under a name; returns how many there are."""
        ...

    def release(self, view: str) -> None:
        """Give back what ``hold`` or ``register`` keeps under a name."""
        ...

    def describe(self, query: Sql) -> list[tuple[str, str]]:
        """The names and engine types of a query's columns; reads no rows."""
        ...

    def write(self, query: Sql, folder: Path, *, table: str, columns: Sequence[Column]) -> Table:
        """Write a query to Parquet under ``folder`` and return it as a fingerprinted table."""
        ...

    def write_files(self, query: Sql, folder: Path, *, table: str) -> tuple[Path, ...]:
        """Write a query to Parquet files under ``folder``, to be adopted later."""
        ...

    def write_parts(
        self, query: Sql, folder: Path, *, by: Sequence[str]
    ) -> dict[tuple[str, ...], tuple[Path, ...]]:
        """Write a query to Parquet files apart by the values of columns; the files of each combination of values.

        The columns in ``by`` are not in the files.
        """
        ...

    def adopt(self, files: Sequence[Path], *, table: str, columns: Sequence[Column]) -> Table:
        """Fingerprint Parquet files that were just written."""
        ...


def adopt_by_day(
    engine: Engine, files: Sequence[Path], *, table: str, columns: Sequence[Column], day: str = "app_day"
) -> tuple[Table, tuple[tuple[int, str], ...]]:
    """Fingerprint files that were just written, whole and for each day of the column ``day``, in one scan."""
    names = [c.name for c in columns]
    found = engine.rows(
        sql(
            "SELECT {day}, count(*), sum({h}) FROM {scan} GROUP BY {day} ORDER BY {day}",
            day=name(day),
            h=row_hash(names),
            scan=shim("scan", *[str(f) for f in files]),
        )
    )
    n_rows, total = sum(int(n) for _, n, _ in found), sum(int(t) for _, _, t in found)
    whole = Table(
        name=table,
        files=tuple(str(f) for f in files),
        columns=tuple(columns),
        n_rows=n_rows,
        fingerprint=row_fingerprint(names, n_rows=n_rows, total=total),
    )
    return whole, tuple((int(d), row_fingerprint(names, n_rows=int(n), total=int(t))) for d, n, t in found)


def row_hash(columns: Sequence[str]) -> Sql:
    """A row's hash as a number that can be summed exactly. It differs between engines and their versions."""
    return sql("CAST({h} AS DECIMAL(20, 0))", h=shim("quick_hash", *[name(c) for c in columns]))


def table_scan(table: Table) -> Sql:
    """Read a table in a FROM clause."""
    return shim("scan", *table.files)
