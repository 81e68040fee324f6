"""A file appears whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from headwater.core.errors import UsageError

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A new file beside ``path`` to write to; on success it takes the place of ``path``, else it is removed.

    Raises ``UsageError`` (``export.no_folder``) where the folder does not exist.
    """
    if not path.parent.is_dir():
        raise UsageError(
            "export.no_folder",
            what=f"The folder {path.parent} does not exist.",
            why="The report was not written.",
            do="Create the folder, or name another place.",
        )
    draft = path.parent / f".headwater-{secrets.token_hex(8)}{path.suffix}"
    try:
        yield draft
        _flush(draft)
        draft.replace(path)
        _flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
