"""Parquet: columns with the types the files declare, rows numbered within their file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.engine.engine import Engine
from headwater.engine.relation import FILE, ROW, Relation
from headwater.engine.source_files import partition_columns, partition_keys, paths
from headwater.engine.sql import commas, name, sql

__all__ = ["footers", "open_parquet"]

_ROW_NUMBER = "file_row_number"


def open_parquet(engine: Engine, files: tuple[Path, ...]) -> Relation:
    """Parquet files as a relation; where their types differ, a column takes the widest."""
    alike = len({str(s) for s in footers(files, threads=engine.threads)}) == 1
    scan = sql(
        "read_parquet({paths}, union_by_name={widen}, filename={file}, file_row_number=true, hive_partitioning=false)",
        paths=paths(files),
        widen=not alike,
        file=FILE,
    )
    columns = [
        (c, t)
        for c, t in engine.describe(sql("SELECT * FROM {scan}", scan=scan))
        if c not in (FILE, _ROW_NUMBER)
    ]
    keys = [k for k in partition_keys(files) if k not in dict(columns)]
    rows = sql(
        "(SELECT {columns}, {file}, {number} + 1 AS {row} FROM {scan})",
        columns=commas([*[name(c) for c, _ in columns], *partition_columns(keys)]),
        file=name(FILE),
        number=name(_ROW_NUMBER),
        row=name(ROW),
        scan=scan,
    )
    return Relation(
        format="parquet",
        files=files,
        columns=(*columns, *((k, "VARCHAR") for k in keys)),
        rows=rows,
        rows_keeping_aside=rows,
        rows_are="row of the file",
        broken=None,
    )


def footers(files: Sequence[Path], *, threads: int) -> list[pa.Schema | str]:
    """What each file's footer declares, read in parallel; a text in its place says why it cannot be read."""
    with ThreadPoolExecutor(max_workers=max(threads, 2)) as pool:
        return list(pool.map(_footer, files))


def _footer(file: Path) -> pa.Schema | str:
    try:
        return pq.read_schema(file, memory_map=False).remove_metadata()
    except (OSError, pa.ArrowException) as error:
        return str(error).splitlines()[0][:200]
