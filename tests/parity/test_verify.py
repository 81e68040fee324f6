"""``headwater verify``: equal where the engines agree, and the rows and columns named where they do not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.app.config import contract_of, settings_of
from headwater.app.verify import compare_tables, table_digest, verify_engines
from headwater.core.table import Column, Kind, Table
from headwater.engine.engine import Engine

SETTINGS = {
    "app": {"name": "shop", "time_zone": "Asia/Shanghai", "currency": "CNY", "left_edge": "0d"},
    "sources": [
        {"path": "log.csv", "user": "user", "at": "at", "event_is": "buy", "types": {"amount": "money"}}
    ],
    "measures": {"revenue": {"sum": "amount", "unit": "CNY"}, "buys": {"count": True}},
    "predict": [{"target": "revenue", "horizons": ["7d"], "cutoffs": {"every": "1w", "origins": 1}}],
}
COLUMNS = (
    Column(name="user_id", kind=Kind.TEXT),
    Column(name="n", kind=Kind.INTEGER),
    Column(name="x", kind=Kind.NUMBER),
)


def test_a_project_is_the_same_on_both(duck: Engine, spark: Any, tmp_path: Path) -> None:
    lines = [
        f"u{i % 37},2024-{1 + i % 2:02d}-{1 + i % 28:02d} {i % 24:02d}:30:00,{i % 91}.{i % 100:02d}"
        for i in range(900)
    ]
    (tmp_path / "log.csv").write_text(
        "\n".join(["user,at,amount", *lines, "u1,soon,1", "u2,2024-01-01"]) + "\n"
    )
    settings = settings_of(json.loads(json.dumps(SETTINGS)))
    contract = contract_of(settings, today=date(2026, 1, 1))
    found = list(
        verify_engines((duck, spark), settings, contract, root=tmp_path, scratch=tmp_path / "scratch")
    )
    assert [f.step for f in found if not f.equal] == []
    assert [f.step for f in found[:5]] == [
        "check: events",
        "check: quarantine",
        "ledger: days",
        "ledger: users",
        "ledger: user_hours",
    ]
    assert len(found) >= 7
    assert found[0].n_rows == (900, 900)
    assert found[1].n_rows == (2, 2)


def table(rows: list[tuple[str, int | None, float | None]], file: Path) -> Table:
    users, counts, doubles = zip(*rows, strict=True)
    arrays = [pa.array(users), pa.array(counts, pa.int64()), pa.array(doubles, pa.float64())]
    pq.write_table(pa.table(arrays, names=["user_id", "n", "x"]), file)
    return Table(name="t", files=(str(file),), columns=COLUMNS, n_rows=len(rows), fingerprint="")


ROWS = [("a", 1, 0.5), ("b", 2, None), ("c", 3, 2.0)]
FAULTS = [
    ([("a", 1, 0.5), ("b", 2, None), ("c", 4, 2.0)], 1, ("n",)),
    ([("a", 1, 0.6), ("b", 2, 0.0), ("c", 3, 2.0)], 2, ("x",)),
    ([("a", 1, 0.5), ("b", None, None), ("c", 3, 2.0), ("d", 1, 1.0)], 2, ("which rows there are", "n")),
]


@pytest.mark.parametrize(("other", "n", "columns"), FAULTS)
def test_a_planted_difference_is_counted_and_its_column_named(
    duck: Engine, spark: Any, tmp_path: Path, other: Any, n: int, columns: tuple[str, ...]
) -> None:
    a, b = table(ROWS, tmp_path / "a.parquet"), table(other, tmp_path / "b.parquet")
    assert table_digest(duck, a) == table_digest(spark, a)
    assert table_digest(duck, a) != table_digest(spark, b)
    for engine in (duck, spark):
        assert compare_tables(engine, a, b, keys=("user_id",)) == (n, columns)


def test_the_last_bits_of_a_double_and_the_order_of_rows_are_no_difference(
    duck: Engine, tmp_path: Path
) -> None:
    moved = [("c", 3, 2.0 * (1 + 1e-13)), ("a", 1, 0.5), ("b", 2, None)]
    a, b = table(ROWS, tmp_path / "a.parquet"), table(moved, tmp_path / "b.parquet")
    assert compare_tables(duck, a, b, keys=("user_id",)) == (0, ())
    assert compare_tables(duck, a, b) == (0, ())
