"""Exposures and running totals on DuckDB and on Spark: the same rows, whole numbers bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.contracts.check import check
from headwater.core.contract import Aggregate, App, Contract, Measure, Source
from headwater.core.ledger import Ledger
from headwater.core.span import date_of, day_of
from headwater.core.table import Column, Kind
from headwater.effects.day_totals import DayTotal
from headwater.effects.earlier import earlier_arms
from headwater.effects.exposed import Exposed, read_exposed
from headwater.effects.gather import gather
from headwater.effects.metric import Metric
from headwater.effects.running_totals import RunningTotals, running_totals, units_of
from headwater.effects.units import Units
from headwater.engine.engine import Engine
from headwater.engine.sql import shim, sql
from headwater.ledgers.build import build_ledger

START = day_of("2024-03-01")
TOTALS = (
    DayTotal(name="spend", measure="spend", end=4),
    DayTotal(name="active_days", measure="active_days", end=4),
    DayTotal(name="spend_before", measure="spend", first=-5, end=0),
    DayTotal(name="to_end", measure="spend"),
    DayTotal(name="bought_on", measure="spend", end=6, is_first_day=True),
)


def world(folder: Path) -> None:
    """Two logs, one of which goes on for a day with late facts of earlier days, and exposures to two arms."""
    rng = np.random.default_rng(5)
    lines = [
        (f"u{rng.integers(0, 40)}", int(day), int(day + (rng.random() < 0.2) * 2), int(rng.integers(-1, 4)))
        for day in rng.integers(START, START + 20, 600)
    ]
    for until in (18, 19):
        seen = [r for r in lines if r[2] < START + until]
        text = "\n".join(f"{u},{date_of(d)} 10:00:00,{date_of(k)} 11:00:00,{a}" for u, d, k, a in seen)
        (folder / f"log{until}.csv").write_text(f"user,at,known,amount\n{text}\n")
    met = [
        (f"u{i}", "a" if i % 3 else "b", int(d))
        for i in range(40)
        for d in rng.integers(START + 4, START + 18, 2)
    ]
    met += [("u1", "b", START + 15)]
    n_own = len(met)
    met += [(f"u{i}", "ab"[i % 2], START + i % 9) for i in range(30)]  # of an earlier experiment
    rows = pa.table(
        {
            "user_id": [u for u, _, _ in met],
            "experiment": ["x"] * n_own + ["y"] * (len(met) - n_own),
            "arm": [a for _, a, _ in met],
            "at_us": [d * 86_400_000_000 + 3_600_000_000 for _, _, d in met],
            "app_day": pa.array([d for _, _, d in met], pa.int32()),
            "known_us": [d * 86_400_000_000 + 9_000_000_000 for _, _, d in met],
            "flag": pa.array([i % 2 for i in range(len(met))], pa.int64()),
        }
    )
    pq.write_table(rows, folder / "met.parquet")


def ledger_of(engine: Engine, folder: Path, work: Path, until: int) -> Ledger:
    contract = Contract(
        app=App(name="x", time_zone="Europe/London", currency="GBP", left_edge_days=0),
        source=Source(path=f"log{until}.csv", user="user", at="at", event_is="buy", known_at="known", types={"amount": Kind.INTEGER}),
        measures=(Measure(name="spend", aggregate=Aggregate.SUM, expression="amount"),),
        rules=(),
        max_share=1.0,
    )  # fmt: skip
    events = check(engine, contract, root=folder, folder=work / f"events{until}", source_fingerprint="none")
    return build_ledger(engine, events, folder=work / f"ledger{until}")


def exposed_of(engine: Engine, folder: Path, work: Path) -> tuple[Exposed, dict[str, float]]:
    kinds = {"user_id": Kind.TEXT, "experiment": Kind.TEXT, "arm": Kind.TEXT, "app_day": Kind.DAY}
    names = ["user_id", "experiment", "arm", "at_us", "app_day", "known_us", "flag"]
    columns = [Column(name=c, kind=kinds.get(c, Kind.INTEGER)) for c in names]
    scan = sql("SELECT * FROM {s}", s=shim("scan", str(folder / "met.parquet")))
    rows = engine.write(scan, work / "rows", table="rows", columns=columns)
    exposed = read_exposed(
        engine,
        rows,
        experiment="x",
        arms=("a", "b"),
        first_day=START + 5,
        end_day=START + 17,
        folder=work / "exposed",
        time_zone="Europe/London",
        trigger="flag == 1",
        keep=("flag",),
    )
    return exposed, earlier_arms(engine, rows, exposed)


def test_exposures_and_running_totals_are_the_same(
    on_both: Callable[[Callable[[Engine], Any]], tuple[Any, Any]], tmp_path: Path
) -> None:
    world(tmp_path)

    def work(engine: Engine) -> tuple[list[dict[str, Any]], list[dict[str, Any]], tuple[Any, ...]]:
        place = tmp_path / engine.name
        exposed, earlier = exposed_of(engine, tmp_path, place)
        running: RunningTotals | None = None
        for until in (18, 19):
            ledger = ledger_of(engine, tmp_path, place, until)
            running = running_totals(engine, exposed, ledger, totals=TOTALS, folder=place / f"totals{until}", earlier=running)  # fmt: skip
        assert running is not None
        units = engine.arrow(units_of(running)).to_pylist()
        facts = (
            exposed.n_users,
            exposed.n_crossed,
            exposed.delays,
            earlier,
            running.n_kept,
            running.n_appended,
        )
        return _sorted(running.rows.to_arrow().to_pylist()), _sorted(units), facts

    duckdb, spark = on_both(work)
    assert duckdb == spark
    assert duckdb[2][1] >= 1
    assert duckdb[2][3]["n_elsewhere/y: a/a"] >= 1


def survival_of(engine: Engine, running: RunningTotals) -> list[tuple[Any, ...]]:
    columns = {"arm": Kind.TEXT, "bought_on": Kind.INTEGER, "observed_days": Kind.INTEGER}
    units = Units(rows=sql("({u})", u=units_of(running)), columns=columns, arm="arm")
    metric = Metric(name="m", kind="time_to_event", outcome="bought_on", over="observed_days", days=(0, 5))
    states = gather(engine, units, metrics=[metric]).metrics["m"].survival
    return [(s.arm, s.days.tolist(), s.events.tolist(), s.censored.tolist()) for s in states]


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["user_id"]))
