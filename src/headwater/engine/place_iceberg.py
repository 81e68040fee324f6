"""An Iceberg table through the ``pyiceberg`` package: rows streamed with delete files applied."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from headwater.core.errors import SourceError
from headwater.engine.landing import Asked, Landed, land_once, missing_extra, write_pieces

__all__ = ["is_iceberg", "land_iceberg"]

_SQLITE = "iceberg+sqlite:///"
_NAMED = "iceberg://"


def is_iceberg(folder: Path) -> bool:
    """Whether a folder is an Iceberg table."""
    return any((folder / "metadata").glob("*.metadata.json"))


def land_iceberg(asked: Asked) -> Landed:
    """The current snapshot of an Iceberg table.

    ``path`` is the table's folder, ``iceberg+sqlite:///catalog.db`` or ``iceberg://NAME`` (a catalog in
    pyiceberg's own settings), the last two with ``table``. Position deletes and deletion vectors are
    applied; a table with equality deletes is refused. Raises ``SourceError``
    (``source.unreadable``, ``source.deletes``, ``extra.missing``).
    """
    try:
        errors = import_module("pyiceberg.exceptions")
    except ModuleNotFoundError:
        raise missing_extra("iceberg", "pyiceberg") from None
    try:
        table = _open(asked)
    except (
        OSError,
        ValueError,
        sqlite3.Error,
        errors.NoSuchTableError,
        errors.NoSuchNamespaceError,
    ) as error:
        raise _unreadable(asked, error) from error
    snapshot = table.current_snapshot()
    at = snapshot.snapshot_id if snapshot else "empty"
    return land_once(
        asked,
        kind="iceberg",
        version=f"iceberg:{table.metadata.table_uuid}@{at}",
        pieces=lambda scratch: _pieces(table, asked, scratch),
    )


def _open(asked: Asked) -> Any:
    if asked.path.startswith(_SQLITE):
        return _of_sqlite(asked.root / asked.path.removeprefix(_SQLITE), asked.need_table())
    if asked.path.startswith(_NAMED):
        catalog = import_module("pyiceberg.catalog").load_catalog(asked.path.removeprefix(_NAMED))
        return catalog.load_table(asked.need_table())
    return import_module("pyiceberg.table").StaticTable.from_metadata(str(_newest(asked.local())))


def _of_sqlite(file: Path, table: str) -> Any:
    """A table of a catalog in an SQLite file, whatever the catalog calls itself."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no catalog '{file}'")
    namespace, _, bare = table.rpartition(".")
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "SELECT catalog_name FROM iceberg_tables WHERE table_namespace = ? AND table_name = ?",
            (namespace, bare),
        ).fetchall()
    if len(found) != 1:
        raise ValueError(f"the catalog '{file.name}' has {len(found)} tables '{table}'")
    opened = import_module("pyiceberg.catalog.sql").SqlCatalog(found[0][0], uri=f"sqlite:///{file.resolve()}")
    try:
        return opened.load_table(table)
    finally:
        opened.close()


def _newest(folder: Path) -> Path:
    """The last metadata file: the highest number in its name (``00003-...``, ``v3...``)."""
    found = list((folder / "metadata").glob("*.metadata.json"))
    return max(found, key=lambda f: (int((re.match(r"v?(\d+)", f.name) or [0, 0])[1]), f.stat().st_mtime_ns))


def _pieces(table: Any, asked: Asked, scratch: Path) -> Iterable[Path]:
    try:
        reader: pa.RecordBatchReader = table.scan().to_arrow_batch_reader()
        yield from write_pieces(reader, reader.schema, scratch)
    except (ValueError, NotImplementedError) as error:
        if "equality delete" in str(error):
            raise SourceError(
                "source.deletes",
                what=f"The Iceberg table '{asked.table or asked.path}' has equality-delete files.",
                why="pyiceberg does not apply them: rows that were deleted would be counted.",
                do="Compact the table with the program that writes it (rewrite_data_files), then run again.",
            ) from error
        raise _unreadable(asked, error) from error


def _unreadable(asked: Asked, error: Exception) -> SourceError:
    return SourceError(
        "source.unreadable",
        what=f"The Iceberg table '{asked.table or asked.path}' cannot be read: {(str(error).splitlines() or ['unknown'])[0][:200]}",
        why="Nothing was loaded.",
        do="Check the path of the catalog and the table's name (namespace.table).",
    )
