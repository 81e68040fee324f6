"""Ten metrics of ten million users from one Parquet file: from opening it to every effect with its interval.

"headwater all": three means with CUPED on three covariates, three plain means, two ratios, two quantiles (P50, P90) and the
sample ratio. "headwater shared" is what tea-tasting does too: CUPED on one covariate, no quantiles (its own are
bootstraps of raw rows). tea-tasting runs in an environment of its own, on Polars (lazily) and on DuckDB through Ibis.
"scan" sums the same columns raw and is the physical limit. Every run is a process of its own, rounds interleaved;
seconds leave imports out; MiB is the peak of the process.

    python benchmarks/experiment_moments.py [--users 10000000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import venv
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PEER = HERE / ".peers" / "tea_tasting"
OUT = HERE / "out"
MODES = ("headwater all", "headwater shared", "peer polars", "peer duckdb", "scan")


def main() -> None:
    """Draw the users, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_child(given.child[0], Path(given.child[1]))))
        return
    table, python = _drawn(given.users), _peer_python()
    runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for _ in range(given.rounds):
        for mode in MODES:
            runs[mode].append(_run(mode, table, python))
            print(f"{mode:18s} {runs[mode][-1]['seconds']:7.2f} s", file=sys.stderr)
    _report(runs, users=given.users, rounds=given.rounds)


def _drawn(n: int) -> Path:
    import duckdb

    OUT.mkdir(exist_ok=True)
    path = OUT / f"experiment_{n}.parquet"
    if not path.exists():
        outcomes = ", ".join(f"exp(u{i} * 2 + x{i % 3} * 0.3) AS y{i}" for i in (0, 1, 2, 4, 5))
        drawn = ", ".join(f"random() AS u{i}" for i in range(6))
        duckdb.execute(
            f"""COPY (SELECT CASE WHEN u < 0.5 THEN 'control' ELSE 'treatment' END AS variant, x0, x1, x2, {outcomes},
                 floor(u3 * 5) + 1.0 AS y3 FROM (SELECT random() AS u, random() * 3 AS x0, random() * 2 AS x1, random() AS x2,
                 {drawn} FROM range({n}))) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"""
        )
    return path


def _peer_python() -> Path:
    python = PEER / "bin" / "python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
        packages = ["tea-tasting==1.14.0", "polars", "ibis-framework[duckdb]", "pyarrow"]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def _child(mode: str, path: Path) -> dict[str, Any]:
    from headwater.core.table import Kind
    from headwater.effects.analyze import analyze
    from headwater.effects.checks import CHECKS
    from headwater.effects.compared import RANDOMIZED
    from headwater.effects.gather import gather
    from headwater.effects.kind import METRIC_KINDS
    from headwater.effects.metric import Metric, Part
    from headwater.effects.plan import Arm, Plan
    from headwater.effects.stopping import STOPPING
    from headwater.effects.units import Units
    from headwater.engine.duckdb import DuckDB
    from headwater.engine.sql import shim

    for shelf in (CHECKS, METRIC_KINDS, RANDOMIZED, STOPPING):
        for name in shelf.names():
            shelf.load(name)
    before = ("x0", "x1", "x2")
    engine = DuckDB(threads=2, memory="450MB", spill=OUT / "spill")
    started = time.perf_counter()
    if mode == "scan":
        columns = ", ".join(f"sum({c})" for c in (*before, *(f"y{i}" for i in range(6))))
        engine._connection.execute(f"SELECT variant, {columns} FROM '{path}' GROUP BY variant").fetchall()
        return {"seconds": time.perf_counter() - started, "mib": _mib(), "figures": {}}
    whole = mode == "all"
    metrics = (
        *(
            Metric(
                name=f"cuped{i}",
                outcome=f"y{i}",
                covariates=before if whole else (f"x{i}",),
                part=Part.PRIMARY,
            )
            for i in range(3)
        ),
        *(Metric(name=f"mean{i}", outcome=f"y{i}") for i in range(3, 6)),
        *(Metric(name=f"ratio{i}", kind="ratio", outcome=f"y{i}", over="y3") for i in range(2)),
        *(Metric(name=f"p{q}", kind="quantile", outcome="y0", share=q / 100) for q in (50, 90) if whole),
    )
    arms = (Arm(name="control", share=0.5), Arm(name="treatment", share=0.5))
    plan = Plan(name="bench", question="", arms=arms, metrics=metrics, correction="none", registered_on=0)
    columns = dict.fromkeys((*before, *(f"y{i}" for i in range(6))), Kind.NUMBER) | {"variant": Kind.TEXT}
    units = Units(rows=shim("scan", str(path)), columns=columns, arm="variant")
    card = analyze(plan, gather(engine, units, metrics=metrics, arms=["control", "treatment"]))
    seconds = time.perf_counter() - started
    figures = {r.metric.name: [r.difference, r.p_value] for r in card.rows}
    return {"seconds": seconds, "mib": _mib(), "figures": figures}


def _mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _run(mode: str, table: Path, python: Path) -> dict[str, Any]:
    side, _, what = mode.partition(" ")
    if side == "peer":
        command = [str(python), str(HERE / "peers" / "tea_tasting_experiment.py"), str(table), what]
    else:
        command = [sys.executable, __file__, "--child", what or "scan", str(table)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _report(runs: dict[str, list[dict[str, Any]]], *, users: int, rounds: int) -> None:
    seconds = {mode: median(r["seconds"] for r in runs[mode]) for mode in MODES}
    print(f"{users:,} users, 2 threads, {rounds} rounds; median seconds, ratio to the raw scan, peak MiB")
    for mode in MODES:
        peak = max(r["mib"] for r in runs[mode])
        print(f"{mode:18s} {seconds[mode]:7.2f} {seconds[mode] / seconds['scan']:7.1f} {peak:7.0f}")
    best = min(seconds["peer polars"], seconds["peer duckdb"])
    print(
        f"tea-tasting's faster way over ours, on the metrics both do: {best / seconds['headwater shared']:.2f}"
    )
    ours, theirs = runs["headwater shared"][0]["figures"], runs["peer polars"][0]["figures"]
    away = max(abs(ours[m][0] - theirs[m][0]) / abs(theirs[m][0]) for m in ours if m.startswith("mean"))
    print(f"plain means agree to {away:.1e}")


if __name__ == "__main__":
    main()
