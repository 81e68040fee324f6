"""Days that come one by one, late, twice or not at all give what a rebuild over all files gives.

The truth is the same gate and the same ledger without memory: nothing is carried over there.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv

import headwater.contracts.check as gate
from headwater.contracts.check import check
from headwater.contracts.parts import write_part
from headwater.core.contract import Aggregate, Contract, Events, Measure, RuleSpec
from headwater.core.ledger import Ledger
from headwater.core.table import Kind
from headwater.ledgers.build import build_ledger

FIRST = datetime(2024, 3, 25, tzinfo=UTC)  # the clocks of Europe skip an hour on the sixth day after
MEASURES = (
    Measure(name="revenue", aggregate=Aggregate.SUM, expression="price", where="price > 0"),
    Measure(name="margin", aggregate=Aggregate.SUM, expression="price"),
    Measure(name="orders", aggregate=Aggregate.COUNT_DISTINCT, expression="order"),
    Measure(name="lines", aggregate=Aggregate.COUNT),
)
ROW_RULE = RuleSpec(rule="range", columns=("price",), settings={"at_least": -2})
WHOLE_ROWS = RuleSpec(rule="unique")
ONE_KEY = RuleSpec(rule="unique", columns=("order", "price"))
NEAR = RuleSpec(rule="near_duplicate", columns=("price",), settings={"within": "2h"})

rows_of_a_file = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cyd", None]),
        st.one_of(st.none(), st.integers(-30, 54)),  # hours from the file's day: late, early, or not known
        st.integers(0, 3),
        st.integers(-3, 4),
        st.sampled_from(["de", "fr", None]),
        st.integers(0, 40),  # hours until it became known
    ),
    max_size=6,
)
steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "remove"]), st.integers(0, 12), rows_of_a_file),
    min_size=2,
    max_size=5,
)


@dataclass
class Log:
    """A folder of files, a gate and a ledger that remember, and the same that do not."""

    bench: object
    contract: Contract
    root: Path
    events: Events | None = None
    ledger: Ledger | None = None
    states: list[tuple[Events, Ledger]] = field(default_factory=list)
    suffix: str = "parquet"

    def put(self, day: int, rows: list[tuple[object, ...]]) -> None:
        at = [None if r[1] is None else FIRST + timedelta(days=day, hours=r[1]) for r in rows]
        table = pa.table(
            {
                "user": pa.array([r[0] for r in rows], pa.string()),
                "at": pa.array(at, pa.timestamp("us", "UTC")),
                "known": pa.array(
                    [None if a is None else a + timedelta(hours=r[5]) for a, r in zip(at, rows, strict=True)],
                    pa.timestamp("us", "UTC"),
                ),
                "order": pa.array([f"o{r[2]}" for r in rows], pa.string()),
                "price": pa.array([r[3] for r in rows], pa.int64()),
                "country": pa.array([r[4] for r in rows], pa.string()),
            }
        )
        write = csv.write_csv if self.suffix == "csv" else pq.write_table
        write(table, self.root / f"day-{day:02}.{self.suffix}")

    def remove(self, day: int) -> None:
        (self.root / f"day-{day:02}.parquet").unlink(missing_ok=True)

    def remembered(self) -> tuple[Events, Ledger]:
        self.events = self._check(self.events)
        self.ledger = build_ledger(
            self.bench.engine, self.events, folder=self.bench.folder(), earlier=self.ledger
        )
        return self.events, self.ledger

    def rebuilt(self) -> tuple[Events, Ledger]:
        events = self._check(None)
        return events, build_ledger(self.bench.engine, events, folder=self.bench.folder())

    def _check(self, earlier: Events | None) -> Events:
        prints = {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in self.root.glob(f"*.{self.suffix}")}
        return check(
            self.bench.engine,
            self.contract,
            root=self.root,
            folder=self.bench.folder(),
            source_fingerprint="none",
            prints=prints,
            earlier=earlier,
        )


def a_log(bench, *, late: bool, rules: tuple[RuleSpec, ...], suffix: str = "parquet") -> Log:
    contract = bench.contract(
        f"*.{suffix}",
        zone="Europe/Berlin",
        rules=rules,
        measures=MEASURES,
        types={"price": Kind.MONEY},
        keep=("country",),
        known_at="known" if late else None,
    )
    return Log(bench=bench, contract=contract, root=bench.folder(), suffix=suffix)


def same(one: tuple[Events, Ledger], other: tuple[Events, Ledger]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        for table in ("events", "quarantine", "days", "users", "user_hours", "keys"):
            if hasattr(mine, table):
                ours, full = getattr(mine, table), getattr(theirs, table)
                assert ours.fingerprint == full.fingerprint, (
                    table,
                    ours.to_arrow().to_pylist(),
                    full.to_arrow().to_pylist(),
                )
    assert one[0].day_fingerprints == other[0].day_fingerprints
    assert one[1].day_fingerprints == other[1].day_fingerprints
    assert (one[1].netted, one[1].findings) == (other[1].netted, other[1].findings)
    assert (one[1].settle_days, one[1].one_row_a_day) == (other[1].settle_days, other[1].one_row_a_day)


@pytest.mark.parametrize("late", [False, True], ids=["on time", "late"])
@pytest.mark.parametrize(
    "rules",
    [(ROW_RULE,), (ROW_RULE, WHOLE_ROWS), (ONE_KEY,), (WHOLE_ROWS, NEAR)],
    ids=["rows", "whole rows", "a key", "near"],
)
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(first=rows_of_a_file, then=steps)
def test_files_in_any_order_give_what_a_rebuild_gives(shared_bench, late, rules, first, then):
    log = a_log(shared_bench, late=late, rules=rules)
    log.put(3, [("ann", 1, 1, 1, "de", 0), *first])
    same(log.remembered(), log.rebuilt())
    for what, day, rows in then:
        if what == "remove" and day != 3:
            log.remove(day)
        else:
            log.put(day, [("ann", 1, 1, 1, "de", 0), *rows] if day == 3 else rows)
        same(log.remembered(), log.rebuilt())
    shutil.rmtree(log.root)


def test_a_repeat_without_a_time_is_found_however_far_apart_the_files_are(shared_bench):
    log = a_log(shared_bench, late=False, rules=(WHOLE_ROWS,))
    twice = ("ann", None, 1, 1, "de", 0)
    for day in (0, 3, 90):
        log.put(day, [("bob", 1, day % 4, 1, "de", 0), twice])
        same(log.remembered(), log.rebuilt())
    found = {r.code: r.n_rows for r in log.events.rules}
    assert found["unique(row)"] == 2


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_another_today_takes_over_what_is_well_before_it(shared_bench, monkeypatch, suffix):
    rule = RuleSpec(rule="not_future", settings={"after": "2024-03-30"})
    log = a_log(shared_bench, late=False, rules=(rule,), suffix=suffix)
    for day in (0, 10):
        log.put(day, [("ann", 1, day % 4, 1, "de", 0)])
        log.remembered()  # apart, so that each file is a part
    assert {r.code: r.n_rows for r in log.events.rules}["not_future(2024-03-30)"] == 1
    later = replace(rule, settings={"after": "2024-04-20"})
    log.contract = replace(log.contract, rules=(later,))
    read = []
    monkeypatch.setattr(gate, "write_part", lambda *a, **k: read.append(k["sources"]) or write_part(*a, **k))
    remembered = log.remembered()
    assert [Path(f).stem for part in read for f, _ in part] == ["day-10"]
    same(remembered, log.rebuilt())
    assert log.events.quarantine.n_rows == 0
