"""What comes to the driver is bounded, and what is handed to it in batches is not held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import headwater.engine.spark as adapter
from headwater.core.errors import DataError
from headwater.core.table import Column, Kind, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import name, sql

LIMIT = 1_000


def rows(n: int) -> Any:
    return sql("SELECT id, CAST(id AS STRING) AS t FROM range(0, {n}) AS r(id)", n=n)


@pytest.mark.parametrize("ask", ["arrow", "rows"])
def test_a_result_of_too_many_rows_is_refused(spark: Any, monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    monkeypatch.setattr(adapter, "MAX_ROWS", LIMIT)
    assert len(getattr(spark, ask)(rows(LIMIT))) == LIMIT
    with pytest.raises(DataError, match="1,000 rows") as refused:
        getattr(spark, ask)(rows(50 * LIMIT))
    assert refused.value.finding.code == "spark.too_many_rows"
    assert "Stream it (batches)" in refused.value.finding.do


def test_more_bytes_than_the_drivers_memory_are_refused(spark: Any) -> None:
    wide = sql(
        "SELECT repeat(md5(CAST(id AS STRING)), 500) AS t FROM range(0, 64000, 1, 64) AS r(id)"
    )  # 1 GB
    with pytest.raises(DataError, match="more bytes than half of 1GB") as refused:
        spark.arrow(wide)
    assert refused.value.finding.code == "spark.too_many_rows"


def test_batches_give_any_number_of_rows_in_order_and_leave_no_file(
    spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "MAX_ROWS", LIMIT)
    query = sql("SELECT id FROM range(0, {n}, 1, 7) AS r(id) ORDER BY id DESC", n=40 * LIMIT)
    found: list[int] = []
    for batch in spark.batches(query, rows=LIMIT):
        assert batch.num_rows <= LIMIT
        found += batch.column(0).to_pylist()
    assert found == list(range(40 * LIMIT - 1, -1, -1))
    assert list(Path(spark.scratch).glob("stream *")) == []


def test_rows_read_from_a_table_of_sparks_own_are_registered_as_they_are(
    duck: Engine, spark: Any, tmp_path: Path
) -> None:
    columns = (Column(name="id", kind=Kind.INTEGER), Column(name="t", kind=Kind.TEXT))
    for engine in (duck, spark):
        made: Table = engine.write(rows(5), tmp_path / engine.name, table="five", columns=columns)
        more = made.to_arrow().append_column("x", pa.array([0.5] * 5))
        engine.register("with x", more)
        assert engine.rows(sql("SELECT id, x FROM {t} WHERE id < 2 ORDER BY id", t=name("with x"))) == [
            (0, 0.5),
            (1, 0.5),
        ]
        assert engine.one(sql("SELECT count(*) FROM {s} s", s=table_scan(made))) == (5,)
