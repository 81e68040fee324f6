"""How many ids a second come to their arm: by arrays, by the SQL expression in DuckDB, and one at a time in plain Python.

    python benchmarks/assignment.py [--millions 1 10]

Each figure is the best of three (of one beyond two million ids); the two ways must agree on every arm.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headwater.effects.allocation import Allocation
from headwater.effects.assignment import assign, assignment_sql
from headwater.effects.plan import Arm
from headwater.effects.slices import Holdout, Layer
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name, sql

ARMS = (Arm(name="champion", share=0.5), Arm(name="challenger", share=0.5))
LAYER = Layer(name="growth", seed="2026q4").with_experiment("ltv_v2", share=0.4)
CASES = {
    "two arms": Allocation(experiment="ltv_v2", arms=ARMS),
    "layer and holdout": Allocation(
        experiment="ltv_v2",
        arms=ARMS,
        slices=(LAYER.slice_of("ltv_v2"),),
        holdouts=(Holdout(name="global", seed="holdout", share=0.05),),
    ),
}


def best_of(times: int, work: Callable[[], Any]) -> tuple[float, Any]:
    found, least = None, float("inf")
    for _ in range(times):
        began = time.perf_counter()
        found = work()
        least = min(least, time.perf_counter() - began)
    return least, found


def one_at_a_time(ids: list[str]) -> int:
    """As an app does it: the same hash in plain Python."""

    def hashed(text: str) -> int:
        h = 2166136261
        for c in text:
            h = ((h ^ ord(c)) * 16777619) & 0xFFFFFFFF
        return h

    return sum(hashed(str(hashed("ltv_v2" + i))) % 10_000 < 5_000 for i in ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        engine = DuckDB(threads=given.threads, memory="4GB", spill=Path(folder) / "spill")
        for millions in given.millions:
            n = int(millions * 1e6)
            engine.run(
                sql(
                    "CREATE OR REPLACE TEMP TABLE users AS SELECT 'user_' || (1000000 + i * 7) AS id FROM range({n}) t(i)",
                    n=n,
                )
            )
            ids = engine.arrow(sql("SELECT id FROM users"))["id"]
            times = 3 if n <= 2_000_000 else 1
            for case, allocation in CASES.items():
                arrays, found = best_of(times, lambda a=allocation, i=ids: assign(a, i))
                counted = sql(
                    "SELECT arm, count(*) FROM (SELECT {a} AS arm FROM users) GROUP BY arm",
                    a=assignment_sql(allocation, name("id")),
                )
                by_sql, rows = best_of(times, lambda q=counted: engine.rows(q))
                assert {a: k for a, k in rows if a} == {a: k for a, k in found.n_by_arm if k}
                print(
                    f"{n:>12,} ids, {case:<18} arrays {arrays:6.2f} s ({n / arrays / 1e6:5.2f} M/s)   DuckDB, {given.threads} threads {by_sql:6.2f} s ({n / by_sql / 1e6:5.2f} M/s)"
                )
        few = ids.slice(0, 100_000).to_pylist()
        plain, _ = best_of(1, lambda: one_at_a_time(few))
        print(
            f"{len(few):>12,} ids, one at a time in plain Python: {plain:.2f} s ({len(few) / plain / 1e6:.2f} M/s)"
        )


if __name__ == "__main__":
    main()
