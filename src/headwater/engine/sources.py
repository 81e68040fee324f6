"""Files as relations: CSV, TSV, JSON lines, Parquet and Excel, each row with its file and its place in it.

Nothing is dropped in silence: lines the reader cannot split are kept aside with their number and text, files
that cannot be opened are set aside with their reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from duckdb import Error as DuckDBError
from python_calamine import CalamineError

from headwater.engine.engine import Engine
from headwater.engine.relation import FILE, ROW, BrokenFile, Relation
from headwater.engine.sift import sift_files
from headwater.engine.source_csv import open_csv, require_closed_quotes
from headwater.engine.source_excel import open_excel
from headwater.engine.source_files import find_files, known_rows, require_one_format, unreadable
from headwater.engine.source_jsonl import open_json_lines
from headwater.engine.source_parquet import open_parquet
from headwater.engine.spark import Spark
from headwater.engine.spark_sources import open_on_spark

__all__ = [
    "FILE",
    "MOST_BROKEN_LOOKED_AT",
    "ROW",
    "BrokenFile",
    "Relation",
    "find_files",
    "known_rows",
    "open_relation",
    "require_closed_quotes",
]


MOST_BROKEN_LOOKED_AT = 0.5
"""Who only looks at data may see past more broken files than who builds on it: up to half, each of them named."""


def open_relation(
    engine: Engine,
    files: Path | Sequence[Path],
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    skip: Sequence[Path] = (),
    max_broken_files: float = 0.01,
) -> Relation:
    """Open the files of a source as one relation.

    Parameters
    ----------
    files
        A file, a folder or a glob: what is broken is set aside (``sift_files``) up to ``max_broken_files``.
        Or a list of files, which is read as it is: sift a source once, then open any part of it.
    skip
        As in ``find_files``.

    Raises
    ------
    SourceError
        The files cannot be read.
    """
    if isinstance(files, Path):
        sifted = sift_files(
            engine,
            find_files(files, skip=skip),
            delimiter=delimiter,
            encoding=encoding,
            max_broken_files=max_broken_files,
        )
        opened = open_relation(engine, sifted.files, delimiter=delimiter, encoding=encoding)
        return replace(opened, broken_files=sifted.broken)
    return _opened(engine, tuple(files), delimiter=delimiter, encoding=encoding)


def _opened(engine: Engine, files: tuple[Path, ...], *, delimiter: str | None, encoding: str) -> Relation:
    try:
        if isinstance(engine, Spark):
            return open_on_spark(engine, files, delimiter=delimiter, encoding=encoding)
        match require_one_format(files):
            case "csv":
                return open_csv(engine, files, delimiter=delimiter, encoding=encoding)
            case "jsonl":
                return open_json_lines(engine, files, encoding=encoding)
            case "parquet":
                return open_parquet(engine, files)
            case _:
                return open_excel(engine, files)
    except (DuckDBError, pa.ArrowException, CalamineError) as error:
        raise unreadable(files, error) from error
