"""JSON lines: one object a line, every key a text column; lines that are no object are kept aside."""

from __future__ import annotations

from pathlib import Path

from headwater.core.errors import SourceError
from headwater.engine.engine import Engine
from headwater.engine.relation import FILE, ROW, Relation
from headwater.engine.sheets import distinct_names
from headwater.engine.source_csv import forget_rejects, rejected_lines
from headwater.engine.source_files import partition_columns, partition_keys, paths
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["json_keys", "open_json_lines"]


def json_keys(engine: Engine, files: tuple[Path, ...], *, encoding: str) -> tuple[str, ...]:
    """The keys of the first 50,000 objects. Raises ``SourceError`` (``source.not_json_lines``) where there is none."""
    lines = sql("{scan} ignore_errors=true)) WHERE trim(line) <> '')", scan=_scan(files, encoding))
    return tuple(_keys(engine, lines, files))


def open_json_lines(
    engine: Engine, files: tuple[Path, ...], *, encoding: str, keys: tuple[str, ...] | None = None
) -> Relation:
    """JSON-lines files as a relation; the keys are those of the first 50,000 lines, unless given."""
    forget_rejects(engine)
    scan = _scan(files, encoding)
    lines = sql("{scan} ignore_errors=true)) WHERE trim(line) <> '')", scan=scan)
    lines_keeping_aside = sql(
        "{scan} store_rejects=true, rejects_limit=0)) WHERE trim(line) <> '')", scan=scan
    )
    keys = keys if keys is not None else tuple(_keys(engine, lines, files))
    columns = distinct_names(keys)
    folders = [k for k in partition_keys(files) if k not in columns]
    values = [
        sql("json_extract_string(line, {path}) AS {c}", path='$."' + k.replace('"', '\\"') + '"', c=name(c))
        for k, c in zip(keys, columns, strict=True)
    ]
    select = sql(
        "(SELECT {values}, {file}, {row} FROM ",
        values=commas([*values, *partition_columns(folders)]),
        file=name(FILE),
        row=name(ROW),
    )
    broken = sql(
        "SELECT {file}, {row}, 'not a json object', line FROM {lines} WHERE NOT valid UNION ALL SELECT f, line, why, unnest(lines) FROM ({rejected}) r",
        file=name(FILE),
        row=name(ROW),
        lines=lines,
        rejected=rejected_lines(),
    )
    return Relation(
        format="jsonl",
        files=files,
        columns=tuple((c, "VARCHAR") for c in (*columns, *folders)),
        rows=sql("{select} {lines} WHERE valid)", select=select, lines=lines),
        rows_keeping_aside=sql("{select} {lines} WHERE valid)", select=select, lines=lines_keeping_aside),
        rows_are="ordinal of the readable lines",
        broken=broken,
    )


def _scan(files: tuple[Path, ...], encoding: str) -> Sql:
    """Every line with its file and place, up to the options that say what becomes of lines that cannot be read."""
    return sql(
        "(SELECT line, {filed} AS {filed}, {row}, CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE FALSE END AS valid FROM (SELECT *, row_number() OVER () AS {row} FROM read_csv({paths}, auto_detect=false,"
        " header=false, columns={{line: 'VARCHAR'}}, delim={delim}, quote='', escape='', encoding={encoding}, filename={file}, hive_partitioning=false, strict_mode=false, max_line_size=16000000, ",
        filed=name(FILE),
        file=FILE,
        row=name(ROW),
        paths=paths(files),
        delim="\x01",
        encoding=encoding,
    )


def _keys(engine: Engine, lines: Sql, files: tuple[Path, ...]) -> list[str]:
    """The keys of the first 50,000 objects. Raises ``SourceError`` (``source.not_json_lines``) where there is none."""
    found = engine.rows(
        sql(
            "SELECT DISTINCT unnest(json_keys(line)) AS k FROM (SELECT line FROM {lines} WHERE valid LIMIT 50000) ORDER BY k",
            lines=lines,
        )
    )
    if not found:
        raise SourceError(
            "source.not_json_lines",
            what=f"'{files[0].name}' holds no line that is a JSON object.",
            why="Each line must be one event.",
            do="Write one JSON object a line (JSON Lines), or convert the file to Parquet.",
        )
    return [str(row[0]) for row in found]
