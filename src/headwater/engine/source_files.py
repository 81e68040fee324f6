"""Which files a path names, what kind they are, and the partitions their folders spell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.core.errors import SourceError
from headwater.engine.addresses import shown
from headwater.engine.relation import FILE
from headwater.engine.sql import Sql, name, sql

__all__ = [
    "empty",
    "find_files",
    "format_of",
    "is_packed",
    "known_rows",
    "partition_columns",
    "partition_keys",
    "paths",
    "require_one_format",
    "unreadable",
]

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "excel",
    ".xls": "excel",
    ".ods": "excel",
}
_PACKED = {".gz", ".zst"}
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def find_files(path: Path, *, skip: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The data files of a file, a folder or a glob, sorted. Raises ``SourceError``.

    A folder or glob leaves out what is hidden (our own workspace among it), what no reader knows, and
    everything under ``skip`` (the folder reports are delivered to). Empty files are in it unless all are.
    """
    if path.is_file():
        found = [path]
    else:
        root, pattern = (path, "**/*") if path.is_dir() else _split_glob(path)
        data = (p for p in root.glob(pattern) if p.is_file() and format_of(p) and not _hidden(p, root))
        found = sorted(p for p in data if not any(p.is_relative_to(s) for s in skip))
    if not found:
        raise SourceError(
            "source.not_found",
            what=f"There is no data file at '{shown(str(path))}'.",
            why="Nothing could be read.",
            do="Check the path; readable are .csv .tsv .txt .jsonl .ndjson .parquet .xlsx .xls .ods, also .gz and .zst.",
        )
    if all(f.stat().st_size == 0 for f in found):
        raise empty(found, n_files=len(found))
    return tuple(found)


def known_rows(files: Sequence[Path]) -> int | None:
    """How many rows the files say they hold; None where only reading them would tell."""
    if any(format_of(f) != "parquet" for f in files):
        return None
    try:
        return sum(pq.ParquetFile(f).metadata.num_rows for f in files)
    except (OSError, pa.ArrowException):
        return None


def format_of(path: Path) -> str | None:
    """The kind of a file by its name: csv, jsonl, parquet, excel; None where no reader knows it."""
    suffix = path.with_suffix("").suffix if is_packed(path) else path.suffix
    return _FORMATS.get(suffix.lower())


def is_packed(path: Path) -> bool:
    """Whether a file is packed with gzip or Zstandard."""
    return path.suffix in _PACKED


def require_one_format(files: Sequence[Path]) -> str:
    """The one kind of all files. Raises ``SourceError`` (``source.mixed_formats``)."""
    formats = {format_of(f) for f in files}
    (first, *others) = formats
    if others or first is None:
        raise SourceError(
            "source.mixed_formats",
            what=f"'{files[0].name}' and its neighbors are files of several or unknown kinds: {', '.join(sorted({f.suffix for f in files}))}.",
            why="One source is read with one reader.",
            do="Point the source at one kind, such as data/*.parquet.",
        )
    return first


def partition_keys(files: Sequence[Path]) -> tuple[str, ...]:
    """The keys that the folders right above every file spell (``day=2024-01-01/country=GB``), outermost first.

    Raises ``SourceError`` (``source.partitions_differ``) where files disagree.
    """
    example = {_keys(f): f for f in files}
    if len(example) > 1:
        (a, first), (b, second) = list(example.items())[:2]
        raise SourceError(
            "source.partitions_differ",
            what=f"'{first}' has the partitions {list(a)}, '{second}' has {list(b)}.",
            why="The partition columns of some rows would be missing.",
            do="Point the source at folders with the same partitions, or give each layout its own source.",
        )
    return next(iter(example), ())


def partition_columns(keys: Sequence[str]) -> list[Sql]:
    """``value AS key`` for each partition key, read off the name of the row's file; text, NULL where there is none."""
    return [
        sql(
            "nullif(url_decode(regexp_extract({file}, {pattern}, 1)), {none}) AS {c}",
            file=name(FILE),
            pattern=f"/{re.escape(key)}=([^/]*)/",
            none=_NO_VALUE,
            c=name(unquote(key)),
        )
        for key in keys
    ]


def paths(files: Sequence[Path]) -> Sql:
    """A list of files as the engine's readers take it."""
    return sql("[{files}]", files=[sql("{f}", f=str(f)) for f in files])


def empty(files: Sequence[Path], *, n_files: int) -> SourceError:
    """The error of files that hold nothing at all."""
    return SourceError(
        "source.empty",
        what=f"{len(files)} of {n_files} files are empty (0 bytes): {', '.join(f.name for f in files[:3])}.",
        why="An empty file is often a failed export; reading on would count silence as inactivity.",
        do="Export it again, or take the file out of the source.",
    )


def unreadable(files: Sequence[Path], error: Exception | str) -> SourceError:
    """The error of a file that no reader can open."""
    return SourceError(
        "source.unreadable",
        what=f"'{files[0].name}' cannot be read: {str(error).splitlines()[0][:200]}",
        why="Nothing was loaded.",
        do="Open the file and check its kind and encoding; name delimiter or encoding in the source.",
    )


def _keys(file: Path) -> tuple[str, ...]:
    found: list[str] = []
    for part in reversed(file.parent.parts):
        if "=" not in part:
            break
        found.insert(0, part.split("=", 1)[0])
    return tuple(found)


def _split_glob(path: Path) -> tuple[Path, str]:
    """The deepest folder a glob names in full, and the pattern below it."""
    parts = path.parts
    plain = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
    return Path(*parts[:plain]), str(Path(*parts[plain:]))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
