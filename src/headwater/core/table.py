"""Tables: immutable Parquet files with typed, described columns and a content fingerprint.

A ``Table`` is pure data (it can be written to a manifest and read back). Reading the rows is the
engine's work: it registers a reader here, so that ``core`` imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any

from headwater.core.errors import UsageError

__all__ = ["Column", "Kind", "Known", "Purpose", "Table", "frame_library", "set_table_reader"]


class Kind(StrEnum):
    """The types a column may have. Money is int64 micro-units of the app's currency."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "money"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DAY = "day"


class Purpose(StrEnum):
    """What a column is for, so that no target is ever used as a feature."""

    KEY = "key"
    FEATURE = "feature"
    TARGET = "target"
    FLAG = "flag"
    FACT = "fact"


class Known(StrEnum):
    """Whether a column is known by the cutoff or only after it."""

    BY_CUTOFF = "by_cutoff"
    AFTER_CUTOFF = "after_cutoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: name, type, unit, purpose, when it is known, and one line for people."""

    name: str
    kind: Kind
    unit: str = ""
    purpose: Purpose = Purpose.FACT
    known: Known = Known.BY_CUTOFF
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows in immutable Parquet files.

    ``fingerprint`` covers the rows, whatever their order, files or clock; two tables with equal
    fingerprints hold the same rows.
    """

    name: str
    files: tuple[str, ...]
    columns: tuple[Column, ...]
    n_rows: int
    fingerprint: str

    def column(self, name: str) -> Column:
        """The column of that name. Raises ``KeyError``."""
        return next((c for c in self.columns if c.name == name), None) or _missing(name)

    def to_arrow(self, columns: Sequence[str] | None = None) -> Any:
        """The rows as a ``pyarrow.Table``."""
        return _reader()(self, columns)

    def to_pandas(self, columns: Sequence[str] | None = None) -> Any:
        """The rows as a ``pandas.DataFrame`` (needs pandas)."""
        frame_library("pandas")
        return self.to_arrow(columns).to_pandas()

    def to_polars(self, columns: Sequence[str] | None = None) -> Any:
        """The rows as a ``polars.DataFrame`` (needs polars)."""
        return frame_library("polars").from_arrow(self.to_arrow(columns))


def frame_library(name: str) -> Any:
    """pandas or Polars, where it is installed. Raises ``UsageError`` (``extra.missing``)."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise UsageError(
            "extra.missing",
            what=f"'{name}' is not installed.",
            why="The result cannot be turned into its frames.",
            do=f"pip install 'headwater[{name}]', or use to_arrow().",
        ) from None


TableReader = Callable[[Table, Sequence[str] | None], Any]
_readers: list[TableReader] = []


def set_table_reader(reader: TableReader) -> None:
    """Let ``Table.to_arrow`` read rows; the engine floor calls this once."""
    _readers[:] = [reader]


def _reader() -> TableReader:
    if not _readers:
        raise RuntimeError("no engine is imported: import headwater first")
    return _readers[0]


def _missing(name: str) -> Column:
    raise KeyError(name)
