"""What every source becomes: raw rows with their file and their place in it, and the files that could not be opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headwater.engine.sql import Sql

__all__ = ["FILE", "ROW", "BrokenFile", "Relation"]

FILE, ROW = "__file", "__row"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenFile:
    """A file that was set aside whole: why (``source.empty``, ``source.unreadable``, ``source.columns_differ``) and its size."""

    path: Path
    code: str
    reason: str
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Raw rows. ``rows`` is a FROM item with the columns, ``__file`` and ``__row``.

    ``rows_are`` says what ``__row`` counts: rows of the file, or the ordinal of the rows that could be
    read. ``broken`` selects (file, row, reason, raw line) of what could not be split into columns; it is
    filled while ``rows_keeping_aside`` is read. ``broken_files`` were set aside whole, before any row was read.
    """

    format: str
    files: tuple[Path, ...]
    columns: tuple[tuple[str, str], ...]
    rows: Sql
    rows_keeping_aside: Sql
    rows_are: str
    broken: Sql | None
    broken_files: tuple[BrokenFile, ...] = ()
