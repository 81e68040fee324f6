"""Files as relations: CSV, TSV, JSON lines, Parquet and Excel, each row with its file and its place in it.

Nothing is dropped in silence: lines the reader cannot split are kept aside with their number and text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import Error as DuckDBError
from python_calamine import CalamineError

from headwater.core.errors import SourceError
from headwater.engine.engine import Engine
from headwater.engine.sheets import distinct_names, read_sheet
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["FILE", "ROW", "Relation", "find_files", "known_rows", "open_relation", "require_closed_quotes"]

FILE, ROW = "__file", "__row"
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
_REJECTS = sql("reject_errors")
_SHOWN_OF_LINE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Raw rows. ``rows`` is a FROM item with the columns, ``__file`` and ``__row``.

    ``rows_are`` says what ``__row`` counts: rows of the file, or the ordinal of the rows that could be
    read. ``broken`` selects (file, row, reason, raw line) of what could not be split into columns; it is
    filled while ``rows`` is read for the last time, with ``kept_aside``.
    """

    format: str
    files: tuple[Path, ...]
    columns: tuple[tuple[str, str], ...]
    rows: Sql
    rows_keeping_aside: Sql
    rows_are: str
    broken: Sql | None


def find_files(path: Path, *, skip: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The data files of a file, a folder or a glob, sorted. Raises ``SourceError``.

    A folder or glob leaves out what is hidden (our own workspace among it), what no reader knows, and
    everything under ``skip`` (the folder reports are delivered to).
    """
    if path.is_file():
        found = [path]
    else:
        root, pattern = (path, "**/*") if path.is_dir() else _split_glob(path)
        data = (p for p in root.glob(pattern) if p.is_file() and _format_of(p) and not _hidden(p, root))
        found = sorted(p for p in data if not any(p.is_relative_to(s) for s in skip))
    if not found:
        raise SourceError(
            "source.not_found",
            what=f"There is no data file at '{path}'.",
            why="Nothing could be read.",
            do="Check the path; readable are .csv .tsv .txt .jsonl .ndjson .parquet .xlsx .xls .ods, also .gz and .zst.",
        )
    _refuse_empty(found)
    return tuple(found)


def known_rows(files: Sequence[Path]) -> int | None:
    """How many rows the files say they hold; None where only reading them would tell."""
    if any(_format_of(f) != "parquet" for f in files):
        return None
    try:
        return sum(pq.ParquetFile(f).metadata.num_rows for f in files)
    except (OSError, pa.ArrowException):
        return None


def open_relation(
    engine: Engine,
    path: Path,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    skip: Sequence[Path] = (),
) -> Relation:
    """Open the files of a source as one relation; ``skip`` as in ``find_files``. Raises ``SourceError``."""
    files = find_files(path, skip=skip)
    formats = {_format_of(f) for f in files}
    if len(formats) > 1 or None in formats:
        raise SourceError(
            "source.mixed_formats",
            what=f"'{path}' holds files of several or unknown kinds: {', '.join(sorted({f.suffix for f in files}))}.",
            why="One source is read with one reader.",
            do="Point the source at one kind, such as data/*.parquet.",
        )
    try:
        match formats.pop():
            case "csv":
                return _csv(engine, files, delimiter=delimiter, encoding=encoding)
            case "jsonl":
                return _json_lines(engine, files, encoding=encoding)
            case "parquet":
                return _parquet(engine, files)
            case _:
                return _excel(engine, files)
    except (DuckDBError, pa.ArrowException) as error:
        raise _unreadable(files, error) from error


def require_closed_quotes(engine: Engine, relation: Relation) -> None:
    """Raise ``SourceError`` where a quote runs on so long that the lines it took in cannot be listed.

    Asked after ``rows_keeping_aside`` was read.
    """
    if relation.format != "csv":
        return
    endless = sql(
        "SELECT min(line) FROM {e} WHERE error_type = 'UNQUOTED VALUE' AND length(csv_line) >= {n}",
        e=_REJECTS,
        n=_SHOWN_OF_LINE,
    )
    (line,) = engine.one(endless)
    if line is not None:
        raise SourceError(
            "source.unclosed_quote",
            what=f"A quote that opens on line {line:,} of '{relation.files[0].name}' (or a file beside it) does not close.",
            why="All lines after it were read as one value; they are neither kept nor countable.",
            do="Close or double the quote, or export the file again with quotes escaped.",
        )


def _split_glob(path: Path) -> tuple[Path, str]:
    """The deepest folder a glob names in full, and the pattern below it."""
    parts = path.parts
    plain = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
    return Path(*parts[:plain]), str(Path(*parts[plain:]))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _format_of(path: Path) -> str | None:
    suffix = path.with_suffix("").suffix if path.suffix in _PACKED else path.suffix
    return _FORMATS.get(suffix.lower())


def _refuse_empty(files: Sequence[Path]) -> None:
    empty = [f.name for f in files if f.stat().st_size == 0]
    if empty:
        raise SourceError(
            "source.empty",
            what=f"{len(empty)} of {len(files)} files are empty (0 bytes): {', '.join(empty[:3])}.",
            why="An empty file is often a failed export; reading on would count silence as inactivity.",
            do="Export it again, or take the file out of the source.",
        )


def _unreadable(files: Sequence[Path], error: Exception) -> SourceError:
    return SourceError(
        "source.unreadable",
        what=f"'{files[0].name}' cannot be read: {str(error).splitlines()[0][:200]}",
        why="Nothing was loaded.",
        do="Open the file and check its kind and encoding; name delimiter or encoding in the source.",
    )


def _paths(files: Sequence[Path]) -> Sql:
    return sql("[{files}]", files=commas([sql("{f}", f=str(f)) for f in files]))


def _csv(engine: Engine, files: tuple[Path, ...], *, delimiter: str | None, encoding: str) -> Relation:
    columns, separator, quote = _sniff(engine, files, delimiter=delimiter, encoding=encoding)
    _forget_rejects(engine)
    struct = sql("{{{pairs}}}", pairs=commas([sql("{c}: 'VARCHAR'", c=name(c)) for c in columns]))
    rows = sql(
        "(SELECT *, row_number() OVER () AS {row} FROM read_csv({paths}, auto_detect=false,"
        " header=true, columns={struct}, delim={delim}, quote={quote}, escape={quote}, encoding={encoding}, filename={file}, ",
        file=FILE,
        row=name(ROW),
        paths=_paths(files),
        struct=struct,
        delim=separator,
        quote=quote,
        encoding=encoding,
    )
    aside = sql(
        "SELECT f, line + generate_subscripts(lines, 1) - 1, why, unnest(lines) FROM ({rejected}) r"
        " ORDER BY 1, 2",
        rejected=_rejected_lines(),
    )
    return Relation(
        format="csv",
        files=files,
        columns=tuple((c, "VARCHAR") for c in columns),
        rows=sql("{rows} ignore_errors=true))", rows=rows),
        rows_keeping_aside=sql("{rows} store_rejects=true, rejects_limit=0))", rows=rows),
        rows_are="ordinal of the readable rows",
        broken=aside,
    )


def _forget_rejects(engine: Engine) -> None:
    """The engine keeps broken lines of every load in one table; this load begins with none."""
    engine.run(sql("DROP TABLE IF EXISTS reject_errors"))
    engine.run(sql("DROP TABLE IF EXISTS reject_scans"))


def _rejected_lines() -> Sql:
    """One row for each broken line; a quote closed too late takes in several lines, which are listed one by one."""
    return sql(
        "SELECT s.file_path AS f, e.line, string_agg(DISTINCT lower(CAST(e.error_type AS VARCHAR)), ', ') AS why,"
        " CASE WHEN bool_or(e.error_type = 'UNQUOTED VALUE') THEN regexp_split_to_array(trim(any_value(e.csv_line), chr(10) || chr(13)), '\\r?\\n') ELSE [trim(any_value(e.csv_line), chr(10) || chr(13))] END AS lines"
        " FROM {rejects} e JOIN reject_scans s USING (scan_id, file_id) GROUP BY 1, e.line",
        rejects=_REJECTS,
    )


def _sniff(
    engine: Engine, files: Sequence[Path], *, delimiter: str | None, encoding: str
) -> tuple[list[str], str, str]:
    seen: dict[tuple[str, ...], Path] = {}
    separator, quote = ",", '"'
    for file in files:
        options = sql(", delim={d}", d=delimiter) if delimiter else sql("")
        found = engine.one(
            sql(
                "SELECT Delimiter, Quote, list_transform(Columns, lambda c: c.name) FROM"
                " sniff_csv({f}, all_varchar=true, header=true, ignore_errors=true, strict_mode=false, encoding={e}{o})",
                f=str(file),
                e=encoding,
                o=options,
            )
        )
        separator, quote = str(found[0]), '"' if found[1] in ("", "(empty)", "\0") else str(found[1])
        seen.setdefault(tuple(found[2]), file)
    _require_one_layout(seen)
    return [c.replace(quote * 2, quote) for c in next(iter(seen))], separator, quote


def _require_one_layout(seen: Mapping[tuple[str, ...], Path]) -> None:
    """Refuse files whose columns differ: what one lacks would count as zero."""
    if len(seen) > 1:
        (a, first), (b, second) = list(seen.items())[:2]
        raise SourceError(
            "source.columns_differ",
            what=f"'{first.name}' has the columns {_some(a)}, '{second.name}' has {_some(b)}.",
            why="Rows would land under the wrong columns, or a missing column would count as zero.",
            do="Give each layout its own source, or export the files again alike.",
        )


def _some(columns: Sequence[str]) -> str:
    return ", ".join(columns[:8]) + (" ..." if len(columns) > 8 else "")


def _json_lines(engine: Engine, files: tuple[Path, ...], *, encoding: str) -> Relation:
    _forget_rejects(engine)
    scan = sql(
        "(SELECT line, {filed} AS {filed}, {row}, CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE FALSE END AS valid FROM (SELECT *, row_number() OVER () AS {row} FROM read_csv({paths}, auto_detect=false,"
        " header=false, columns={{line: 'VARCHAR'}}, delim={delim}, quote='', escape='', encoding={encoding}, filename={file}, strict_mode=false, max_line_size=16000000, ",
        filed=name(FILE),
        file=FILE,
        row=name(ROW),
        paths=_paths(files),
        delim="\x01",
        encoding=encoding,
    )
    lines = sql("{scan} ignore_errors=true)) WHERE trim(line) <> '')", scan=scan)
    lines_keeping_aside = sql(
        "{scan} store_rejects=true, rejects_limit=0)) WHERE trim(line) <> '')", scan=scan
    )
    keys = [
        r[0]
        for r in engine.rows(
            sql(
                "SELECT DISTINCT unnest(json_keys(line)) AS k FROM (SELECT line FROM {lines} WHERE valid LIMIT 50000) ORDER BY k",
                lines=lines,
            )
        )
    ]
    if not keys:
        raise SourceError(
            "source.not_json_lines",
            what=f"'{files[0].name}' holds no line that is a JSON object.",
            why="Each line must be one event.",
            do="Write one JSON object a line (JSON Lines), or convert the file to Parquet.",
        )
    columns = distinct_names(keys)
    values = [
        sql("json_extract_string(line, {path}) AS {c}", path='$."' + k.replace('"', '\\"') + '"', c=name(c))
        for k, c in zip(keys, columns, strict=True)
    ]
    select = sql("(SELECT {values}, {file}, {row} FROM ", values=values, file=name(FILE), row=name(ROW))
    broken = sql(
        "SELECT {file}, {row}, 'not a json object', line FROM {lines} WHERE NOT valid UNION ALL SELECT f, line, why, unnest(lines) FROM ({rejected}) r",
        file=name(FILE),
        row=name(ROW),
        lines=lines,
        rejected=_rejected_lines(),
    )
    return Relation(
        format="jsonl",
        files=files,
        columns=tuple((c, "VARCHAR") for c in columns),
        rows=sql("{select} {lines} WHERE valid)", select=select, lines=lines),
        rows_keeping_aside=sql("{select} {lines} WHERE valid)", select=select, lines=lines_keeping_aside),
        rows_are="ordinal of the readable lines",
        broken=broken,
    )


def _parquet(engine: Engine, files: tuple[Path, ...]) -> Relation:
    layouts = ((tuple(sorted(pq.read_schema(f).names)), f) for f in files)
    _require_one_layout(dict(reversed(list(layouts))))
    scan = sql(
        "read_parquet({paths}, union_by_name=true, filename={file}, file_row_number=true)",
        paths=_paths(files),
        file=FILE,
    )
    columns = [
        (c, t)
        for c, t in engine.describe(sql("SELECT * FROM {scan}", scan=scan))
        if c not in (FILE, "file_row_number")
    ]
    rows = sql(
        "(SELECT * EXCLUDE (file_row_number), file_row_number + 1 AS {row} FROM {scan})",
        row=name(ROW),
        scan=scan,
    )
    return Relation(
        format="parquet",
        files=files,
        columns=tuple(columns),
        rows=rows,
        rows_keeping_aside=rows,
        rows_are="row of the file",
        broken=None,
    )


def _excel(engine: Engine, files: tuple[Path, ...]) -> Relation:
    tables = [_placed(f) for f in files]
    _require_one_layout({tuple(sorted(t.column_names)): f for t, f in zip(tables, files, strict=True)})
    merged = pa.concat_tables(tables, promote_options="default")
    view = f"excel {sha256('|'.join(map(str, files)).encode()).hexdigest()[:12]}"
    engine.register(view, merged)
    rows = sql("(SELECT * FROM {view})", view=name(view))
    return Relation(
        format="excel",
        files=files,
        columns=tuple((c, "VARCHAR") for c in merged.column_names if c not in (FILE, ROW)),
        rows=rows,
        rows_keeping_aside=rows,
        rows_are="row of the sheet",
        broken=None,
    )


def _placed(file: Path) -> pa.Table:
    try:
        rows, first = read_sheet(file)
    except CalamineError as error:
        raise _unreadable([file], error) from error
    if first is None:
        raise SourceError(
            "source.empty",
            what=f"The first sheet of '{file.name}' is empty.",
            why="There is nothing to read.",
            do="Put the table on the first sheet, its header in the first row.",
        )
    places = pa.array(range(first, first + rows.num_rows), pa.int64())
    files = pa.array([str(file)] * rows.num_rows, pa.string())
    return rows.append_column(FILE, files).append_column(ROW, places)
