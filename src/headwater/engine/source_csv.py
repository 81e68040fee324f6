"""CSV and its kin: every column text, lines that cannot be split kept aside with their number and text."""

from __future__ import annotations

from pathlib import Path

from headwater.core.errors import SourceError
from headwater.engine.engine import Engine
from headwater.engine.relation import FILE, ROW, Relation
from headwater.engine.source_files import partition_columns, partition_keys, paths
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["forget_rejects", "open_csv", "rejected_lines", "require_closed_quotes", "sniff"]

_REJECTS = sql("reject_errors")
_SHOWN_BYTES = 10_000 - 3  # DuckDB shows so much of a broken line, to the end of a character


def open_csv(engine: Engine, files: tuple[Path, ...], *, delimiter: str | None, encoding: str) -> Relation:
    """CSV files of one layout as a relation; the first file's header names the columns."""
    columns, separator, quote = sniff(engine, files[0], delimiter=delimiter, encoding=encoding)
    keys = [k for k in partition_keys(files) if k not in columns]
    forget_rejects(engine)
    struct = sql("{{{pairs}}}", pairs=commas([sql("{c}: 'VARCHAR'", c=name(c)) for c in columns]))
    rows = sql(
        "(SELECT {columns}, {file}, row_number() OVER () AS {row} FROM read_csv({paths}, auto_detect=false,"
        " header=true, columns={struct}, delim={delim}, quote={quote}, escape={quote}, encoding={encoding}, filename={as_file}, hive_partitioning=false, ",
        columns=commas([*[name(c) for c in columns], *partition_columns(keys)]),
        file=name(FILE),
        as_file=FILE,
        row=name(ROW),
        paths=paths(files),
        struct=struct,
        delim=separator,
        quote=quote,
        encoding=encoding,
    )
    aside = sql(
        "SELECT f, line + generate_subscripts(lines, 1) - 1, why, unnest(lines) FROM ({rejected}) r"
        " ORDER BY 1, 2",
        rejected=rejected_lines(),
    )
    # With ignore_errors alone, DuckDB 2.0 passes over all lines that follow a broken quote.
    readable = sql("{rows} store_rejects=true, rejects_limit=0))", rows=rows)
    return Relation(
        format="csv",
        files=files,
        columns=tuple((c, "VARCHAR") for c in (*columns, *keys)),
        rows=readable,
        rows_keeping_aside=readable,
        rows_are="ordinal of the readable rows",
        broken=aside,
    )


def require_closed_quotes(engine: Engine, relation: Relation) -> None:
    """Raise ``SourceError`` where a quote runs on so long that the lines it took in cannot be listed.

    Asked after ``rows_keeping_aside`` was read.
    """
    if relation.format != "csv" or engine.name == "spark":  # Spark's workers have asked already
        return
    endless = sql(
        "SELECT min(line) FROM {e} WHERE error_type = 'UNQUOTED VALUE' AND strlen(csv_line) >= {n}",
        e=_REJECTS,
        n=_SHOWN_BYTES,
    )
    (line,) = engine.one(endless)
    if line is not None:
        raise SourceError(
            "source.unclosed_quote",
            what=f"A quote that opens on line {line:,} of '{relation.files[0].name}' (or a file beside it) does not close.",
            why="All lines after it were read as one value; they are neither kept nor countable.",
            do="Close or double the quote, or export the file again with quotes escaped.",
        )


def forget_rejects(engine: Engine) -> None:
    """The engine keeps broken lines of every load in one table; this load begins with none."""
    engine.run(sql("DROP TABLE IF EXISTS reject_errors"))
    engine.run(sql("DROP TABLE IF EXISTS reject_scans"))


def rejected_lines() -> Sql:
    """One row for each broken line; a quote closed too late takes in several lines, which are listed one by one."""
    return sql(
        "SELECT s.file_path AS f, e.line, string_agg(DISTINCT lower(CAST(e.error_type AS VARCHAR)), ', ') AS why,"
        " CASE WHEN bool_or(e.error_type = 'UNQUOTED VALUE') THEN regexp_split_to_array(trim(any_value(e.csv_line), chr(10) || chr(13)), '\\r?\\n') ELSE [trim(any_value(e.csv_line), chr(10) || chr(13))] END AS lines"
        " FROM {rejects} e JOIN reject_scans s USING (scan_id, file_id) GROUP BY 1, e.line",
        rejects=_REJECTS,
    )


def sniff(engine: Engine, file: Path, *, delimiter: str | None, encoding: str) -> tuple[list[str], str, str]:
    """The columns of a file, its separator and its quote."""
    options = sql(", delim={d}", d=delimiter) if delimiter else sql("")
    found = engine.reader.one(
        sql(
            "SELECT Delimiter, Quote, list_transform(Columns, lambda c: c.name) FROM"
            " sniff_csv({f}, all_varchar=true, header=true, ignore_errors=true, strict_mode=false, encoding={e}{o})",
            f=str(file),
            e=encoding,
            o=options,
        )
    )
    separator, quote = str(found[0]), '"' if found[1] in ("", "(empty)", "\0") else str(found[1])
    return [c.replace(quote * 2, quote) for c in found[2]], separator, quote
