"""Rows as a file of their own, Parquet or CSV, that appears whole or not at all."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from headwater.core.errors import UsageError

__all__ = ["require_table_file", "write_table"]

_WRITERS = {".csv": csv.write_csv, ".parquet": parquet.write_table}


def require_table_file(path: Path) -> None:
    """Raise ``UsageError`` (``output.no_table``) where a path does not end in .csv or .parquet."""
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(
            "output.no_table",
            what=f"'{path.name}' is neither a .csv nor a .parquet file.",
            why="Nothing says how to write the rows; nothing was run.",
            do=f"Name it {shlex.quote(path.stem + '.parquet')} or {shlex.quote(path.stem + '.csv')}.",
        )


def write_table(rows: pa.Table, path: Path) -> None:
    """Write rows by the ending of ``path``; a file that is there is replaced once all of them are on disk."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            _WRITERS[path.suffix.lower()](rows, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
