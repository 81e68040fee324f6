"""Write a document in the formats asked for, through the shelf of exporters."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import ClassVar, Protocol

from headwater.core.block import Document
from headwater.core.errors import UsageError
from headwater.core.shelf import Shelf

__all__ = ["EXPORTERS", "Delivered", "Exporter", "deliver", "exporter_for", "require_writable", "writing"]


class Exporter(Protocol):
    """Writes a document to one file, whole or not at all."""

    suffix: ClassVar[str]

    def write(self, document: Document, path: Path) -> None:
        """Write the file."""
        ...


EXPORTERS = Shelf[Exporter](package="headwater.export", kind="exporter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A file that was written, with its SHA-256."""

    format: str
    path: Path
    sha256: str


def deliver(
    document: Document, formats: Sequence[str], folder: Path, *, stem: str = "report"
) -> tuple[Delivered, ...]:
    """Write ``folder/stem.suffix`` for each format. Raises ``UsageError`` for an unknown one."""
    writers = [(f, EXPORTERS.load(f)()) for f in formats]
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Delivered] = []
    for name, writer in writers:
        path = folder / f"{stem}{writer.suffix}"
        writer.write(document, path)
        made.append(Delivered(format=name, path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    return tuple(made)


def exporter_for(path: Path) -> Exporter:
    """The exporter of a file's suffix. Raises ``UsageError`` (``write.unknown_suffix``)."""
    writers = {EXPORTERS.load(n).suffix: EXPORTERS.load(n) for n in EXPORTERS.names()}
    if path.suffix not in writers:
        raise UsageError(
            "write.unknown_suffix",
            what=f"No exporter writes '{path.suffix}' files.",
            why="Nothing was written.",
            do=f"Name the file with one of {', '.join(sorted(writers))}.",
        )
    return writers[path.suffix]()


def require_writable(folder: Path) -> None:
    """Raise ``UsageError`` (``write.unwritable``) where no file can be put into a folder, or the folder not be made."""
    with writing(folder):
        there = next(f for f in (folder, *folder.absolute().parents) if f.exists())
        with TemporaryFile(dir=there):
            pass


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn what the system says of a file or folder that is written here into ``UsageError`` (``write.unwritable``)."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            "write.unwritable",
            what=f"'{path}' cannot be written: {error.strerror or error}.",
            why="Results would have no place; nothing was written there.",
            do="Name a folder that you may write to, or check that no file stands in its way and that the disk has room.",
        ) from error
