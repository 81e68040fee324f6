"""Rows a second and peak memory of check + ledger + snapshot, beside a raw DuckDB scan of the same columns.

    python benchmarks/pipeline.py [--rows 20000000] [--memory 2GB] [--threads 2] [--rounds 3]

Each measurement is a process of its own; raw scan and pipeline are run in turn, medians are printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

OUT = Path(__file__).parent / "out" / "pipeline"
SETTINGS = """
[app]
name = "Synthetic app"
time_zone = "UTC"
currency = "USD"

[[sources]]
kind = "events"
path = "events.parquet"
user = "uid"
at = "at"
event = "event"
types = { quantity = "integer", price = "money" }

[measures]
revenue = { sum = "quantity * price", unit = "USD", where = "event == 'purchase'" }
purchases = { count = true, where = "event == 'purchase'" }
opens = { count = true, where = "event == 'open'" }

[[rules]]
rule = "required"
columns = ["uid"]

[[rules]]
rule = "unique"

[[rules]]
rule = "range"
columns = ["price"]
at_least = 0

[[rules]]
rule = "one_of"
columns = ["event"]
values = ["open", "view", "purchase"]
"""


def make(rows: int) -> Path:
    """Events of rows / 150 users over 180 days, about ten to an active user-day, one in a thousand faulty."""
    import duckdb

    path = OUT / "events.parquet"
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "headwater.toml").write_text(SETTINGS)
    marker = OUT / f"rows-{rows}"
    if path.is_file() and marker.is_file():
        return path
    for old in OUT.glob("rows-*"):
        old.unlink()
    duckdb.execute("SET threads = 2; SET memory_limit = '4GB'; SET preserve_insertion_order = true")
    duckdb.execute("SELECT setseed(0.7)")
    duckdb.execute(
        f"""
        COPY (
          SELECT CASE WHEN h % 1000 = 0 THEN NULL ELSE 'u' || CAST(user_no AS VARCHAR) END AS uid,
                 CASE WHEN h % 20 = 1 THEN 'purchase' WHEN h % 3 = 0 THEN 'open' ELSE 'view' END AS event,
                 make_timestamp(CAST(1735689600000000 + day * 86400000000 + (h % 86400) * 1000000 + n % 1000000 AS BIGINT)) AS at,
                 CAST(1 + h % 3 AS INTEGER) AS quantity,
                 CASE WHEN h % 1500 = 7 THEN -1.0 ELSE (h % 5000) / 100.0 END AS price
          FROM (
            SELECT n, hash(n) AS h, session % 180 AS day,
                   CAST(hash(session) % {max(1, rows // 150)} AS BIGINT) AS user_no
            FROM (SELECT n, n // 10 AS session FROM range({rows}) t(n))
          )
        ) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
        """
    )
    marker.touch()
    return path


def scan(path: Path, threads: int) -> dict[str, float]:
    """The physical limit: read every column once."""
    import duckdb

    duckdb.execute(f"SET threads = {threads}")
    began = time.perf_counter()
    duckdb.execute(
        f"""SELECT count(uid), count(event), min(event), max(uid), max("at"), sum(quantity), sum(price) FROM read_parquet('{path}')"""
    ).fetchall()
    return {"scan": time.perf_counter() - began}


def pipeline(threads: int, memory: str, n_cutoffs: int) -> dict[str, float]:
    """check, ledger and snapshot through the product's own road."""
    from headwater.app.config import read_settings
    from headwater.app.study import Study

    shutil.rmtree(OUT / ".headwater", ignore_errors=True)
    study = Study(
        OUT, read_settings(OUT / "headwater.toml"), today=date(2026, 1, 1), threads=threads, memory=memory
    )
    took: dict[str, float] = {}
    began = time.perf_counter()
    events = study.events()
    took["check"] = time.perf_counter() - began
    began = time.perf_counter()
    ledger = study.ledger()
    took["ledger"] = time.perf_counter() - began
    began = time.perf_counter()
    cutoffs = tuple(ledger.end_day - 14 * k for k in range(n_cutoffs))
    snapshot = study.snapshot(cutoffs=cutoffs, horizons=(14, 28))
    took["snapshot"] = time.perf_counter() - began
    took |= {
        "n_rows": events.n_rows_in,
        "n_kept": events.events.n_rows,
        "n_user_days": ledger.days.n_rows,
        "n_snapshot_rows": snapshot.rows.n_rows,
        "n_features": len(snapshot.features),
    }
    return took


def one(part: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Run one part in a process of its own."""
    command = [
        sys.executable,
        __file__,
        "--part",
        part,
        "--threads",
        str(arguments.threads),
        "--memory",
        arguments.memory,
    ]
    answer = subprocess.run(
        [*command, "--cutoffs", str(arguments.cutoffs)], check=True, capture_output=True, text=True
    )
    return json.loads(answer.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--cutoffs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["scan", "pipeline"])
    arguments = parser.parse_args()
    if arguments.part:
        made = (
            scan(OUT / "events.parquet", arguments.threads)
            if arguments.part == "scan"
            else pipeline(arguments.threads, arguments.memory, arguments.cutoffs)
        )
        print(json.dumps(made | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    make(arguments.rows)
    rounds = [(one("scan", arguments), one("pipeline", arguments)) for _ in range(arguments.rounds)]
    middle = {k: statistics.median(r[1][k] for r in rounds) for k in rounds[0][1]}
    raw = statistics.median(r[0]["scan"] for r in rounds)
    n = middle["n_rows"]
    print(
        f"{n:,.0f} rows, {middle['n_kept']:,.0f} kept, {middle['n_user_days']:,.0f} user-days, "
        f"{middle['n_snapshot_rows']:,.0f} snapshot rows x {middle['n_features']:.0f} features at {arguments.cutoffs} cutoffs; "
        f"{arguments.threads} threads, engine limit {arguments.memory}, median of {arguments.rounds}"
    )
    print(f"{'step':<28}{'seconds':>9}{'rows/s':>14}{'x raw scan':>12}")
    total = middle["check"] + middle["ledger"] + middle["snapshot"]
    for name, seconds in [
        ("raw scan, same columns", raw),
        ("check", middle["check"]),
        ("ledger", middle["ledger"]),
        ("snapshot", middle["snapshot"]),
        ("check + ledger + snapshot", total),
    ]:
        print(f"{name:<28}{seconds:>9.2f}{n / seconds:>14,.0f}{seconds / raw:>12.1f}")
    print(
        f"peak memory of the process: {middle['peak_mb']:,.0f} MB (raw scan {statistics.median(r[0]['peak_mb'] for r in rounds):,.0f} MB)"
    )


if __name__ == "__main__":
    main()
