"""A table of a DuckDB file, attached read-only and landed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa

from headwater.core.errors import SourceError, near_miss
from headwater.engine.dialect import DUCKDB
from headwater.engine.landing import Asked, Landed, land_once, write_pieces
from headwater.engine.sql import Sql, commas, name, render, sql

__all__ = ["land_duckdb", "tables_of"]

_PLAIN = (
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "FLOAT", "DOUBLE", "DECIMAL", "DATE", "TIMESTAMP", "VARCHAR",
)  # fmt: skip


def land_duckdb(asked: Asked) -> Landed:
    """Land a table or view of a DuckDB file; again only where the file changed (size or time of change).

    Raises ``SourceError`` (``source.unreadable``, ``source.no_table``).
    """
    file, table = asked.local(), asked.need_table()
    stat = file.stat()
    return land_once(
        asked,
        kind="duckdb",
        version=f"duckdb:{table}:{stat.st_size}:{stat.st_mtime_ns}",
        pieces=lambda scratch: _pieces(file, table, scratch, threads=asked.threads),
    )


def _pieces(file: Path, table: str, scratch: Path, *, threads: int) -> Iterable[Path]:
    try:
        with duckdb.connect(str(file), read_only=True, config={"threads": threads}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            query = render(_select(connection, file, table), DUCKDB)
            reader: pa.RecordBatchReader = connection.sql(query).to_arrow_reader(100_000)
            yield from write_pieces(reader, reader.schema, scratch)
    except duckdb.Error as error:
        raise SourceError(
            "source.unreadable",
            what=f"'{file.name}' cannot be read as a DuckDB file: {str(error).splitlines()[0][:200]}",
            why="Nothing was loaded.",
            do="Check that it is a DuckDB file and that no other process has it open for writing.",
        ) from error


def _select(connection: duckdb.DuckDBPyConnection, file: Path, table: str) -> Sql:
    """Every column; what Arrow and Parquet have no plain type for becomes text."""
    schema, _, bare = table.rpartition(".")
    columns: list[tuple[str, str]] = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE NOT internal AND database_name = current_database()"
        " AND schema_name = ? AND table_name = ? ORDER BY column_index",
        [schema or "main", bare],
    ).fetchall()
    if not columns:
        raise _no_table(connection, file, table)
    cells = [
        name(c)
        if t.startswith(_PLAIN) and not t.endswith("]")
        else sql("CAST({c} AS VARCHAR) AS {c}", c=name(c))
        for c, t in columns
    ]
    return sql("SELECT {cells} FROM {s}.{t}", cells=commas(cells), s=name(schema or "main"), t=name(bare))


def tables_of(file: Path) -> tuple[str, ...]:
    """The tables and views of a DuckDB file; none where it cannot be opened."""
    try:
        with duckdb.connect(str(file), read_only=True) as connection:
            return _tables(connection)
    except duckdb.Error:
        return ()


def _tables(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    known = connection.execute(
        "SELECT CASE WHEN schema_name = 'main' THEN table_name ELSE schema_name || '.' || table_name END FROM"
        " (SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal UNION ALL SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal)"
    ).fetchall()
    return tuple(str(row[0]) for row in known)


def _no_table(connection: duckdb.DuckDBPyConnection, file: Path, table: str) -> SourceError:
    return SourceError(
        "source.no_table",
        what=f"'{file.name}' has no table '{table}'.",
        why="There is nothing to read.",
        do=near_miss(table, _tables(connection)),
    )
