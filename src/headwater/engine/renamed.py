"""Columns that are gone from a file while others are new in it: whether they are the same ones under another name."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.engine.source_files import format_of

__all__ = ["Renamed", "heads_of", "renamed_columns"]

_HEAD = 1 << 19
_ROWS = 2_000
_ALIKE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """A column that is gone and one that is new, of the same type; ``same`` is the share of the new one's values that the old one has too."""

    gone: str
    new: str
    same: float

    @property
    def told(self) -> str:
        """The pair in words."""
        return f"column {self.gone} is gone, column {self.new} is new; the same type and {self.same:.0%} of the same values (renamed?)"


def renamed_columns(
    gone: Sequence[str],
    new: Sequence[str],
    *,
    last: Mapping[str, Sequence[str]],
    now: Mapping[str, Sequence[str]],
) -> tuple[Renamed, ...]:
    """Each column gone with the new one that is most like it, where they have a type in common and half of the values.

    ``last`` and ``now`` give some values of each column, as text. A pair that is alone on both sides and of
    one type is told where they share any value.
    """
    pairs = [
        Renamed(gone=g, new=n, same=_same(last.get(g, ()), now.get(n, ())))
        for g in gone
        for n in new
        if _type(last.get(g, ())) == _type(now.get(n, ())) != ""
    ]
    alone = len(gone) == len(new) == 1
    found: list[Renamed] = []
    for pair in sorted(pairs, key=lambda p: (-p.same, p.gone, p.new)):
        taken = any(pair.gone == f.gone or pair.new == f.new for f in found)
        if not taken and pair.same and (alone or pair.same >= _ALIKE):
            found.append(pair)
    return tuple(found)


def heads_of(
    file: Path, columns: Sequence[str], *, names: Sequence[str], delimiter: str | None = None
) -> dict[str, list[str]]:
    """Values of columns in the first rows of a CSV or Parquet file, as text; none where it cannot be read so.

    ``names`` are all columns of a CSV file in their order.
    """
    try:
        if format_of(file) == "parquet":
            return _parquet_head(file, columns)
        return _csv_head(file, columns, names=names, delimiter=delimiter)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException):
        return {}


def _parquet_head(file: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    batch = next(pq.ParquetFile(file).iter_batches(batch_size=_ROWS, columns=list(columns)), None)
    if batch is None:
        return {}
    return {c: [str(v) for v in batch.column(c).to_pylist() if v is not None] for c in columns}


def _csv_head(
    file: Path, columns: Sequence[str], *, names: Sequence[str], delimiter: str | None
) -> dict[str, list[str]]:
    packed = {".gz": "gzip", ".zst": "zstd"}.get(file.suffix)
    with pa.input_stream(str(file), compression=packed) as stream:
        text = bytes(stream.read(_HEAD)).decode("utf-8", errors="ignore")
    first = text.split("\n", 1)[0]
    separator = delimiter or max(",\t;|", key=first.count)
    rows = list(csv.reader(StringIO(text), delimiter=separator))[1:_ROWS]
    place = {c: i for i, c in enumerate(names)}
    return {
        c: [r[place[c]].strip() for r in rows if len(r) == len(names) and r[place[c]].strip()]
        for c in columns
    }


def _same(last: Sequence[str], now: Sequence[str]) -> float:
    known = set(last)
    return sum(v in known for v in now) / len(now) if now else 0.0


def _type(values: Sequence[str]) -> str:
    """What nearly all values are: numbers, times, or text; '' of none."""
    if not values:
        return ""
    if sum(_is_number(v) for v in values) >= 0.95 * len(values):
        return "number"
    return (
        "time"
        if sum(v[:4].isdigit() and v[4:5] in {"-", "/"} for v in values) >= 0.95 * len(values)
        else "text"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
