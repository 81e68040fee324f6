"""Sources that are not files on this disk are landed: streamed to Parquet pieces in the workspace, then read like files.

A piece is named by its content, so an unchanged piece keeps its file and nothing built on it is built again.
``landed.json``, written last and whole, lists the pieces that count; a kill at any moment leaves the last complete list.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.core.errors import HeadwaterError, SourceError

__all__ = ["Asked", "Landed", "Piece", "land_once", "missing_extra", "plain_schema", "write_pieces"]

_ROWS_OF_GROUP = 122_880
_ROWS_OF_PIECE = 983_040
_LIST = "landed.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A place as the settings name it: path, table, the folder to land in; ``variables`` fill ``${VAR}`` in the path."""

    path: str
    table: str | None
    folder: Path
    root: Path
    threads: int = 2
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def local(self) -> Path:
        """The path on this disk."""
        return self.root / self.path

    def need_table(self) -> str:
        """The table asked for. Raises ``SourceError`` (``source.no_table``)."""
        if not self.table:
            raise SourceError(
                "source.no_table",
                what=f"'{self.path}' holds tables, and the source names none.",
                why="Which rows are meant cannot be guessed.",
                do='Add table = "events" (or "schema.events") to the source.',
            )
        return self.table


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """The files a source is read from. ``version`` is what the place itself calls this state; None where it has no name."""

    files: tuple[Path, ...]
    version: str | None
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file to be made: where it stands in the order, and what writes it to the path it is given."""

    number: int
    write: Callable[[Path], None]


def land_once(
    asked: Asked, *, kind: str, version: str | None, pieces: Callable[[Path], Iterable[Path]]
) -> Landed:
    """The landed files of a version; made where they are not there yet. A place without versions is read anew each time.

    ``pieces`` writes files into the scratch folder it is given, in order.
    """
    known = _listed(asked.folder)
    if known is not None and version is not None and known[0] == version:
        return Landed(files=known[1], version=version, kind=kind)
    scratch = asked.folder / f"scratch-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        files = tuple(_named_by_content(p, asked.folder, number) for number, p in enumerate(pieces(scratch)))
        _write_list(asked.folder, version, files)
    except OSError as error:
        raise HeadwaterError(
            "workspace.disk",
            what=f"The source cannot be landed in '{asked.folder}': {error}.",
            why="Nothing was done; what was landed before is still there.",
            do="Free some disk, or check who may write there.",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _sweep(asked.folder, keep=files)
    return Landed(files=files, version=version, kind=kind)


def write_pieces(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path, *, rows: int = _ROWS_OF_PIECE
) -> Iterator[Path]:
    """Stream batches into Parquet files of at most ``rows`` rows and at least one file; holds one row group in memory."""
    plain = plain_schema(schema)
    number, stream = 0, _groups(batches, plain)
    group = next(stream, plain.empty_table())
    while group is not None:
        path = folder / f"piece-{number:06d}.parquet"
        n_rows = 0
        with pq.ParquetWriter(path, plain, compression="zstd") as writer:
            while group is not None and n_rows < rows:
                writer.write_table(group)
                n_rows += group.num_rows
                group = next(stream, None)
        yield path
        number += 1


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The types a landed piece has: microsecond times, plain strings and numbers; everything else is kept as it is."""
    return pa.schema([pa.field(f.name, _plain(f.type)) for f in schema])


def missing_extra(extra: str, package: str) -> HeadwaterError:
    """The error of an optional package that is not installed."""
    return SourceError(
        "extra.missing",
        what=f"'{package}' is not installed.",
        why="This kind of source cannot be read without it.",
        do=f"pip install 'headwater[{extra}]'.",
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz=kind.tz)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    n_rows = 0
    for batch in batches:
        held.append(batch)
        n_rows += batch.num_rows
        if n_rows >= _ROWS_OF_GROUP:
            whole = pa.Table.from_batches(held)
            while whole.num_rows >= _ROWS_OF_GROUP:
                yield whole.slice(0, _ROWS_OF_GROUP).cast(schema, safe=False)
                whole = whole.slice(_ROWS_OF_GROUP)
            held, n_rows = whole.to_batches(), whole.num_rows
    if n_rows:
        yield pa.Table.from_batches(held).cast(schema, safe=False)


def _named_by_content(made: Path, folder: Path, number: int) -> Path:
    with made.open("rb") as opened:
        digest = file_digest(opened, "sha256").hexdigest()[:12]
    target = folder / f"{number:06d}-{digest}{''.join(made.suffixes[-1:])}"
    if target.exists():
        made.unlink()
    else:
        made.replace(target)
    return target


def _listed(folder: Path) -> tuple[str | None, tuple[Path, ...]] | None:
    try:
        read: dict[str, Any] = json.loads((folder / _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    files = tuple(folder / name for name in read["files"])
    return (read["version"], files) if all(f.is_file() for f in files) else None


def _write_list(folder: Path, version: str | None, files: Sequence[Path]) -> None:
    text = json.dumps({"version": version, "files": [f.name for f in files]})
    draft = folder / f"{_LIST}.{os.getpid()}"
    draft.write_text(text, encoding="utf-8")
    draft.replace(folder / _LIST)


def _sweep(folder: Path, *, keep: Sequence[Path]) -> None:
    wanted = {f.name for f in keep} | {_LIST}
    for old in folder.iterdir():
        if old.name not in wanted and old.is_file():
            old.unlink()
