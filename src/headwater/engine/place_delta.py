"""A Delta table through the ``deltalake`` package: its own files where they say everything, streamed rows elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.core.errors import SourceError
from headwater.engine.landing import Asked, Landed, land_once, missing_extra, write_pieces

__all__ = ["is_delta", "land_delta"]


def is_delta(folder: Path) -> bool:
    """Whether a folder is a Delta table."""
    return (folder / "_delta_log").is_dir()


def land_delta(asked: Asked) -> Landed:
    """The current version of a Delta table.

    Where its files hold the rows as they are (local, no deletion vectors, no partitions, every file with
    the table's columns), they are read in place. Otherwise the rows are streamed, deletion vectors and
    column mapping applied, one row group in memory. Raises ``SourceError`` (``source.unreadable``,
    ``extra.missing``).
    """
    try:
        lake = import_module("deltalake")
    except ModuleNotFoundError:
        raise missing_extra("delta", "deltalake") from None
    try:
        table = lake.DeltaTable(str(asked.local()) if "://" not in asked.path else asked.path)
    except (lake.exceptions.DeltaError, OSError) as error:
        raise _unreadable(asked, error) from error
    version = f"delta:{table.metadata().id}@{table.version()}"
    plain = _plain_files(table)
    if plain is not None:
        return Landed(files=plain, version=version, kind="delta")
    return land_once(
        asked, kind="delta", version=version, pieces=lambda scratch: _pieces(table, lake, asked, scratch)
    )


def _pieces(table: Any, lake: Any, asked: Asked, scratch: Path) -> Iterable[Path]:
    try:
        reader = pa.RecordBatchReader.from_stream(table.scan())
        yield from write_pieces(reader, reader.schema, scratch)
    except (lake.exceptions.DeltaError, pa.ArrowException) as error:
        raise _unreadable(asked, error) from error


def _plain_files(table: Any) -> tuple[Path, ...] | None:
    """The table's own files, where reading them is reading the table."""
    if table.protocol().reader_features or table.metadata().partition_columns:
        return None
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        return None
    files = sorted(Path(uri) for uri in table.file_uris())
    columns = [f.name for f in table.schema().fields]
    if not files or not all(f.is_absolute() and f.is_file() for f in files):
        return None
    return tuple(files) if all(pq.read_schema(f).names == columns for f in files) else None


def _unreadable(asked: Asked, error: Exception) -> SourceError:
    return SourceError(
        "source.unreadable",
        what=f"The Delta table '{asked.path}' cannot be read: {str(error).splitlines()[0][:200]}",
        why="Nothing was loaded; rows that the table counts as deleted would be counted by guessing on.",
        do="Check its log; a table that needs a newer reader can be rewritten by the program that made it.",
    )
