"""A line with a broken quote costs that line and no other, in every pass over the file; counted by Python's own lines."""

from __future__ import annotations

from pathlib import Path

from headwater.core.contract import RuleSpec
from headwater.engine.duckdb import DuckDB
from headwater.engine.sources import open_relation
from headwater.engine.sql import sql

N = 400


def text() -> str:
    lines = [f"u{i},2024-01-{1 + i % 28:02d} 10:00:00,{i}" for i in range(N)]
    lines[5:5] = ['u2,2024-01-02,"1"2', "u3,2024-01-02"]
    return "\n".join(["user,at,n", *lines, lines[0]]) + "\n"


def test_every_pass_reads_the_rows_behind_it(engine: DuckDB, tmp_path: Path) -> None:
    for file in ("a.csv", "b.csv"):
        (tmp_path / file).write_text(text())
    opened = open_relation(engine, tmp_path)
    for rows in (opened.rows, opened.rows_keeping_aside, opened.rows):
        assert engine.one(sql("SELECT count(*), max(__row) FROM {r} r", r=rows)) == (2 * (N + 1), 2 * (N + 1))
    assert opened.broken is not None
    assert len(engine.rows(opened.broken)) == 4


def test_repeats_behind_it_are_found(bench) -> None:
    events = bench.check(text(), rules=[RuleSpec(rule="unique")])
    assert {r.code: r.n_rows for r in events.rules}["unique(row)"] == 1
    assert (events.n_rows_in, events.events.n_rows) == (N + 3, N)
