"""One more day of a 60-day experiment: users' running totals appended, beside a full pass over the ledger.

Makes a ledger of user-days (28 days before the experiment and 60 within it; three measures) and exposures on
each active day of half of the users; new users come every day, a third of them before it begins; then, in a process of its own each: a full pass over all days but the last, the append of the
last day, the same where facts of the three days before it came late, and a full pass over all days. What was
appended is held against what was built anew, by fingerprint.

    python benchmarks/experiment_append.py --users 1000000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

import headwater.engine.arrays  # registers the reader of tables
from headwater.core.ledger import Ledger, LedgerMeasure
from headwater.core.table import Column, Kind
from headwater.effects.day_totals import DayTotal
from headwater.effects.exposed import Exposed, read_exposed
from headwater.effects.running_totals import RunningTotals, running_totals
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import shim, sql
from headwater.ledgers.days import write_by_day

assert headwater.engine.arrays

START, BEFORE, DURING, WINDOW = 20_000, 28, 60, 14
MEASURES = tuple(
    LedgerMeasure(name=n, kind=Kind.INTEGER, unit="", scale=1, counts=True)
    for n in ("revenue", "purchases", "opens")
)
DAY_COLUMNS = (
    *(Column(name=c, kind=Kind.TEXT if c == "user_id" else Kind.INTEGER) for c in ("user_id", "bucket")),
    *(Column(name=c, kind=Kind.INTEGER) for c in ("app_day", "known_day", "n_events", "first_us", "last_us")),
    *(Column(name=m.name, kind=Kind.INTEGER) for m in MEASURES),
)


def totals(window: int | None) -> tuple[DayTotal, ...]:
    measures = ("revenue", "purchases", "opens", "active_days")
    return (
        *(DayTotal(name=m, measure=m, end=window) for m in measures),
        *(DayTotal(name=f"{m}_before", measure=m, first=-BEFORE, end=0) for m in measures),
        DayTotal(name="back", measure="active_days", first=7, end=8),
    )


def open_engine(folder: Path) -> DuckDB:
    return DuckDB(threads=2, memory="2GB", spill=folder / "spill")


def make(folder: Path, n_users: int) -> dict[str, Any]:
    """The ledger through the last day, and through the day before it; exposures; and a restated ledger."""
    engine = open_engine(folder)
    first, end = START - BEFORE, START + DURING
    rows = sql(
        "SELECT 'u' || lpad(CAST(u AS VARCHAR), 9, '0') AS user_id, CAST(u % 64 AS INTEGER) AS bucket,"
        " CAST(d AS INTEGER) AS app_day, CAST(d AS INTEGER) AS known_day, 1 + CAST(h % 9 AS BIGINT) AS n_events,"
        " CAST(d AS BIGINT) * 86400000000 AS first_us, CAST(d AS BIGINT) * 86400000000 + 1 AS last_us,"
        " CASE WHEN h % 50 = 0 THEN CAST(h % 100000 AS BIGINT) ELSE 0 END AS revenue,"
        " CASE WHEN h % 50 = 0 THEN 1 ELSE 0 END AS purchases, 1 + CAST(h % 4 AS BIGINT) AS opens"
        " FROM (SELECT u, d, hash(u, d) AS h FROM range({n}) a(u) CROSS JOIN range({first}, {end}) b(d)) x"
        " WHERE {x} < 0.05 + 0.55 * {habit} AND d >= {first} - 30 + u % {spread}",
        n=n_users,
        first=first,
        end=end,
        spread=end - first + 30,
        x=shim("unit", sql("h")),
        habit=shim("unit", sql("hash(u + 77)")),
    )
    days, prints = write_by_day(
        engine, rows, folder, table="ledger", columns=DAY_COLUMNS, built=range(first, end), earlier=None
    )
    late = sql(
        "SELECT user_id, bucket, app_day, known_day, n_events, first_us, last_us, revenue + CASE WHEN bucket = 7 AND opens = 2 THEN 1 ELSE 0 END AS revenue, purchases, opens"
        " FROM {s} s WHERE app_day >= {d}",
        s=shim("scan", *[f for f in days.files if int(Path(f).parent.name.split("=")[1]) >= end - 4]),
        d=end - 4,
    )
    restated, restated_prints = write_by_day(
        engine,
        late,
        folder / "restated",
        table="ledger",
        columns=DAY_COLUMNS,
        built=range(end - 4, end - 1),
        earlier=days,
        prints=prints,
    )
    ledger = Ledger(
        days=days, users=days, user_hours=days, measures=MEASURES, day_fingerprints=prints, first_day=first,
        end_day=end, left_edge_days=0, settle_days=0, one_row_a_day=True, findings=(), sql="",
    )  # fmt: skip
    yesterday = replace(
        ledger,
        days=replace(days, files=tuple(f for f in days.files if f"part={end - 1}/" not in f)),
        day_fingerprints=prints[:-1],
        end_day=end - 1,
    )
    met = sql(
        "SELECT user_id, 'x' AS experiment, CASE WHEN hash(user_id) % 2 = 0 THEN 'a' ELSE 'b' END AS arm, first_us AS at_us, app_day"
        " FROM {s} s WHERE app_day >= {d} AND bucket < 32",
        s=shim("scan", *days.files),
        d=START,
    )
    kinds = {"user_id": Kind.TEXT, "experiment": Kind.TEXT, "arm": Kind.TEXT, "app_day": Kind.DAY}
    columns = [
        Column(name=c, kind=kinds.get(c, Kind.INTEGER))
        for c in ("user_id", "experiment", "arm", "at_us", "app_day")
    ]
    exposures = engine.write(met, folder, table="exposures", columns=columns)
    save(folder / "exposures.json", exposures)
    for label, one in {
        "yesterday": yesterday,
        "today": ledger,
        "restated": replace(ledger, days=restated, day_fingerprints=restated_prints),
    }.items():
        save(folder / f"{label}.json", one)
    engine.close()
    return {"user_days": days.n_rows, "exposures": exposures.n_rows}


def save(file: Path, value: Any) -> None:
    file.write_bytes(TypeAdapter(type(value)).dump_json(value))


def load(file: Path, shape: type[Any]) -> Any:
    return TypeAdapter(shape).validate_json(file.read_bytes())


def met_until(folder: Path, label: str, end: int) -> dict[str, Any]:
    """Exposures up to a day, one row a user."""
    from headwater.core.table import Table

    engine, began = open_engine(folder), time.perf_counter()
    exposures = load(folder / "exposures.json", Table)
    exposed = read_exposed(
        engine,
        exposures,
        experiment="x",
        arms=("a", "b"),
        first_day=START,
        end_day=end,
        folder=folder / label,
    )
    took = time.perf_counter() - began
    save(folder / f"{label}.json", replace(exposed, end_day=START + DURING))
    return {"s": took, "n_users": exposed.n_users}


def add_up(folder: Path, read: tuple[str, str, str], into: str, window: int | None) -> dict[str, Any]:
    (ledger, exposed, earlier), engine = read, open_engine(folder)
    before = load(folder / f"{earlier}.json", RunningTotals) if earlier else None
    told, met = load(folder / f"{ledger}.json", Ledger), load(folder / f"{exposed}.json", Exposed)
    shutil.rmtree(folder / into, ignore_errors=True)
    began = time.perf_counter()
    made = running_totals(engine, met, told, totals=totals(window), folder=folder / into, earlier=before)
    took = time.perf_counter() - began
    save(folder / f"{into}.json", made)
    return {
        "s": took,
        "rows": made.rows.n_rows,
        "kept": made.n_kept,
        "appended": made.n_appended,
        "rebuilt": made.n_rebuilt,
        "fingerprint": made.rows.fingerprint,
    }


def _child(work: str, given: tuple[Any, ...], answer: Any) -> None:
    found = globals()[work](*given)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.put(found)


def alone(work: str, *given: Any) -> dict[str, Any]:
    """Run in a process of its own, so that its peak of memory is its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_child, args=(work, given, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--window", default=str(WINDOW), help="days each user counts, or 'end'")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    window = None if asked.window == "end" else int(asked.window)
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="headwater-append-"))
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "today.json").is_file():
        print("made", json.dumps(alone("make", folder, asked.users)), flush=True)
    end = START + DURING
    print("exposures, all but the last day", json.dumps(alone("met_until", folder, "met_before", end - 1)))
    print("exposures, all", json.dumps(alone("met_until", folder, "met", end)), flush=True)
    alone("add_up", folder, ("yesterday", "met_before", ""), "base", window)
    full = alone("add_up", folder, ("today", "met", ""), "full", window)
    print("full pass", json.dumps(full), flush=True)
    day = alone("add_up", folder, ("today", "met", "base"), "day", window)
    print("one day more", json.dumps(day), flush=True)
    late = alone("add_up", folder, ("restated", "met", "base"), "late", window)
    print("one day more, three restated", json.dumps(late), flush=True)
    anew = alone("add_up", folder, ("restated", "met", ""), "anew", window)
    assert day["fingerprint"] == full["fingerprint"]
    assert late["fingerprint"] == anew["fingerprint"]
    print(
        f"append over full pass: {day['s'] / full['s']:.3f}; with three restated days {late['s'] / anew['s']:.3f}"
    )
    if asked.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
