"""A broken file among a thousand is named and set aside; the others are read.

Broken is: empty, no file of its kind (a cut Parquet footer, a damaged packed file, a web page saved as CSV),
with lines that end in several ways, or with other columns than most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import Error as DuckDBError
from python_calamine import CalamineError

from headwater.core.errors import HeadwaterError, SourceError
from headwater.core.finding import Finding, Severity
from headwater.engine.engine import Engine
from headwater.engine.line_ends import ends_differ, name_mixed_lines
from headwater.engine.relation import BrokenFile
from headwater.engine.renamed import heads_of, renamed_columns
from headwater.engine.sheets import read_sheet
from headwater.engine.source_csv import open_csv, sniff
from headwater.engine.source_files import empty, format_of, is_packed, require_one_format, unreadable
from headwater.engine.source_parquet import footers
from headwater.engine.sql import name, sql
from headwater.engine.web_page import WEB_PAGE, begins_web_page, web_page

__all__ = ["SiftedFiles", "check_broken_files", "find_damage", "sift_files"]

_CHUNK = 1 << 20
_HEADS = {"csv": _CHUNK, "jsonl": 1 << 16}
_LISTED = 5

_TOLD_TOGETHER = {"source.unreadable", "source.web_page"}

Layout = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiftedFiles:
    """The files of a source that can be opened, and those that were set aside.

    ``n_reads``: how often files were read in vain before: once until one failed, once to find which.
    """

    files: tuple[Path, ...]
    broken: tuple[BrokenFile, ...]
    n_reads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What the first bytes of a text file show. ``first_line`` is the digest of its first line; lines that
    end in several ways are a suspicion: such a file is read to be sure.
    """

    is_page: bool
    first_line: bytes
    ends_differ: bool


def sift_files(
    engine: Engine,
    files: Sequence[Path],
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    max_broken_files: float = 0.01,
    damaged: Sequence[BrokenFile] = (),
) -> SiftedFiles:
    """Set aside the files that cannot be read, or whose columns are not those of most files.

    Reads footers and headers, in parallel; a packed file is unpacked once, since nothing else tells
    whether it is whole. Files ``damaged`` inside, as a read has shown, are set aside too. Raises ``SourceError`` (``source.empty``, ``source.unreadable``,
    ``source.columns_differ``, ``source.web_page``, ``source.mixed_formats``) where more than the share ``max_broken_files`` is
    broken.
    """
    kind = require_one_format(files)
    broken = {f: _broken(f, "source.empty", "it is empty (0 bytes)") for f in files if f.stat().st_size == 0}
    broken |= _damaged_packs([f for f in files if f not in broken], threads=engine.threads)
    heads = _heads([f for f in files if f not in broken], kind, threads=engine.threads)
    broken |= {f: _broken(f, "source.web_page", WEB_PAGE) for f, head in heads.items() if head.is_page}
    left = [f for f in files if f not in broken]
    looks = _looks(engine, left, kind, heads, delimiter=delimiter, encoding=encoding)
    broken |= {f: _broken(f, "source.unreadable", why) for f, why in looks.items() if isinstance(why, str)}
    layouts = {f: look for f, look in looks.items() if not isinstance(look, str)}
    if kind == "csv" and not encoding.startswith("utf-16"):
        suspects = [f for f in layouts if heads[f].ends_differ]
        mixed = _unread(engine, suspects, delimiter=delimiter, encoding=encoding)
        broken |= mixed
        layouts = {f: look for f, look in layouts.items() if f not in mixed}
    usual = Counter(layouts.values()).most_common(1)[0][0] if layouts else ()
    odd = {f: look for f, look in layouts.items() if look != usual}
    like = next((f for f, look in layouts.items() if look == usual), None)
    broken |= {
        f: _broken(
            f, "source.columns_differ", _difference(look, usual, file=f, like=like, delimiter=delimiter)
        )
        for f, look in odd.items()
    }
    broken |= {b.path: b for b in damaged}
    aside = tuple(broken[f] for f in files if f in broken)
    if aside and (len(aside) > max_broken_files * len(files) or len(aside) == len(files)):
        raise _refusal(aside, n_files=len(files), layouts=layouts, most=max_broken_files)
    return SiftedFiles(
        files=tuple(f for f in files if f not in broken),
        broken=aside,
    )


def find_damage(
    engine: Engine, files: Sequence[Path], *, delimiter: str | None = None, encoding: str = "utf-8"
) -> tuple[BrokenFile, ...]:
    """The files that are damaged inside: Parquet with pages that cannot be decoded, text that cannot be read to its end.

    Every byte is read, so ask only after a read has failed. Files of other kinds are passed over.
    """
    pages = [f for f in files if format_of(f) == "parquet"]
    with ThreadPoolExecutor(max_workers=engine.threads) as pool:
        whys = pool.map(_page_damage, pages)
    found = {f: _broken(f, "source.unreadable", why) for f, why in zip(pages, whys, strict=True) if why}
    texts = [f for f in files if format_of(f) == "csv"]
    found |= _unread(engine, texts, delimiter=delimiter, encoding=encoding)
    return tuple(found[f] for f in files if f in found)


def check_broken_files(files: Sequence[Path], broken: Sequence[BrokenFile]) -> tuple[Finding, ...]:
    """Which files were set aside beside ``files``, how many, and what share of files and bytes (``source.broken_files``)."""
    if not broken:
        return ()
    n_files = len(files) + len(broken)
    n_bytes = sum(b.n_bytes for b in broken)
    all_bytes = n_bytes + sum(f.stat().st_size for f in files)
    named = "; ".join(f"'{b.path.name}': {b.reason}" for b in broken[:_LISTED])
    more = f"; and {len(broken) - _LISTED} more" if len(broken) > _LISTED else ""
    share_of_bytes = n_bytes / all_bytes if all_bytes else 0.0
    return (
        Finding(
            code="source.broken_files",
            severity=Severity.WARN,
            what=f"{len(broken)} of {n_files:,} files ({len(broken) / n_files:.2%} of files, {share_of_bytes:.2%} of bytes) could not be read and were set aside: {named}{more}.",
            why="Their rows are in no number; how many there are cannot be known, and the days they cover look quieter than they were.",
            do="Export or copy these files again and run again; nothing else is read anew.",
            numbers={"n_broken_files": len(broken), "n_files": n_files, "n_broken_bytes": n_bytes},
        ),
    )


def _looks(
    engine: Engine,
    files: Sequence[Path],
    kind: str,
    heads: Mapping[Path, _Head],
    *,
    delimiter: str | None,
    encoding: str,
) -> dict[Path, Layout | str]:
    """The columns of each file, or why they cannot be read."""
    match kind:
        case "parquet":
            read = footers(files, threads=engine.threads)
            return {
                f: s if isinstance(s, str) else tuple(sorted(s.names))
                for f, s in zip(files, read, strict=True)
            }
        case "csv":
            headers = {f: heads[f].first_line for f in files}
            return _text_layouts(engine, headers, delimiter=delimiter, encoding=encoding)
        case "excel":
            return {f: _sheet_layout(f) for f in files}
        case _:
            return dict.fromkeys(files, ())


def _text_layouts(
    engine: Engine, headers: Mapping[Path, bytes], *, delimiter: str | None, encoding: str
) -> dict[Path, Layout | str]:
    """The engine looks at one file for each different first line; the others have the same columns."""
    known: dict[bytes, Layout | str] = {}
    for file, header in headers.items():
        if header not in known:
            known[header] = _sniffed(engine, file, delimiter=delimiter, encoding=encoding)
    return {f: known[header] for f, header in headers.items()}


def _unread(
    engine: Engine, files: Sequence[Path], *, delimiter: str | None, encoding: str
) -> dict[Path, BrokenFile]:
    """The text files that the engine cannot read to their end, each read alone."""
    found: dict[Path, BrokenFile] = {}
    for file in files:
        try:
            relation = open_csv(engine.reader, (file,), delimiter=delimiter, encoding=encoding)
            engine.reader.one(
                sql("SELECT count({c}) FROM {r} r", c=name(relation.columns[0][0]), r=relation.rows)
            )
        except (DuckDBError, HeadwaterError) as error:
            found[file] = _unread_for(file, str(error).splitlines()[0][:200])
    return found


def _unread_for(file: Path, why: str) -> BrokenFile:
    named = name_mixed_lines([file])
    if named is None and not _head(file, _HEADS["csv"]).ends_differ:
        return _broken(file, "source.unreadable", why)
    counts = why if named is None else named.finding.what.split(": ", 1)[1].rstrip(".")
    return _broken(file, "source.line_ends", f"its lines end in several ways: {counts}")


def _heads(files: Sequence[Path], kind: str, *, threads: int) -> dict[Path, _Head]:
    """What the head of each text file shows; other kinds cannot be read as tables when they are web pages."""
    if kind not in _HEADS:
        return {}
    with ThreadPoolExecutor(max_workers=max(threads, 2)) as pool:
        return dict(zip(files, pool.map(partial(_head, n_bytes=_HEADS[kind]), files), strict=True))


def _head(file: Path, n_bytes: int) -> _Head:
    """One read serves every look; the bytes are let go."""
    with _unpacked(file) as stream:
        head = bytes(stream.read(n_bytes))
    return _Head(
        is_page=begins_web_page(head),
        first_line=sha256(head.split(b"\n", 1)[0]).digest(),
        ends_differ=format_of(file) == "csv" and ends_differ(head, file),
    )


def _sniffed(engine: Engine, file: Path, *, delimiter: str | None, encoding: str) -> Layout | str:
    try:
        return tuple(sniff(engine.reader, file, delimiter=delimiter, encoding=encoding)[0])
    except (DuckDBError, HeadwaterError) as error:
        return str(error).splitlines()[0][:200]


def _sheet_layout(file: Path) -> Layout | str:
    try:
        rows, first = read_sheet(file)
    except CalamineError as error:
        return str(error)
    return tuple(sorted(rows.column_names)) if first is not None else "its first sheet is empty"


def _damaged_packs(files: Sequence[Path], *, threads: int) -> dict[Path, BrokenFile]:
    packed = [f for f in files if is_packed(f)]
    with ThreadPoolExecutor(max_workers=max(threads, 2)) as pool:
        found = zip(packed, pool.map(_pack_damage, packed), strict=True)
        return {f: _broken(f, "source.unreadable", why) for f, why in found if why is not None}


def _pack_damage(file: Path) -> str | None:
    def read() -> None:
        buffer = bytearray(_CHUNK)
        with _unpacked(file) as stream:
            while stream.readinto(buffer):
                pass

    return _failure(read)


def _page_damage(file: Path) -> str | None:
    def read() -> None:
        for _ in pq.ParquetFile(file).iter_batches():
            pass

    return _failure(read)


def _failure(read: Callable[[], None]) -> str | None:
    try:
        read()
    except (OSError, pa.ArrowException) as error:
        return str(error).splitlines()[0][:200]
    return None


def _unpacked(file: Path) -> pa.NativeFile:
    return pa.input_stream(str(file), compression={".gz": "gzip", ".zst": "zstd"}.get(file.suffix))


def _broken(file: Path, code: str, reason: str) -> BrokenFile:
    return BrokenFile(path=file, code=code, reason=reason.rstrip("."), n_bytes=file.stat().st_size)


def _difference(look: Layout, usual: Layout, *, file: Path, like: Path | None, delimiter: str | None) -> str:
    lacks, has = sorted(set(usual) - set(look)), sorted(set(look) - set(usual))
    if lacks and has and like is not None:
        pairs = renamed_columns(
            lacks,
            has,
            last=heads_of(like, lacks, names=usual, delimiter=delimiter),
            now=heads_of(file, has, names=look, delimiter=delimiter),
        )
        if len(pairs) == len(lacks) == len(has):
            return "; ".join(p.told for p in pairs)
    told = [f"{word} {_some(names)}" for word, names in (("it lacks", lacks), ("it also has", has)) if names]
    return ", ".join(told) or "its columns stand in another order"


def _refusal(
    broken: Sequence[BrokenFile], *, n_files: int, layouts: dict[Path, Layout], most: float
) -> SourceError:
    first = broken[0]
    codes = {b.code for b in broken}
    if 1 < n_files != len(broken) and (len(codes) > 1 or codes & _TOLD_TOGETHER):
        named = "; ".join(f"'{b.path.name}': {b.reason}" for b in broken[:_LISTED])
        return SourceError(
            first.code,
            what=f"{len(broken)} of {n_files:,} files ({len(broken) / n_files:.1%}) cannot be read; {most:.1%} may be set aside. {named}.",
            why="Their rows would be in no number, and their days would look quieter than they were.",
            do="Export these files again, or allow more under [gate] max_broken_files.",
        )
    match first.code:
        case "source.line_ends":
            found = name_mixed_lines([first.path])
            return found or unreadable([first.path], first.reason)
        case "source.empty":
            return empty([b.path for b in broken if b.code == first.code], n_files=n_files)
        case "source.columns_differ":
            return columns_differ(layouts, reason=f"'{first.path.name}': {first.reason}")
        case "source.web_page":
            return web_page(first.path)
        case _:
            return unreadable([first.path], first.reason)


def columns_differ(layouts: dict[Path, Layout], *, reason: str) -> SourceError:
    """The error of files whose columns differ: what one lacks would count as zero."""
    seen = {look: file for file, look in reversed(layouts.items())}
    (a, first), (b, second) = sorted(seen.items(), key=lambda pair: pair[1])[:2]
    return SourceError(
        "source.columns_differ",
        what=f"'{first.name}' has the columns {_some(a)}, '{second.name}' has {_some(b)}. {reason}.",
        why="Rows would land under the wrong columns, or a missing column would count as zero.",
        do="Give each layout its own source, export the files again alike, or allow more broken files under [gate] max_broken_files.",
    )


def _some(columns: Sequence[str]) -> str:
    return ", ".join(columns[:8]) + (" ..." if len(columns) > 8 else "")
