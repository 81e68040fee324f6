"""A PostgreSQL table, read by several connections that see one snapshot, streamed to Parquet over Arrow (ADBC).

The table is cut into ranges of physical blocks (``ctid``). One connection exports its snapshot, the readers
import it, so the pieces agree whatever is written meanwhile. A piece whose rows did not change is the same
file as before.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from headwater.core.errors import ConfigError, SourceError
from headwater.engine.addresses import shown
from headwater.engine.dialect import DUCKDB
from headwater.engine.landing import Asked, Landed, land_once, missing_extra, write_pieces
from headwater.engine.sql import Sql, commas, name, render, sql

__all__ = ["land_postgres"]

_PIECE_BYTES = 64 << 20
_MAX_READERS = 8
_NATIVE = frozenset({"int2", "int4", "int8", "float4", "float8", "bool", "text", "varchar"})
_TIMES = frozenset({"date", "timestamp", "timestamptz"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A relation of the server: its quoted name, its columns (name, type, precision, scale), its blocks; None: it has no ctid."""

    target: Sql
    columns: tuple[tuple[str, str, int, int], ...]
    n_blocks: int | None
    block_bytes: int


def land_postgres(asked: Asked) -> Landed:
    """The rows of a table as one snapshot sees them. PostgreSQL has no name for a table's state: it is read each time.

    The password comes from ``PGPASSWORD``, ``~/.pgpass`` or a ``${VARIABLE}`` in the address. Raises
    ``ConfigError`` (``source.no_variable``), ``SourceError``
    (``source.unreachable``, ``source.no_table``, ``extra.missing``).
    """
    table = asked.need_table()
    address = _address(asked)
    try:
        driver = import_module("adbc_driver_postgresql.dbapi")
    except ModuleNotFoundError:
        raise missing_extra("postgres", "adbc-driver-postgresql") from None
    server = _Server(driver=driver, address=address, shown=shown(asked.path))
    return land_once(
        asked,
        kind="postgresql",
        version=None,
        pieces=lambda scratch: _pieces(server, table, scratch, readers=min(asked.threads, _MAX_READERS)),
    )


def _address(asked: Asked) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda m: quote(_variable(m[1], asked), safe=""), asked.path)


def _variable(variable: str, asked: Asked) -> str:
    if variable not in asked.variables:
        raise ConfigError(
            "source.no_variable",
            what=f"The address of a source names ${{{variable}}}, which the environment does not have.",
            why="The server would refuse the connection.",
            do=f"Set it: export {variable}=...",
        )
    return asked.variables[variable]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    driver: Any
    address: str
    shown: str

    @contextmanager
    def reading(self, snapshot: str | None = None) -> Generator[Any]:
        """A cursor in a read-only transaction that sees one snapshot."""
        try:
            with self.driver.connect(self.address) as connection, connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                if snapshot is not None:
                    cursor.execute(render(sql("SET TRANSACTION SNAPSHOT {s}", s=snapshot), DUCKDB))
                yield cursor
        except self.driver.Error as error:
            raise SourceError(
                "source.unreachable",
                what=f"'{self.shown}' did not answer: {_first_line(error)}",
                why="Nothing was loaded.",
                do="Check host, port, user, password (PGPASSWORD, ~/.pgpass) and that the user may read the table.",
            ) from None


def _pieces(server: _Server, table: str, scratch: Path, *, readers: int) -> Iterator[Path]:
    with server.reading() as leader:
        parts = _tables(leader, table, shown=server.shown)
        (snapshot,) = _rows(leader, sql("SELECT pg_export_snapshot()"))[0]
        queries = [query for part in parts for query in _queries(part)]

        def read(numbered: tuple[int, Sql]) -> list[Path]:
            number, query = numbered
            folder = scratch / f"{number:06d}"
            folder.mkdir()
            with server.reading(snapshot) as cursor:
                cursor.execute(render(query, DUCKDB))
                reader: pa.RecordBatchReader = cursor.fetch_record_batch()
                return list(write_pieces(_typed(reader, parts[0]), _schema(reader.schema, parts[0]), folder))

        with ThreadPoolExecutor(max_workers=readers) as pool:
            for files in pool.map(read, enumerate(queries)):
                yield from files


def _tables(cursor: Any, table: str, *, shown: str) -> list[_Table]:
    """The table, or the leaves of a partitioned one; a view has no blocks."""
    schema, _, bare = table.rpartition(".")
    found = _rows(
        cursor,
        sql(
            "SELECT c.oid::bigint, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = {t}"
            " AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND CASE WHEN {s} = '' THEN pg_table_is_visible(c.oid) ELSE n.nspname = {s} END",
            t=bare,
            s=schema,
        ),
    )
    if not found:
        raise SourceError(
            "source.no_table",
            what=f"'{shown}' has no table '{table}' that this user can see.",
            why="There is nothing to read.",
            do='Write table = "schema.name", as in "public.events".',
        )
    oid, kind = found[0]
    columns = tuple(_columns(cursor, oid))
    leaves = sql(
        "SELECT c.oid::bigint, n.nspname::text, c.relname::text, CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) / current_setting('block_size')::int END::bigint, current_setting('block_size')::bigint"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {which} ORDER BY 2, 3",
        which=sql("c.oid IN (SELECT relid FROM pg_partition_tree({o}) WHERE isleaf)", o=oid)
        if kind == "p"
        else sql("c.oid = {o}", o=oid),
    )
    found_leaves = _rows(cursor, leaves) or [(oid, schema or "public", bare, None, 1)]
    return [
        _Table(
            target=sql("{s}.{t}", s=name(s), t=name(t)),
            columns=columns,
            n_blocks=blocks,
            block_bytes=block_bytes,
        )
        for _, s, t, blocks, block_bytes in found_leaves
    ]


def _columns(cursor: Any, oid: int) -> Iterator[tuple[str, str, int, int]]:
    read = sql(
        "SELECT a.attname::text, t.typname::text, a.atttypmod::bigint FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = {o} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        o=oid,
    )
    for column, kind, modifier in _rows(cursor, read):
        sized = kind == "numeric" and modifier >= 4
        precision, scale = ((modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF) if sized else (0, 0)
        yield column, kind, precision, scale


def _queries(table: _Table) -> list[Sql]:
    """One query for each range of blocks; the last has no end, for the snapshot says where the table ends."""
    whole = sql(
        "SELECT {c} FROM {t}", c=commas([_cell(c, k) for c, k, _, _ in table.columns]), t=table.target
    )
    step = max(1, _PIECE_BYTES // table.block_bytes)
    if table.n_blocks is None or table.n_blocks <= step:
        return [whole]
    starts = range(0, table.n_blocks, step)
    ranges = [sql(" WHERE ctid >= {a}::tid", a=f"({start},0)") for start in starts]
    ends = [sql(" AND ctid < {b}::tid", b=f"({start},0)") for start in starts[1:]] + [sql("")]
    return [sql("{w}{a}{b}", w=whole, a=a, b=b) for a, b in zip(ranges, ends, strict=True)]


def _cell(column: str, kind: str) -> Sql:
    """A column as it travels: plain types as they are, endless times as NULL, everything else as text."""
    if kind in _NATIVE:
        return name(column)
    if kind in _TIMES:
        return sql("CASE WHEN isfinite({c}) THEN {c} END AS {c}", c=name(column))
    return sql("{c}::text AS {c}", c=name(column))


def _schema(schema: pa.Schema, table: _Table) -> pa.Schema:
    """Numerics of a declared size are decimals again."""
    sizes = {c: (p, s) for c, _, p, s in table.columns if 0 < p <= 38 and s <= p}
    return pa.schema(
        [pa.field(f.name, pa.decimal128(*sizes[f.name]) if f.name in sizes else f.type) for f in schema]
    )


def _typed(reader: pa.RecordBatchReader, table: _Table) -> Iterator[pa.RecordBatch]:
    schema = _schema(reader.schema, table)
    for batch in reader:
        yield batch.cast(schema, safe=False) if schema != reader.schema else batch


def _rows(cursor: Any, query: Sql) -> Sequence[Any]:
    cursor.execute(render(query, DUCKDB))
    return cursor.fetchall()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
