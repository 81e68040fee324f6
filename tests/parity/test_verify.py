"""``headwater verify``: equal where the engines agree, and the rows and columns named where they do not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.app.cli.verify import _line
from headwater.app.config import settings_of
from headwater.app.same_tables import Example, compare_tables, table_digest
from headwater.app.verify import StepComparison, verify_engines
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
    steps = verify_engines(
        (duck, spark),
        settings,
        root=tmp_path,
        scratch=tmp_path / "scratch",
        today=date(2026, 1, 1),
        report=False,
    )
    found = list(steps)
    assert [(f.step, f.examples) for f in found if not f.equal] == []
    names = [f.step for f in found]
    assert names[:6] == [
        "check: events",
        "check: quarantine",
        "check: account",
        "ledger: days",
        "ledger: users",
        "ledger: user_hours",
    ]
    assert [n for n in names if n.startswith("snapshot: revenue_7d at ")]
    assert found[0].n_rows == (900, 900)
    assert found[1].n_rows == (2, 2)


def table(rows: list[tuple[str, int | None, float | None]], file: Path) -> Table:
    users, counts, doubles = zip(*rows, strict=True)
    arrays = [pa.array(users), pa.array(counts, pa.int64()), pa.array(doubles, pa.float64())]
    pq.write_table(pa.table(arrays, names=["user_id", "n", "x"]), file)
    return Table(name="t", files=(str(file),), columns=COLUMNS, n_rows=len(rows), fingerprint="")


ROWS = [("a", 1, 0.5), ("b", 2, None), ("c", 3, 2.0)]
ROWS_THERE = "which rows there are"
FAULTS = [
    ([("a", 1, 0.5), ("b", 2, None), ("c", 4, 2.0)], 1, {"n": ("user_id c", ("'3'", "'4'"))}),
    ([("a", 1, 0.6), ("b", 2, 0.0), ("c", 3, 2.0)], 2, {"x": ("user_id a", ("'0.5'", "'0.6'"))}),
    (
        [("a", 1, 0.5), ("b", None, None), ("c", 3, 2.0), ("d", 1, 1.0)],
        2,
        {ROWS_THERE: ("user_id d", ("none", "there")), "n": ("user_id b", ("'2'", "nothing"))},
    ),
]


@pytest.mark.parametrize(("other", "n", "named"), FAULTS)
def test_a_planted_difference_is_counted_and_named_with_a_value_of_both(
    duck: Engine,
    spark: Any,
    tmp_path: Path,
    other: Any,
    n: int,
    named: dict[str, tuple[str, tuple[str, str]]],
) -> None:
    a, b = table(ROWS, tmp_path / "a.parquet"), table(other, tmp_path / "b.parquet")
    assert table_digest(duck, a) == table_digest(spark, a)
    assert table_digest(duck, a) != table_digest(spark, b)
    for engine in (duck, spark):
        found = compare_tables(engine, a, b, keys=("user_id",))
        assert (found.n_rows, found.columns) == (n, tuple(named))
        assert found.examples == tuple(Example(column=c, where=w, values=v) for c, (w, v) in named.items())


def test_the_last_bits_of_a_double_and_the_order_of_rows_are_no_difference(
    duck: Engine, tmp_path: Path
) -> None:
    moved = [("c", 3, 2.0 * (1 + 1e-13)), ("a", 1, 0.5), ("b", 2, None)]
    a, b = table(ROWS, tmp_path / "a.parquet"), table(moved, tmp_path / "b.parquet")
    for keys in (("user_id",), ()):
        found = compare_tables(duck, a, b, keys=keys)
        assert (found.n_rows, found.columns, found.examples) == (0, (), ())


def quarantine(raws: list[str], file: Path) -> Table:
    columns = tuple(Column(name=c, kind=Kind.TEXT) for c in ("user_id", "line_hash", "raw"))
    rows = {"user_id": [str(i) for i in range(len(raws))], "line_hash": [f"#{r}" for r in raws], "raw": raws}
    pq.write_table(pa.table(rows), file)
    return Table(name="t", files=(str(file),), columns=columns, n_rows=len(raws), fingerprint="")


def test_a_raw_row_in_another_spelling_is_the_same_and_another_value_is_not(
    duck: Engine, tmp_path: Path
) -> None:
    one = quarantine(['{"x":12345678.0,"y":"a"}', '{"x":1,"y":"a"}', "not, json"], tmp_path / "a.parquet")
    same = quarantine(['{"x":1.2345678E7,"y":"a"}', '{"x":1,"y":"a"}', "not, json"], tmp_path / "b.parquet")
    other = quarantine(['{"x":1.2345679E7,"y":"a"}', '{"x":1,"y":"b"}', "not, jsonl"], tmp_path / "c.parquet")
    assert compare_tables(duck, one, same, keys=("user_id",)).n_rows == 0
    found = compare_tables(duck, one, other, keys=("user_id",))
    assert (found.n_rows, found.columns) == (3, ("raw",))
    assert found.examples[0].where == "user_id 0"


def test_the_command_names_step_column_and_a_value_of_both() -> None:
    example = Example(column="country", where="user_id u1", values=("'GB'", "'gb'"))
    step = StepComparison(
        step="check: events", n_rows=(5, 5), n_differing=1, columns=("country",), examples=(example,)
    )
    told = _line(step)
    assert told.startswith("DIFFERS  check: events: 1 of 5 and 5 rows, in country")
    assert "country: 'GB' and 'gb' (user_id u1)" in told
