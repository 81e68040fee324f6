"""The audit of one load on DuckDB and on Spark: the same findings, holes, lists and metrics."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.contracts.alarms import ALARMS
from headwater.contracts.audit import audit
from headwater.contracts.check import check
from headwater.core.contract import Aggregate, App, Contract, Events, Measure, Source
from headwater.core.ledger import Ledger
from headwater.core.table import Kind
from headwater.engine.duckdb import DuckDB
from headwater.ledgers.build import build_ledger

DOUBLES = 1e-9  # logarithms and percentiles of two libraries; counts, days and ids are compared exactly
DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
FIRST = 20_458


def load() -> pa.Table:
    """Six weeks with a hole, a bot, late rows and a shared device."""
    rng = np.random.default_rng(5)
    n = 12_000
    at = FIRST * DAY_US + np.sort(rng.integers(0, 42 * DAY_US, n))
    at = at[(at < (FIRST + 30) * DAY_US) | (at >= (FIRST + 31) * DAY_US)]
    bot = (FIRST + 20) * DAY_US + np.arange(300) * 20_000_000
    every = np.concatenate([at, bot])
    user = [f"u{i}" for i in rng.integers(0, 300, len(at))] + ["bot"] * len(bot)
    known = every + rng.choice([0, 3, -2, 200], len(every)) * HOUR_US
    return pa.table({
        "user": user, "at": pa.array(every, pa.timestamp("us", "UTC")), "known": pa.array(known, pa.timestamp("us", "UTC")),
        "platform": [None if i % 50 == 0 else p for i, p in enumerate(rng.choice(["ios", "android"], len(every)).tolist())],
        "device_id": [f"d{i % 400}" for i in range(len(every))], "price": rng.lognormal(2, 1, len(every)).round(2),
    })  # fmt: skip


@pytest.fixture(scope="module")
def made(duck: DuckDB, tmp_path_factory: pytest.TempPathFactory) -> tuple[Events, Ledger]:
    root = tmp_path_factory.mktemp("audited")
    pq.write_table(load(), root / "log.parquet")
    contract = Contract(
        app=App(name="parity", time_zone="Europe/London", currency="GBP"),
        source=Source(
            path="log.parquet", user="user", at="at", known_at="known", event_is="view", keep=("platform", "device_id"),
            types={"price": Kind.MONEY},
        ),
        measures=(Measure(name="revenue", aggregate=Aggregate.SUM, expression="price", unit="GBP"),),
        rules=(),
        max_share=1.0,
    )  # fmt: skip
    events = check(duck, contract, root=root, folder=root / "checked", source_fingerprint="")
    return events, build_ledger(duck, events, folder=root / "ledger")


def test_audit_says_the_same_on_both_engines(
    on_both: Any, made: tuple[Events, Ledger], tmp_path: Path
) -> None:
    events, ledger = made
    now = (FIRST + 42) * DAY_US + HOUR_US
    here, there = on_both(lambda e: audit(e, events, ledger, folder=tmp_path / e.name, now_us=now))
    assert here.alarms == there.alarms
    assert {a.alarm for a in here.alarms} == set(ALARMS.names())
    assert here.holes == there.holes
    assert [f.code for f in here.findings] == [f.code for f in there.findings]
    assert {f.code for f in here.findings} >= {"alarm.hole", "alarm.bots", "alarm.late", "alarm.clock_skew"}
    for one, other in zip(here.listings, there.listings, strict=True):
        assert one.name == other.name
        assert_near(one.rows, other.rows)
    assert here.n_scans == there.n_scans
    ours, theirs = (a.metrics.to_arrow().to_pylist() for a in (here, there))
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert_near(tuple(one.values()), tuple(other.values()))


def assert_near(one: Any, other: Any) -> None:
    """Equal, and doubles nearly so."""
    if isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_near(a, b)
    elif isinstance(one, float):
        assert math.isclose(one, other, rel_tol=DOUBLES, abs_tol=DOUBLES)
    else:
        assert one == other
