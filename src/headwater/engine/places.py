"""Where a source can be: files, a DuckDB file, PostgreSQL, Delta, Iceberg, an object store. Each ends as files on this disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from headwater.core.errors import SourceError
from headwater.engine.addresses import is_postgres, require_no_secret, shown
from headwater.engine.engine import Engine
from headwater.engine.landing import Asked, Landed, land_once
from headwater.engine.place_delta import is_delta, land_delta
from headwater.engine.place_duckdb import land_duckdb
from headwater.engine.place_iceberg import is_iceberg, land_iceberg
from headwater.engine.place_objects import is_object_store, land_objects
from headwater.engine.place_postgres import land_postgres
from headwater.engine.source_files import find_files
from headwater.engine.sql import name, sql

__all__ = ["land_source", "require_no_secret", "shown"]

_DUCKDB = (".duckdb", ".ddb")


def land_source(
    path: str,
    *,
    root: Path,
    folder: Path,
    table: str | None = None,
    threads: int = 2,
    skip: Sequence[Path] = (),
    variables: Mapping[str, str] | None = None,
    engine: Engine | None = None,
) -> Landed:
    """The files of a source, wherever it is: to be sifted and opened like any others.

    Parameters
    ----------
    path
        As in ``headwater.toml``: a path or glob relative to ``root``, or an address.
    folder
        Where what is not a file on this disk is landed; one folder for each source, kept between runs.
    table
        The table of a database or catalog.
    skip
        As in ``find_files``.
    variables
        The environment, for ``${VAR}`` in an address.
    engine
        The engine of the run; a Spark one knows the tables of its catalog.

    Raises
    ------
    SourceError
        The place cannot be read (``source.*``) or its package is missing (``extra.missing``).
    ConfigError
        A password, token or key stands in the address (``source.password_in_file``).
    """
    require_no_secret(path)
    asked = Asked(
        path=path, table=table, folder=folder, root=root, threads=threads, variables=dict(variables or {})
    )
    if is_postgres(path):
        return land_postgres(asked)
    if path.startswith(("iceberg://", "iceberg+")):
        return land_iceberg(asked)
    if path.startswith("delta+"):
        return land_delta(replace(asked, path=path.removeprefix("delta+")))
    if path.startswith("spark://"):
        return _catalog_table(asked, engine)
    return land_objects(asked) if is_object_store(path) else _here(asked, skip)


def _catalog_table(asked: Asked, engine: Engine | None) -> Landed:
    """A table of the session's catalog, written by its executors; its state has no name, so it is read each time."""
    if engine is None or engine.name != "spark":
        raise _only_on_spark(asked.path)
    parts = asked.path.removeprefix("spark://").split(".")
    table = name(parts[0])
    for part in parts[1:]:
        table = sql("{a}.{b}", a=table, b=name(part))
    return land_once(
        asked,
        kind="spark",
        version=None,
        pieces=lambda scratch: engine.write_files(sql("SELECT * FROM {t}", t=table), scratch, table="piece"),
    )


def _only_on_spark(path: str) -> SourceError:
    return SourceError(
        "source.only_on_spark",
        what=f"'{path}' is a table of a Spark catalog, and the engine is not Spark.",
        why="Only a Spark session knows where its tables are.",
        do='Set engine = "spark" and a master under [run], or point the source at the table\'s files.',
    )


def _here(asked: Asked, skip: Sequence[Path]) -> Landed:
    local = asked.local()
    if local.suffix in _DUCKDB and local.is_file():
        return land_duckdb(asked)
    if local.is_dir() and is_delta(local):
        return land_delta(asked)
    if local.is_dir() and is_iceberg(local):
        return land_iceberg(asked)
    return Landed(files=find_files(local, skip=skip), version=None, kind="files")
