"""Apache Spark: the same SQL where one machine is outgrown. The only place that opens a Spark session.

Nothing is collected to the driver but aggregates and samples: a result of more than ``MAX_ROWS`` rows is refused.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.core.table import Column, Table, row_fingerprint
from headwater.engine.dialect import SPARK
from headwater.engine.duckdb import DuckDB
from headwater.engine.engine import Progress, row_hash
from headwater.engine.folders import parts_of
from headwater.engine.spark_errors import too_many_rows, translated
from headwater.engine.spark_session import open_session, own_session, speaking_arrow, watched
from headwater.engine.spark_text import back_quoted, text_of
from headwater.engine.sql import Sql, render, shim, sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["MAX_ROWS", "Spark"]

MAX_ROWS = 5_000_000
_TYPES = {
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp_ntz": "TIMESTAMP",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "binary": "BLOB",
}


class Spark:
    """A Spark session with stated limits.

    Parameters
    ----------
    master
        Where Spark runs: ``local[2]``, ``spark://host:7077``, ``yarn``. Not read where ``session`` is given.
    threads
        Cores of the driver in local mode; partitions of a shuffle are in proportion on one machine.
    memory
        Of the driver and of each executor, such as ``"1500MB"``.
    spill
        A folder that the driver and all workers see, for what is handed from one to the other.
    session
        A session of yours. Headwater works in a session of its own on the same cluster, so that none of
        your settings or views change.

    Raises
    ------
    UsageError
        ``extra.missing`` without PySpark; ``spark.no_java``, ``spark.other_master``.
    """

    name = "spark"
    piece_bytes = sys.maxsize  # it splits the work itself

    def __init__(
        self,
        *,
        master: str = "local[2]",
        threads: int = 2,
        memory: str = "1500MB",
        spill: Path,
        session: SparkSession | None = None,
    ) -> None:
        self.threads = threads
        self.memory = memory
        self.scratch = spill
        spill.mkdir(parents=True, exist_ok=True)
        self._progress: Progress | None = None
        self._own = session is None
        started = session or open_session(master, threads=threads, memory=memory, spill=spill)
        self.session: SparkSession = own_session(started)
        self.dialect = replace(SPARK, functions={**SPARK.functions, "scan": self._scan})
        self._held: dict[str, DataFrame] = {}
        self._scans: dict[str, str] = {}
        self._reader: DuckDB | None = None

    def close(self) -> None:
        """Give the memory back; a session that was given stays open."""
        for held in self._held.values():
            held.unpersist()
        self._held.clear()
        if self._reader is not None:
            self._reader.close()
        if self._own:
            self.session.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)

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
        return render(query, SPARK)

    def run(self, query: Sql) -> None:
        """Run a statement for its effect."""
        self._worked(query, lambda found: found.collect())

    def rows(self, query: Sql) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        found = self.arrow(query)
        return list(zip(*(c.to_pylist() for c in found.columns), strict=True))

    def one(self, query: Sql) -> tuple[Any, ...]:
        """The only row of a result."""
        (row,) = self.rows(query)
        return row

    def arrow(self, query: Sql) -> pa.Table:
        """A result as an Arrow table. Raises ``DataError`` (``spark.too_many_rows``) beyond ``MAX_ROWS`` rows."""
        with speaking_arrow():
            found = self._worked(query, lambda result: result.toArrow())
        if found.num_rows > MAX_ROWS:
            raise too_many_rows(f"{found.num_rows:,} rows", MAX_ROWS)
        return found

    def batches(self, query: Sql, *, rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """A result of any size as a stream of Arrow batches, in the query's order, through the spill folder."""
        folder = self.scratch / f"stream {uuid4().hex}"
        try:
            for file in self._written(query, folder):
                yield from pq.ParquetFile(file).iter_batches(batch_size=rows)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def register(self, view: str, rows: pa.Table) -> None:
        """Make an Arrow table readable under a name; it travels through a Parquet file that workers read.

        Rows that were read from a file of Spark's carry that file's schema among their metadata, and Spark
        would believe it: they travel without.
        """
        folder = self.scratch / "registered"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{uuid4().hex}.parquet"
        bare = rows.replace_schema_metadata(None)
        pq.write_table(bare, file, coerce_timestamps="us", allow_truncated_timestamps=False)
        with translated(self.memory):
            self.session.read.parquet(str(file)).createOrReplaceTempView(back_quoted(view))

    def hold(self, view: str, query: Sql) -> int:
        """Work a query out once and make its rows readable under a name; returns how many there are."""

        def work(found: DataFrame) -> tuple[DataFrame, int]:
            found.persist()
            return found, found.count()

        held, n_rows = self._worked(query, work)
        held.createOrReplaceTempView(back_quoted(view))
        earlier = self._held.pop(view, None)
        if earlier is not None:
            earlier.unpersist()
        self._held[view] = held
        return n_rows

    def release(self, view: str) -> None:
        """Give back what ``hold`` or ``register`` keeps under a name."""
        held = self._held.pop(view, None)
        if held is not None:
            held.unpersist()
        self.session.catalog.dropTempView(view)

    def describe(self, query: Sql) -> list[tuple[str, str]]:
        """The names and types of a query's columns, the types by their names in DuckDB; reads no rows."""
        with translated(self.memory):
            schema = self._result(query).schema
        return [(f.name, _engine_type(f.dataType.simpleString())) for f in schema.fields]

    def write(self, query: Sql, folder: Path, *, table: str, columns: Sequence[Column]) -> Table:
        """Write a query to Parquet files under ``folder``, in its order, and return them as a fingerprinted table."""
        return self.adopt(self._written(query, folder / f"{table}.parquet"), table=table, columns=columns)

    def write_files(self, query: Sql, folder: Path, *, table: str) -> tuple[Path, ...]:
        """Write a query to Parquet files under ``folder``, in its order."""
        return tuple(self._written(query, folder / f"{table}.parquet"))

    def write_parts(
        self, query: Sql, folder: Path, *, by: Sequence[str]
    ) -> dict[tuple[str, ...], tuple[Path, ...]]:
        """Write a query to Parquet files apart by the values of columns; the files of each combination of values.

        A query without an order is first gathered by those columns, so that a day is few files and not one
        for each task; a value with many rows stays many files.
        """
        folder.mkdir(parents=True, exist_ok=True)

        def work(found: DataFrame) -> None:
            gathered = found if _is_ordered(found) else found.hint("rebalance", *by)
            gathered.write.mode("append").partitionBy(*by).parquet(str(folder))

        self._worked(query, work)
        _clean(folder)
        return parts_of(folder, by)

    def adopt(self, files: Sequence[Path], *, table: str, columns: Sequence[Column]) -> Table:
        """Fingerprint Parquet files that were just written."""
        paths, names = tuple(str(f) for f in files), [c.name for c in columns]
        n_rows, total = self.one(
            sql(
                "SELECT count(*), coalesce(sum({h}), 0) FROM {scan}",
                h=row_hash(names),
                scan=shim("scan", *paths),
            )
        )
        fingerprint = row_fingerprint(names, n_rows=int(n_rows), total=int(total))
        return Table(
            name=table, files=paths, columns=tuple(columns), n_rows=int(n_rows), fingerprint=fingerprint
        )

    @property
    def reader(self) -> DuckDB:
        """A small engine on the driver that looks at the heads of text files."""
        if self._reader is None:
            self._reader = DuckDB(threads=self.threads, memory="512MB", spill=self.scratch / "reader")
        return self._reader

    def lay_down(self, frame: DataFrame, folder: Path) -> None:
        """Write a frame as Parquet under a folder that all workers see."""
        with translated(self.memory), watched(self.session, self._progress):
            frame.write.mode("overwrite").parquet(str(folder))

    def view_of(self, frame: DataFrame, key: str) -> str:
        """A Spark frame as a view of this session; its quoted name."""
        view = f"source {hashlib.sha256(key.encode()).hexdigest()[:16]}"
        frame.createOrReplaceTempView(back_quoted(view))
        return view

    def _scan(self, *files: str) -> str:
        """Parquet files as one view, made anew when one of them has changed."""
        paths = [text_of(f) for f in files]
        key = "\n".join(f"{p} {_state(p)}" for p in paths)
        if key not in self._scans:
            self._scans[key] = self.view_of(self.session.read.parquet(*paths), key)
        return back_quoted(self._scans[key])

    def _result(self, query: Sql) -> DataFrame:
        return self.session.sql(render(query, self.dialect))

    def _worked(self, query: Sql, work: Callable[[DataFrame], Any]) -> Any:
        with translated(self.memory), watched(self.session, self._progress):
            return work(self._result(query))

    def _written(self, query: Sql, folder: Path) -> list[Path]:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._worked(query, lambda found: found.write.mode("overwrite").parquet(str(folder)))
        _clean(folder)
        return sorted(folder.glob("*.parquet"))


def _engine_type(simple: str) -> str:
    return _TYPES.get(simple, simple.upper())


def _state(path: str) -> str:
    file = Path(path)
    if not file.exists():
        return ""
    seen = file.stat()
    return f"{seen.st_size} {seen.st_mtime_ns}"


def _is_ordered(found: DataFrame) -> bool:
    """Whether the query ends in ORDER BY."""
    frame: Any = found
    plan = frame._jdf.queryExecution().analyzed()
    while plan.nodeName() in {"Project", "SubqueryAlias", "View"}:
        plan = plan.child()
    return plan.nodeName() == "Sort"


def _clean(folder: Path) -> None:
    """Leave the data files alone: no checksum files, no success marks."""
    for file in [*folder.rglob(".*.crc"), *folder.rglob("_SUCCESS"), *folder.rglob("._SUCCESS.crc")]:
        file.unlink(missing_ok=True)
