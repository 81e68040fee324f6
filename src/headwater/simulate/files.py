"""Rows to Parquet files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, shim, sql

__all__ = ["write_rows"]

_FORMAT = sql("(FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 122880)")


def write_rows(engine: Engine, rows: Sql, path: Path) -> int:
    """Write rows to one Parquet file, which appears whole or not at all; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    engine.run(sql("COPY ({r}) TO {p} {how}", r=rows, p=str(draft), how=_FORMAT))
    n_rows = int(engine.one(sql("SELECT count(*) FROM {f}", f=shim("scan", str(draft))))[0])
    draft.replace(path)
    return n_rows
