"""Rows a second and peak memory of check, ledger and snapshots, beside a raw DuckDB scan of the same columns.

    python benchmarks/pipeline.py [--rows 100000000] [--days 365] [--per-day 10] [--memory 3GB] [--threads 2]

The log comes as one file a day. ``--per-day`` is how many events an active user has on a day (10: dense,
1.3: thin). Then one more day is appended: what that costs beside the rebuild. Each measurement is a process
of its own; raw scans are run before and after, medians are printed.
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
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

OUT = Path(__file__).parent / "out" / "pipeline"
HORIZONS, N_CUTOFFS = (7, 28, 56, 90), 6
SETTINGS = """
[app]
name = "Synthetic app"
time_zone = "UTC"
currency = "USD"

[[sources]]
kind = "events"
path = "log/*.parquet"
user = "uid"
at = "at"
event = "event"
keep = ["platform"]
types = { quantity = "integer", price = "money" }

[measures]
revenue = { sum = "quantity * price", unit = "USD", where = "event == 'purchase'" }
purchases = { count = true, where = "event == 'purchase'" }
opens = { count = true, where = "event == 'open'" }
views = { count = true, where = "event == 'view'" }

[features]
windows = ["1d", "3d", "7d", "14d", "21d", "28d", "42d", "60d", "90d", "180d"]

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


def make(folder: Path, *, rows: int, days: int, per_day: float) -> None:
    """One Parquet file a day: rows / days events each, one in a thousand faulty, a few that repeat another."""
    import duckdb

    marker = folder / f"made-{rows}-{days}-{per_day}"
    (folder / "log").mkdir(parents=True, exist_ok=True)
    (folder / "headwater.toml").write_text(SETTINGS)
    for extra in (folder / "log").glob("day-*.parquet"):
        if not marker.is_file() or int(extra.stem.removeprefix("day-")) >= days:
            extra.unlink()
    if marker.is_file():
        return
    duckdb.execute("SET threads = 2; SET memory_limit = '2GB'")
    for day in range(days):
        write_day(folder, day, rows=rows // days, per_day=per_day)
    marker.touch()


def write_day(folder: Path, day: int, *, rows: int, per_day: float) -> None:
    """The events of one day: each of its active users comes ``per_day`` times on average, at hours of the day."""
    import duckdb

    n_active = max(1, int(rows / per_day))
    n_users = n_active * 6
    duckdb.execute(
        f"""
        COPY (
          SELECT CASE WHEN h % 1000 = 0 THEN NULL ELSE 'u' || CAST(hash(slot, {day}) % {n_users} AS VARCHAR) END AS uid,
                 CASE WHEN h % 20 = 1 THEN 'purchase' WHEN h % 3 = 0 THEN 'open' ELSE 'view' END AS event,
                 make_timestamp(CAST(1704067200000000 + {day} * 86400000000 + (86400 * n // {rows}) * 1000000 + h % 1000000 AS BIGINT)) AS at,
                 CAST(1 + h % 3 AS INTEGER) AS quantity,
                 CASE WHEN h % 1500 = 7 THEN -1.0 ELSE (h % 5000) / 100.0 END AS price,
                 CASE (h // 7) % 4 WHEN 0 THEN 'ios' WHEN 1 THEN 'web' ELSE 'android' END AS platform
          FROM (SELECT n, CAST(hash(n, {day}) % {n_active} AS BIGINT) AS slot, hash(n, {day}, 1) AS h FROM range({rows}) t(n))
          UNION ALL
          SELECT 'twice', 'open', make_timestamp(CAST(1704067200000000 + {day} * 86400000000 AS BIGINT)), 1, 0.0, 'web' FROM range(3)
        ) TO '{folder}/log/day-{day:04}.parquet' (FORMAT parquet, COMPRESSION zstd)
        """
    )


def scan(folder: Path, threads: int) -> dict[str, float]:
    """The physical limits: read every column once; write them once."""
    import duckdb

    duckdb.execute(f"SET threads = {threads}")
    began = time.perf_counter()
    duckdb.execute(
        f"""SELECT count(uid), max(uid), min(event), max("at"), sum(quantity), sum(price), max(platform) FROM read_parquet('{folder}/log/*.parquet')"""
    ).fetchall()
    took = {"scan": time.perf_counter() - began}
    copied = folder / "copied.parquet"
    began = time.perf_counter()
    duckdb.execute(
        f"""COPY (SELECT uid, event, "at", quantity, price, platform FROM read_parquet('{folder}/log/*.parquet')) TO '{copied}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"""
    )
    took |= {"copy": time.perf_counter() - began}
    copied.unlink()
    return took


def built(folder: Path, threads: int, memory: str, steps: Sequence[str]) -> dict[str, float]:
    """Steps through the product's own road, seconds each."""
    from headwater.app.config import read_settings
    from headwater.app.study import Study

    study = Study(
        folder,
        read_settings(folder / "headwater.toml"),
        today=date(2026, 1, 1),
        threads=threads,
        memory=memory,
    )
    took: dict[str, float] = {}
    for step in steps:
        began = time.perf_counter()
        match step:
            case "check":
                events = study.events()
                took |= {
                    "n_rows": events.n_rows_in,
                    "n_kept": events.events.n_rows,
                    "n_scans": events.n_scans,
                }
            case "ledger":
                ledger = study.ledger()
                took |= {"n_user_days": ledger.days.n_rows, "n_users": ledger.users.n_rows}
            case "audit":
                study.audit()
            case "snapshots" | "as many again":
                ledger = study.ledger()
                n_cutoffs = N_CUTOFFS * (1 if step == "snapshots" else 2)
                cutoffs = tuple(ledger.end_day - 14 * k for k in range(n_cutoffs))
                made = study.snapshot(cutoffs=cutoffs, horizons=HORIZONS)
                took |= {"n_features": len(made.features)} | (
                    {"n_snapshot_rows": made.rows.n_rows} if step == "snapshots" else {}
                )
        took[step] = time.perf_counter() - began
    return took


def one(part: str, given: argparse.Namespace) -> dict[str, float]:
    """Run one part in a process of its own, with its peak memory."""
    command = [sys.executable, __file__, "--part", part]
    for option in ("rows", "days", "per_day", "threads", "memory"):
        command += [f"--{option.replace('_', '-')}", str(getattr(given, option))]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def part(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    """One measurement, in this process."""
    match given.part:
        case "scan":
            return scan(folder, given.threads)
        case "build":
            shutil.rmtree(folder / ".headwater", ignore_errors=True)
            return built(
                folder,
                given.threads,
                given.memory,
                ("check", "ledger", "audit", "snapshots", "as many again"),
            )
        case "append":
            write_day(folder, given.days, rows=given.rows // given.days, per_day=given.per_day)
            return built(folder, given.threads, given.memory, ("check", "ledger"))
        case _:
            write_day(folder, given.days // 2, rows=given.rows // given.days + 1, per_day=given.per_day)
            return built(folder, given.threads, given.memory, ("check", "ledger"))


def table(raw: float, rows: Mapping[str, float], n: float) -> None:
    """Seconds, rows a second, and how many raw scans that is."""
    print(f"{'step':<34}{'seconds':>9}{'rows/s':>14}{'x raw scan':>12}")
    print(f"{'raw scan, same columns':<34}{raw:>9.2f}{n / raw:>14,.0f}{1.0:>12.1f}")
    for name, seconds in rows.items():
        print(f"{name:<34}{seconds:>9.2f}{n / seconds:>14,.0f}{seconds / raw:>12.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--per-day", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="3GB")
    parser.add_argument("--part", choices=["scan", "build", "append", "restate"])
    given = parser.parse_args()
    folder = OUT / f"{given.rows}-{given.days}-{given.per_day}"
    if given.part:
        made = part(given, folder)
        print(json.dumps(made | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    make(folder, rows=given.rows, days=given.days, per_day=given.per_day)
    scans = [one("scan", given) for _ in range(2)]
    build = one("build", given)
    scans += [one("scan", given) for _ in range(2)]
    append, restate = one("append", given), one("restate", given)
    (folder / f"made-{given.rows}-{given.days}-{given.per_day}").unlink()
    raw = statistics.median(s["scan"] for s in scans)
    print(
        f"{build['n_rows']:,.0f} rows in {given.days} files, {build['n_kept']:,.0f} kept; {build['n_user_days']:,.0f} user-days of {build['n_users']:,.0f} users"
        f" ({build['n_kept'] / build['n_user_days']:.1f} events each); {build['n_snapshot_rows']:,.0f} snapshot rows x {build['n_features']:.0f} features,"
        f" {N_CUTOFFS} cutoffs x {len(HORIZONS)} horizons; {given.threads} threads, engine limit {given.memory}"
    )
    rebuild = build["check"] + build["ledger"]
    steps = {
        "check": build["check"],
        "ledger": build["ledger"],
        "check + ledger": rebuild,
        "audit": build["audit"],
        "snapshots": build["snapshots"],
        f"snapshots at {2 * N_CUTOFFS} cutoffs": build["snapshots"] + build["as many again"],
    }
    steps = {"copy of the same columns": statistics.median(s["copy"] for s in scans)} | steps
    table(raw, steps, build["n_rows"])
    for what, made in (("one day appended", append), ("one day in the middle restated", restate)):
        again = made["check"] + made["ledger"]
        print(
            f"{what}: check {made['check']:.2f} s, ledger {made['ledger']:.2f} s = {again / rebuild:.1%} of the rebuild; peak {made['peak_mb']:,.0f} MB"
        )
    print(f"peak memory: build {build['peak_mb']:,.0f} MB, raw scan {scans[0]['peak_mb']:,.0f} MB")


if __name__ == "__main__":
    main()
