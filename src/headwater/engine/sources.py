"""Files as relations: CSV, TSV, JSON lines, Parquet and Excel, each row with its file and its place in it.

Nothing is dropped in silence: lines the reader cannot split are kept aside with their number and text, files
that cannot be opened are set aside with their reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from duckdb import Error as DuckDBError
from python_calamine import CalamineError

from headwater.core.errors import SourceError
from headwater.engine.engine import Engine
from headwater.engine.relation import FILE, ROW, BrokenFile, Relation
from headwater.engine.sift import SiftedFiles, check_broken_files, find_damage, sift_files
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
    "SiftedFiles",
    "check_broken_files",
    "find_files",
    "known_rows",
    "open_relation",
    "read_sifted",
    "require_closed_quotes",
]


MOST_BROKEN_LOOKED_AT = 0.5
"""Who only looks at data may see past more broken files than who builds on it: up to half; tell them (``check_broken_files``)."""

Read = TypeVar("Read")


def read_sifted(
    engine: Engine,
    files: Sequence[Path],
    read: Callable[[SiftedFiles], Read],
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    max_broken_files: float = 0.01,
    sound: Collection[Path] = (),
) -> Read:
    """What ``read`` makes of the files that can be read; where it meets damage inside one, without that file.

    Parameters
    ----------
    sound
        Files known to be whole: they are not looked through for damage.

    Raises
    ------
    SourceError
        More than the share ``max_broken_files`` is broken, or no file is and yet they cannot be read.
    """
    sift = partial(
        sift_files, engine, files, delimiter=delimiter, encoding=encoding, max_broken_files=max_broken_files
    )
    sifted = sift()
    try:
        return read(sifted)
    except SourceError as error:
        if error.finding.code != "source.unreadable":
            raise
        suspects = [f for f in sifted.files if f not in sound]
        damaged = find_damage(engine, suspects, delimiter=delimiter, encoding=encoding)
        if not damaged:
            raise
    return read(replace(sift(damaged=damaged), n_reads=2))


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
