"""The catalog: which files were seen with which bytes, so that an unchanged file is not read to know it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from headwater.core.errors import HeadwaterError

__all__ = ["file_fingerprints", "source_fingerprint"]

_TABLE = (
    "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, changed_ns INTEGER, sha256 TEXT)"
)


def file_fingerprints(catalog: Path, files: Sequence[Path]) -> dict[Path, str]:
    """A fingerprint of each file's bytes; bytes are read only where size or time of change differ."""
    try:
        return _read(catalog, files)
    except sqlite3.OperationalError as error:
        raise HeadwaterError(
            "workspace.disk",
            what=f"The catalog '{catalog}' cannot be written: {error}.",
            why="Nothing was done.",
            do="Free some disk, or check who may write there.",
        ) from error
    except sqlite3.DatabaseError:  # a damaged catalog holds nothing that the files do not say again
        catalog.unlink(missing_ok=True)
        return _read(catalog, files)


def source_fingerprint(prints: Mapping[Path, str], *, root: Path) -> str:
    """One fingerprint of files' names and bytes."""
    whole = hashlib.sha256()
    for file, print_ in prints.items():
        whole.update(_name(file, root).encode())
        whole.update(print_.encode())
    return whole.hexdigest()[:32]


def _read(catalog: Path, files: Sequence[Path]) -> dict[Path, str]:
    with closing(sqlite3.connect(catalog)) as connection, connection:
        connection.execute(_TABLE)
        return {file: _known_or_read(connection, file) for file in files}


def _name(file: Path, root: Path) -> str:
    """Relative to the root, as it is read; the whole path outside the root, for folders may be partitions."""
    for own, base in ((file, root), (file.resolve(), root.resolve())):
        if own.is_relative_to(base):
            return str(own.relative_to(base))
    return str(file.absolute())


def _known_or_read(connection: sqlite3.Connection, file: Path) -> str:
    stat = file.stat()
    path = str(file.resolve())
    row = connection.execute(
        "SELECT sha256 FROM files WHERE path = ? AND size = ? AND changed_ns = ?",
        (path, stat.st_size, stat.st_mtime_ns),
    ).fetchone()
    if row is not None:
        return str(row[0])
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    connection.execute(
        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (path, stat.st_size, stat.st_mtime_ns, digest)
    )
    return digest
