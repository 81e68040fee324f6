"""What a path is, where it is no data file that can be read: said by its first bytes, with the next step."""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from headwater.core.errors import DataError, SourceError
from headwater.engine.place_duckdb import tables_of
from headwater.engine.source_files import format_of, is_packed

__all__ = ["no_rows", "require_data"]

_READABLE = ".csv .tsv .txt .jsonl .ndjson .json .parquet .xlsx .xls .ods, the text ones also as .gz and .zst"
_HEAD = 512
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A kind of file that begins with ``magic`` at ``offset``; ``reads`` are the formats under which it may stand."""

    magic: bytes
    called: str
    do: str
    reads: frozenset[str] = frozenset()
    offset: int = 0


_KINDS = (
    _Kind(magic=b"DUCK", offset=8, called="a DuckDB database", do=""),
    _Kind(magic=b"SQLite format 3\0", called="a SQLite database", do="Export its table as CSV: sqlite3 -header -csv FILE 'SELECT * FROM events' > events.csv."),
    _Kind(magic=b"PK\x03\x04", called="a zip archive", do="Unpack it, then name the file or the folder inside.", reads=frozenset({"excel"})),
    _Kind(magic=b"PAR1", called="a Parquet file", do="Give it the ending .parquet.", reads=frozenset({"parquet"})),
    _Kind(magic=b"\x1f\x8b", called="a file packed with gzip", do="Give it the ending of what is in it and .gz, such as events.csv.gz."),
    _Kind(magic=b"\x28\xb5\x2f\xfd", called="a file packed with Zstandard", do="Give it the ending of what is in it and .zst, such as events.csv.zst."),
    _Kind(magic=b"\xd0\xcf\x11\xe0", called="an old Excel workbook or another Office file", do="Give it the ending .xls, or save it as .xlsx.", reads=frozenset({"excel"})),
    _Kind(magic=b"%PDF", called="a PDF document", do="Ask for the data behind it as CSV."),
    _Kind(magic=b"ARROW1", called="an Arrow (Feather) file", do="Save it as Parquet."),
    _Kind(magic=b"ORC", called="an ORC file", do="Save it as Parquet."),
    _Kind(magic=b"Obj\x01", called="an Avro file", do="Save it as Parquet."),
    _Kind(magic=b"BZh", called="a file packed with bzip2", do="Unpack it, or pack it with gzip."),
    _Kind(magic=b"7z\xbc\xaf", called="a 7-Zip archive", do="Unpack it, then name the file or the folder inside."),
)  # fmt: skip


def require_data(path: Path) -> None:
    """Raise ``SourceError`` where a path names nothing a reader takes, saying what it is instead.

    Codes: ``source.not_found`` (nothing there, or a folder without data) and ``source.unknown_kind`` (a
    database, an archive, an unknown ending, or bytes that are not what the ending says).
    """
    if path.is_file():
        _require_kind(path)
    elif path.is_dir():
        _require_inside(path)
    elif not any(c in str(path) for c in "*?["):
        raise _not_there(path)


def no_rows(path: str) -> DataError:
    """The error of a source with columns and no row (``source.no_rows``), in the words of the quality gate."""
    return DataError(
        "source.no_rows",
        what=f"'{path}' has columns but no row.",
        why="An empty load is often a failed export; nothing can be learned from it.",
        do="Export it again and check the date range.",
    )


def _require_kind(path: Path) -> None:
    if not path.stat().st_size:
        return
    head = _head(path)
    form = format_of(path)
    seen = next((k for k in _KINDS if head[k.offset : k.offset + len(k.magic)] == k.magic), None)
    packed = is_packed(path) and form is not None
    if seen is not None and not packed and (form is None or form not in seen.reads):
        raise _unknown(path, f"is {seen.called}{_said(path, form)}", _next_step(path, seen))
    if form is None:
        kind = "looks like text" if _is_text(head) else "is of no kind that is known"
        do = (
            f"If it is a table of values with separators, call it {path.stem}.csv; of JSON lines, {path.stem}.jsonl."
            if _is_text(head)
            else f"Readable are {_READABLE}."
        )
        raise _unknown(path, f"has the ending '{path.suffix or 'none'}', and {kind}", do)
    if form in {"parquet", "excel"} and not packed and seen is None:
        ends = "Parquet" if form == "parquet" else "an Excel or OpenDocument workbook"
        more = (
            "; it begins like text, perhaps an error page or a CSV under another name"
            if _is_text(head)
            else ""
        )
        raise _unknown(
            path,
            f"has the ending '{path.suffix}', but is not {ends}{more}",
            "Look into it with a text editor; download or export it again.",
        )


def _require_inside(folder: Path) -> None:
    """A folder holds data files, or the error says what it holds."""
    inside = [
        p
        for p in folder.rglob("*")
        if p.is_file() and not any(q.startswith(".") for q in p.relative_to(folder).parts)
    ]
    if any(format_of(p) for p in inside):
        return
    endings = Counter(p.suffix or "no ending" for p in inside)
    held = ", ".join(f"{n} {e}" for e, n in endings.most_common(_SHOWN))
    raise SourceError(
        "source.not_found",
        what=f"The folder '{folder}' holds {f'{len(inside):,} files, none of a kind that is read ({held})' if inside else 'no file'}.",
        why="Nothing could be read.",
        do=_of_one_file(inside)
        or f"Name the folder or the file that holds the data; readable are {_READABLE}.",
    )


def _of_one_file(inside: list[Path]) -> str:
    """The next step where a folder holds a single file of a kind that is known."""
    if len(inside) != 1:
        return ""
    try:
        _require_kind(inside[0])
    except SourceError as error:
        return f"{error.finding.what} {error.finding.do}"
    return ""


def _not_there(path: Path) -> SourceError:
    beside = (
        sorted(p.name for p in path.parent.iterdir() if not p.name.startswith("."))
        if path.parent.is_dir()
        else []
    )
    close = get_close_matches(path.name, beside, n=3)
    readable = [n for n in beside if format_of(Path(n))][:_SHOWN]
    if not path.parent.is_dir():
        do = f"There is no folder '{path.parent}' either; check the path from where you are."
    elif close:
        do = f"Near it: {', '.join(close)}."
    else:
        do = (
            f"Data files beside it: {', '.join(readable)}."
            if readable
            else "Check the path; no data file lies beside it."
        )
    return SourceError(
        "source.not_found", what=f"There is nothing at '{path}'.", why="Nothing could be read.", do=do
    )


def _next_step(path: Path, seen: _Kind) -> str:
    match seen.called:
        case "a DuckDB database":
            tables = tables_of(path)
            table = tables[0] if tables else "events"
            some = (
                f"Its tables and views: {', '.join(tables[:_SHOWN])}{' ...' if len(tables) > _SHOWN else ''}. "
                if tables
                else ""
            )
            return (
                f"{some}This command looks at files: write one with COPY {table} TO '{table}.parquet'; or declare the"
                f' table in headwater.toml: [[sources]] path = "{path.name}", table = "{table}".'
            )
        case "a zip archive":
            inside = _members(path)
            return (
                f"It holds {', '.join(inside[:_SHOWN])}{' ...' if len(inside) > _SHOWN else ''}. {seen.do}"
                if inside
                else seen.do
            )
        case _:
            return seen.do


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [n for n in archive.namelist() if not n.endswith("/")]
    except (zipfile.BadZipFile, OSError):
        return []


def _said(path: Path, form: str | None) -> str:
    return f", although its ending is '{path.suffix}'" if form is not None else ""


def _unknown(path: Path, what: str, do: str) -> SourceError:
    return SourceError(
        "source.unknown_kind",
        what=f"'{path.name}' {what}.",
        why="Nothing was read: read as anything else, its bytes would be wrong values.",
        do=do,
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and sum(b < 9 for b in head) == 0
