"""Repeats are looked for in pieces of the log that share no time; the truth is a plain count over all rows."""

from __future__ import annotations

import hashlib
import random
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from headwater.contracts.check import check
from headwater.core.contract import RuleSpec

FIRST = datetime(2024, 1, 1)
N_DAYS = 14


def rows_of_day(rng, day, reach):
    """Twenty rows between midnight and midnight, so that some repeat; ``reach`` hours of them may be of the next days."""
    return [
        (rng.choice("abc"), FIRST + timedelta(days=day, hours=rng.randint(0, 24 + reach) // 8 * 8))
        for _ in range(20)
    ]


@pytest.mark.parametrize("reach", [-8, 0, 24, 100], ids=lambda h: f"reach{h}h")
@pytest.mark.parametrize("timeless", [False, True])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_repeats_within_and_over_files_are_those_of_a_plain_count(
    bench, monkeypatch, reach, timeless, suffix
):
    monkeypatch.setattr(type(bench.engine), "piece_bytes", 1)
    rng = random.Random(reach + timeless)
    root = bench.folder()
    seen, repeated = set(), 0
    for day in range(N_DAYS):
        rows = rows_of_day(rng, day, reach) + ([("t", None)] if timeless and day % 5 == 0 else [])
        for row in rows:
            repeated += row in seen
            seen.add(row)
        table = pa.table(
            {
                "user": pa.array([u for u, _ in rows]),
                "at": pa.array([t for _, t in rows], pa.timestamp("us")),
            }
        )
        write = csv.write_csv if suffix == "csv" else pq.write_table
        write(table, root / f"day-{day:02}.{suffix}")
    prints = {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in root.glob(f"*.{suffix}")}
    events = check(
        bench.engine,
        bench.contract(f"*.{suffix}", rules=(RuleSpec(rule="unique"),)),
        root=root,
        folder=bench.folder(),
        source_fingerprint="none",
        prints=prints,
    )
    assert {r.code: r.n_rows for r in events.rules}["unique(row)"] == repeated > 0
