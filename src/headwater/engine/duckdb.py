"""DuckDB, in process and out of core: the default engine. The only place that opens a DuckDB connection."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from headwater.core.errors import DataError, HeadwaterError, SourceError
from headwater.core.table import Column, Table, row_fingerprint
from headwater.engine.dialect import DUCKDB
from headwater.engine.engine import Engine, Progress, row_hash
from headwater.engine.folders import parts_of
from headwater.engine.sql import Sql, commas, name, render, shim, sql

__all__ = ["DuckDB"]

_PARQUET = sql("(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 122880)")


class DuckDB:
    """One connection with stated limits.

    Parameters
    ----------
    threads
        Worker threads, set explicitly.
    memory
        DuckDB's own limit, such as ``"1500MB"``; beyond it the engine spills to ``spill``.
    spill
        Folder for spilling.
    """

    name = "duckdb"
    piece_bytes = 16 << 20
    dialect = DUCKDB

    def __init__(self, *, threads: int, memory: str, spill: Path) -> None:
        self.threads = threads
        self.memory = memory
        self._progress: Progress | None = None
        spill.parent.mkdir(parents=True, exist_ok=True)
        self._connection = duckdb.connect(
            config={
                "threads": threads,
                "memory_limit": memory,
                "temp_directory": str(spill),
                "preserve_insertion_order": True,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        self._connection.execute("LOAD icu; LOAD json; LOAD parquet; SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        self._connection.execute("SET python_enable_replacements = false")

    @property
    def reader(self) -> Engine:
        """What looks at the heads of text files: this engine itself."""
        return self

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    @contextmanager
    def reporting(self, progress: Progress) -> Generator[None]:
        """Call ``progress`` about five times a second while queries of this block run."""
        self._progress = progress
        try:
            yield
        finally:
            self._progress = None

    def text(self, query: Sql) -> str:
        """The SQL text this engine would run: to read, copy and keep."""
        return render(query, self.dialect)

    def run(self, query: Sql) -> None:
        """Run a statement for its effect."""
        self._execute(query).fetchall()

    def rows(self, query: Sql) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        return self._execute(query).fetchall()

    def one(self, query: Sql) -> tuple[Any, ...]:
        """The only row of a result."""
        (row,) = self.rows(query)
        return row

    def arrow(self, query: Sql) -> pa.Table:
        """A result as an Arrow table."""
        with self._translated(), self._watched():
            return self._connection.sql(self.text(query)).to_arrow_table()

    def batches(self, query: Sql, *, rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """A result as a stream of Arrow batches, on a cursor of its own."""
        with self._translated():
            yield from self._connection.cursor().sql(self.text(query)).to_arrow_reader(rows)

    def register(self, view: str, rows: pa.Table) -> None:
        """Make an Arrow table readable under a name."""
        self._connection.register(view, rows)

    def hold(self, view: str, query: Sql) -> int:
        """Work a query out once and make its rows readable under a name; returns how many there are."""
        self.run(sql("CREATE OR REPLACE TEMP TABLE {v} AS {q}", v=name(view), q=query))
        return int(self.one(sql("SELECT count(*) FROM {v}", v=name(view)))[0])

    def release(self, view: str) -> None:
        """Give back what ``hold`` or ``register`` keeps under a name."""
        self._connection.unregister(view)
        self.run(sql("DROP TABLE IF EXISTS {v}", v=name(view)))

    def describe(self, query: Sql) -> list[tuple[str, str]]:
        """The names and engine types of a query's columns; reads no rows."""
        return [(row[0], row[1]) for row in self.rows(sql("DESCRIBE {q}", q=query))]

    def write(self, query: Sql, folder: Path, *, table: str, columns: Sequence[Column]) -> Table:
        """Write a query to Parquet under ``folder`` and return it as a fingerprinted table."""
        return self.adopt(self.write_files(query, folder, table=table), table=table, columns=columns)

    def write_files(self, query: Sql, folder: Path, *, table: str) -> tuple[Path, ...]:
        """Write a query to Parquet files under ``folder``, to be adopted later."""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{table}.parquet"
        self.run(sql("COPY ({q}) TO {path} {how}", q=query, path=str(target), how=_PARQUET))
        return (target,)

    def write_parts(
        self, query: Sql, folder: Path, *, by: Sequence[str]
    ) -> dict[tuple[str, ...], tuple[Path, ...]]:
        """Write a query to Parquet files apart by the values of columns; the files of each combination of values."""
        folder.mkdir(parents=True, exist_ok=True)
        self.run(
            sql(
                "COPY ({q}) TO {path} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 122880, PARTITION_BY ({by}))",
                q=query,
                path=str(folder),
                by=commas([name(b) for b in by]),
            )
        )
        return parts_of(folder, by)

    def adopt(self, files: Sequence[Path], *, table: str, columns: Sequence[Column]) -> Table:
        """Fingerprint Parquet files that were just written."""
        names = [c.name for c in columns]
        paths = tuple(str(f) for f in files)
        n_rows, total = self.one(
            sql(
                "SELECT count(*), coalesce(sum({h}), 0) FROM {scan}",
                h=row_hash(names),
                scan=shim("scan", *paths),
            )
        )
        fingerprint = row_fingerprint(names, n_rows=n_rows, total=int(total))
        return Table(name=table, files=paths, columns=tuple(columns), n_rows=n_rows, fingerprint=fingerprint)

    def _execute(self, query: Sql) -> Any:
        with self._translated(), self._watched():
            return self._connection.execute(self.text(query))

    @contextmanager
    def _watched(self) -> Generator[None]:
        report = self._progress
        if report is None:
            yield
            return
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(report, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, report: Progress, done: threading.Event) -> None:
        while not done.wait(0.2):
            share = self._connection.query_progress()
            if share > 0:
                report(min(1.0, share / 100))

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise HeadwaterError(
                "engine.memory",
                what=f"The step needs more than {self.memory} of memory: {_first_line(error)}",
                why="The step was stopped; nothing was published.",
                do="Raise --memory, lower --threads, or free disk in the spill folder.",
            ) from error
        except duckdb.IOException as error:
            if any(packed in str(error) for packed in ("GZIP", "ZSTD")):
                raise SourceError(
                    "source.unreadable",
                    what=f"A packed file is damaged: {_first_line(error)}",
                    why="Nothing was loaded; its end may be missing.",
                    do="Copy or export it again.",
                ) from error
            raise HeadwaterError(
                "workspace.disk",
                what=f"A file cannot be read or written: {_first_line(error)}",
                why="The step was stopped; nothing was published.",
                do="Check that the disk has room and that the file may be read.",
            ) from error
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            raise DataError(
                "engine.value",
                what=f"A value does not fit its type: {_first_line(error)}",
                why="A sum or product left the range that is exact, so no number is given.",
                do="Check the measure's expression and the column's unit; add a range rule for the column.",
            ) from error
        except duckdb.Error as error:
            if type(error) not in (duckdb.InvalidInputException, duckdb.Error):
                raise
            raise SourceError(
                "source.unreadable",
                what=f"The engine cannot read its input: {_first_line(error)}",
                why="Nothing was loaded.",
                do="Check the file's kind and line ends; name its delimiter, and its encoding: utf-8, utf-16 or latin-1.",
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
