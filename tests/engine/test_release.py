"""What an engine was lent it gives back: rows registered under a name are gone after ``release``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from headwater.engine.sql import name, sql

if TYPE_CHECKING:
    from tests.conftest import Bench


def test_registered_and_held_rows_are_given_back(bench: Bench) -> None:
    engine, query = bench.engine, sql("SELECT count(*) FROM {v}", v=name("lent rows"))
    engine.register("lent rows", pa.table({"user_id": ["a", "b"]}))
    assert engine.one(query) == (2,)
    engine.release("lent rows")
    with pytest.raises(duckdb.CatalogException):
        engine.one(query)
    engine.hold("lent rows", sql("SELECT 1 AS user_id"))
    assert engine.one(query) == (1,)
    engine.release("lent rows")
    engine.release("lent rows")
    with pytest.raises(duckdb.CatalogException):
        engine.one(query)
