"""A line with a broken quote costs that line and no other, in every pass over the file; counted by Python's own lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.core.contract import RuleSpec
from headwater.core.errors import SourceError
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


@pytest.mark.parametrize("written", ["a", "\u00e9", "\u4ed8", "\U0001f600", "a\u4ed8"])
@pytest.mark.parametrize("shift", range(4))
def test_a_quote_that_takes_in_the_rest_of_the_file_stops_the_load(bench, written: str, shift: int) -> None:
    """Whatever the bytes of a character: what the engine shows of such a value ends within one."""
    line = f"u1,2024-01-02,{written * 7}\n"
    text = "user,at,n\n" + line * 50 + f'u2,2024-01-03,"{"z" * shift}oops\n' + line * 2_000
    with pytest.raises(SourceError) as refused:
        bench.check(text)
    assert refused.value.finding.code == "source.unclosed_quote"
    assert "line 52" in refused.value.finding.what
