"""Files as relations on Spark. Parquet is read by Spark itself; text and sheets by DuckDB on the workers.

A text file is read by one worker, with the reader DuckDB would have used, so that what is a row, what is a
broken line and what a quote means are the same on both engines. Its rows are laid down as Parquet once.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import Error as DuckDBError
from python_calamine import CalamineError

from headwater.core.errors import SourceError
from headwater.engine.duckdb import DuckDB
from headwater.engine.relation import FILE, ROW, Relation
from headwater.engine.source_csv import open_csv, require_closed_quotes
from headwater.engine.source_excel import open_excel
from headwater.engine.source_files import partition_columns, partition_keys, require_one_format, unreadable
from headwater.engine.source_jsonl import json_keys, open_json_lines
from headwater.engine.source_parquet import footers, open_parquet
from headwater.engine.spark import Spark
from headwater.engine.spark_errors import translated
from headwater.engine.spark_session import speaking_arrow
from headwater.engine.spark_text import back_quoted
from headwater.engine.sql import Sql, commas, name, sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["open_on_spark"]

_WHY, _LINE = "__why", "__line"
_REFUSED = "refused"
_WORKER_MEMORY = "512MB"
_BATCH = 50_000
_TYPES = {
    "VARCHAR": "STRING",
    "INTEGER": "INT",
    "TIMESTAMP": "TIMESTAMP_NTZ",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP_LTZ",
    "BLOB": "BINARY",
}

Batches = Iterator[pa.RecordBatch]


def open_on_spark(
    engine: Spark, files: tuple[Path, ...], *, delimiter: str | None, encoding: str
) -> Relation:
    """Open files of one kind. Raises ``SourceError``."""
    kind = require_one_format(files)
    if kind == "parquet":
        return _parquet(engine, files)
    keys = json_keys(engine.reader, files, encoding=encoding) if kind == "jsonl" else None
    opened = _opener(kind, delimiter=delimiter, encoding=encoding, keys=keys)(engine.reader, files)
    columns, folders = _own_columns(opened, partition_keys(files))
    staged = _staged(engine, files, _Reader(kind, columns, delimiter, encoding, keys))
    _raise_refusals(engine, staged)
    there = sql("{why} IS NULL", why=name(_WHY))
    selected = commas([*[name(c) for c in columns], *partition_columns(folders), name(FILE), name(ROW)])
    rows = sql("(SELECT {c} FROM {s} WHERE {there})", c=selected, s=staged, there=there)
    broken = sql(
        "SELECT {file}, {row}, {why}, {line} FROM {s} WHERE NOT {there}",
        file=name(FILE),
        row=name(ROW),
        why=name(_WHY),
        line=name(_LINE),
        s=staged,
        there=there,
    )
    return Relation(
        format=kind,
        files=files,
        columns=opened.columns,
        rows=rows,
        rows_keeping_aside=rows,
        rows_are=f"{opened.rows_are}, in its file",
        broken=broken,
    )


def _own_columns(opened: Relation, keys: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The columns that stand in the files, and the keys of folders that readers put after them."""
    own, folders = [c for c, _ in opened.columns], list[str]()
    for key in reversed(keys):
        if own and own[-1] == key:
            folders.insert(0, own.pop())
    return tuple(own), folders


def _parquet(engine: Spark, files: tuple[Path, ...]) -> Relation:
    layouts: dict[str, list[Path]] = {}
    for file, footer in zip(files, footers(files, threads=engine.threads), strict=True):
        layouts.setdefault(str(footer), []).append(file)
    keys = list(partition_keys(files))
    parts = [_placed(engine, alike) for alike in layouts.values()]
    if len(parts) == 1:
        columns = [
            c for c in engine.describe(sql("SELECT * FROM {p}", p=parts[0])) if c[0] not in (FILE, ROW)
        ]
    else:
        opened = open_parquet(engine.reader, files)
        columns = [c for c in opened.columns if c[0] not in keys]
    own = [k for k in keys if k not in dict(columns)]
    union = _union([_widened(engine, p, columns) for p in parts]) if len(parts) > 1 else parts[0]
    rows = sql(
        "(SELECT {c}, {file}, {row} FROM {u} u)",
        c=commas([*[name(c) for c, _ in columns], *partition_columns(own)]),
        file=name(FILE),
        row=name(ROW),
        u=union,
    )
    return Relation(
        format="parquet",
        files=files,
        columns=(*columns, *((k, "VARCHAR") for k in own)),
        rows=rows,
        rows_keeping_aside=rows,
        rows_are="row of the file",
        broken=None,
    )


def _placed(engine: Spark, files: Sequence[Path]) -> Sql:
    """Parquet files of one layout as a view with the file and the row of each row."""
    with translated(engine.memory):
        found = engine.session.read.parquet(*map(str, files))
    frame = found.selectExpr(
        "*",
        f"regexp_replace(url_decode(replace(_metadata.file_path, '+', '%2B')), '^file:/+', '/') AS {back_quoted(FILE)}",
        f"_metadata.row_index + 1 AS {back_quoted(ROW)}",
    )
    return name(engine.view_of(frame, "\n".join(f"{f} {f.stat().st_mtime_ns}" for f in files)))


def _widened(engine: Spark, part: Sql, columns: Sequence[tuple[str, str]]) -> Sql:
    """The columns of one layout in the types that hold all layouts."""
    present = {c for c, _ in engine.describe(sql("SELECT * FROM {p}", p=part))}
    cast = [
        sql("CAST({v} AS {t}) AS {c}", v=name(c) if c in present else None, t=_type(t), c=name(c))
        for c, t in columns
    ]
    return sql("SELECT {c}, {file}, {row} FROM {p}", c=commas(cast), file=name(FILE), row=name(ROW), p=part)


def _type(engine_type: str) -> Sql:
    """A type by its DuckDB name, as Spark names it; both names are our own, never text from data."""
    known = _TYPES.get(engine_type, engine_type)
    return (
        Sql((known,))
        if known.replace("(", "").replace(")", "").replace(",", "").replace("_", "").isalnum()
        else sql("STRING")
    )


def _union(parts: Sequence[Sql]) -> Sql:
    whole = parts[0]
    for part in parts[1:]:
        whole = sql("{a} UNION ALL {b}", a=whole, b=part)
    return sql("({w})", w=whole)


def _opener(
    kind: str, *, delimiter: str | None, encoding: str, keys: tuple[str, ...] | None
) -> Callable[[DuckDB, tuple[Path, ...]], Relation]:
    match kind:
        case "csv":
            return lambda engine, files: open_csv(engine, files, delimiter=delimiter, encoding=encoding)
        case "jsonl":
            return lambda engine, files: open_json_lines(engine, files, encoding=encoding, keys=keys)
        case _:
            return open_excel


def _staged(engine: Spark, files: tuple[Path, ...], reader: _Reader) -> Sql:
    """The rows and broken lines of all files as a view over Parquet, one file of it for each file read."""
    state = "\n".join(f"{f} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files)
    folder = engine.scratch / f"staged {sha256(f'{state}{reader}'.encode()).hexdigest()[:16]}"
    if not folder.exists():
        with speaking_arrow():
            context = engine.session.sparkContext
            listed = context.parallelize([(str(f),) for f in files], len(files)).toDF("path string")
            engine.lay_down(listed.mapInArrow(reader, reader.schema), folder)
    return name(engine.view_of(_read_back(engine, folder), str(folder)))


def _read_back(engine: Spark, folder: Path) -> DataFrame:
    return engine.session.read.parquet(str(folder))


def _raise_refusals(engine: Spark, staged: Sql) -> None:
    query = sql(
        "SELECT min({line}) FROM {s} WHERE {why} = {refused}",
        line=name(_LINE),
        s=staged,
        why=name(_WHY),
        refused=_REFUSED,
    )
    (told,) = engine.one(query)
    if told is not None:
        raise SourceError(**json.loads(told))


class _Reader:
    """Reads the files named in Arrow batches, on a worker. Travels to it, so it holds plain values only."""

    def __init__(
        self,
        kind: str,
        columns: tuple[str, ...],
        delimiter: str | None,
        encoding: str,
        keys: tuple[str, ...] | None,
    ) -> None:
        self.kind = kind
        self.columns = columns
        self.delimiter = delimiter
        self.encoding = encoding
        self.keys = keys

    def __repr__(self) -> str:
        return f"{self.kind} {self.columns} {self.delimiter} {self.encoding} {self.keys}"

    @property
    def schema(self) -> str:
        """The columns of what it yields, in Spark's words."""
        texts = [*self.columns, FILE, _WHY, _LINE]
        return ", ".join([*(f"{back_quoted(c)} string" for c in texts), f"{back_quoted(ROW)} bigint"])

    def __call__(self, batches: Batches) -> Batches:
        folder = Path(tempfile.mkdtemp(prefix="headwater-"))
        engine = DuckDB(threads=1, memory=_WORKER_MEMORY, spill=folder / str(os.getpid()))
        try:
            for batch in batches:
                for file in batch.column(0).to_pylist():
                    yield from self._read(engine, Path(file), folder / "rows.parquet")
        finally:
            engine.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _read(self, engine: DuckDB, file: Path, rows: Path) -> Batches:
        try:
            opener = _opener(self.kind, delimiter=self.delimiter, encoding=self.encoding, keys=self.keys)
            opened = opener(engine, (file,))
            query = self._rows_query(opened)
            engine.run(sql("COPY ({q}) TO {p} (FORMAT parquet)", q=query, p=str(rows)))
            yield from pq.ParquetFile(rows).iter_batches(batch_size=_BATCH)
            require_closed_quotes(engine, opened)
            if opened.broken is not None:
                yield from engine.arrow(self._broken_query(opened.broken)).to_batches()
        except (DuckDBError, CalamineError) as error:
            yield self._refusal(file, unreadable([file], error))
        except SourceError as error:
            yield self._refusal(file, error)

    def _rows_query(self, opened: Relation) -> Sql:
        there = {c for c, _ in opened.columns}
        values = [
            sql("CAST({v} AS VARCHAR) AS {c}", v=name(c) if c in there else None, c=name(c))
            for c in self.columns
        ]
        return self._query(
            values, file=name(FILE), row=name(ROW), why=None, line=None, source=opened.rows_keeping_aside
        )

    def _broken_query(self, broken: Sql) -> Sql:
        values = [sql("CAST(NULL AS VARCHAR) AS {c}", c=name(c)) for c in self.columns]
        source = sql("(SELECT * FROM ({b}) AS b(f, r, why, line))", b=broken)
        return self._query(
            values, file=name("f"), row=name("r"), why=name("why"), line=name("line"), source=source
        )

    def _query(
        self, values: Sequence[Sql], *, file: Sql, row: Sql, why: Sql | None, line: Sql | None, source: Sql
    ) -> Sql:
        return sql(
            "SELECT {values}, CAST({file} AS VARCHAR) AS {as_file}, CAST({why} AS VARCHAR) AS {as_why}, CAST({line} AS VARCHAR) AS {as_line}, CAST({row} AS BIGINT) AS {as_row} FROM {source} s",
            values=commas(values),
            file=file,
            as_file=name(FILE),
            why=why,
            as_why=name(_WHY),
            line=line,
            as_line=name(_LINE),
            row=row,
            as_row=name(ROW),
            source=source,
        )

    def _refusal(self, file: Path, error: SourceError) -> pa.RecordBatch:
        found = error.finding
        told = json.dumps({"code": found.code, "what": found.what, "why": found.why, "do": found.do})
        row = {FILE: str(file), _WHY: _REFUSED, _LINE: told, ROW: 0}
        names = [*self.columns, *row]
        arrays = [pa.array([row.get(c)], pa.int64() if c == ROW else pa.string()) for c in names]
        return pa.table(dict(zip(names, arrays, strict=True))).to_batches()[0]
