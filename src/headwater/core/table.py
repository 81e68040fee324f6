"""Tables: immutable Parquet files with typed, described columns and a content fingerprint.

A ``Table`` is pure data (it can be written to a manifest and read back). Reading the rows is the
engine's work: it registers a reader here, so that ``core`` imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from importlib import import_module
from typing import Any

from headwater.core.errors import UsageError

__all__ = [
    "Column",
    "Kind",
    "Known",
    "Purpose",
    "Table",
    "added",
    "frame_library",
    "joined",
    "of_marks",
    "row_fingerprint",
    "rows_of",
    "set_table_reader",
]


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
    """What a column is for, so that no target is ever used as a feature. An attribute is a feature in words (a channel, a country)."""

    KEY = "key"
    FEATURE = "feature"
    ATTRIBUTE = "attribute"
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
    fingerprints hold the same rows. It is a sum over rows, so that parts add up (``joined``).
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


def row_fingerprint(columns: Sequence[str], *, n_rows: int, total: int) -> str:
    """The fingerprint of rows: their columns, how many they are, and the sum of their hashes.

    >>> row_fingerprint(["a"], n_rows=2, total=255)
    'ca978112.2.ff'
    """
    return f"{sha256('|'.join(columns).encode()).hexdigest()[:8]}.{n_rows:x}.{total:x}"


def added(one: str, other: str) -> str:
    """The fingerprint of two sets of rows with the same columns, together.

    >>> added("ca978112.2.ff", "ca978112.1.1")
    'ca978112.3.100'
    """
    n_rows, total = _summed([one, other])
    return f"{one.split('.', maxsplit=1)[0]}.{n_rows:x}.{total:x}"


def of_marks(name: str, *, files: Sequence[str], columns: Sequence[Column], marks: Sequence[str]) -> Table:
    """A table known by the fingerprints of sets of rows that make it up; no file is read."""
    n_rows, total = _summed(marks)
    return Table(
        name=name,
        files=tuple(files),
        columns=tuple(columns),
        n_rows=n_rows,
        fingerprint=row_fingerprint([c.name for c in columns], n_rows=n_rows, total=total),
    )


def joined(parts: Sequence[Table], *, columns: Sequence[Column] | None = None) -> Table:
    """The rows of all parts as one table; at least one part. ``columns`` are the first part's unless given."""
    first = parts[0]
    return of_marks(
        first.name,
        files=[f for p in parts for f in p.files],
        columns=first.columns if columns is None else columns,
        marks=[p.fingerprint for p in parts],
    )


def rows_of(mark: str) -> int:
    """How many rows a fingerprint covers.

    >>> rows_of("ca978112.2.ff")
    2
    """
    return _summed([mark])[0]


def _summed(marks: Sequence[str]) -> tuple[int, int]:
    """How many rows fingerprints cover, and the sum of their hashes."""
    counts = [mark.split(".")[1:] for mark in marks]
    return sum(int(n, 16) for n, _ in counts), sum(int(total, 16) for _, total in counts)


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
