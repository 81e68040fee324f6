"""The LightGBM hurdle on 5 million rows of 60 features: from Parquet to a fitted, calibrated model with held-out predictions.

Beside it a plain two-stage LightGBM script fed from pandas, in an environment of its own: "plain" (two models, judged on their
own rows) and "crossed" (three folds by user as well, which is what ours does). Every run is a process of its own;
rounds are interleaved. Seconds count from opening the Parquet file to having the model and its held-out
predictions; imports are left out for all. "correlation" is that of the log of predictions with the true log
mean of each row, in sample for "plain", held out for the others.

    python benchmarks/lightgbm_hurdle.py [--rows 5000000] [--rounds 3] [--trees 200] [--threads 2]
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
PEER = HERE / ".peers" / "lightgbm"
OUT = HERE / "out"
N_FEATURES, CHUNK = 60, 500_000
MODES = ("headwater", "peer plain", "peer crossed")


def main() -> None:
    """Draw, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_headwater(given.child, trees=given.trees, threads=given.threads)))
        return
    table = _draw(given.rows)
    python = _peer_python()
    runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for _ in range(given.rounds):
        for mode in MODES:
            runs[mode].append(_run(mode, table, python, trees=given.trees, threads=given.threads))
    _report(runs, n_rows=given.rows)


def _draw(n: int) -> Path:
    """Features of a tenth of NULLs; a chance and a lognormal amount that hang on a few of them; 7% or so above zero."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    OUT.mkdir(exist_ok=True)
    path = OUT / f"hurdle_{n}.parquet"
    if path.exists():
        return path
    rng = np.random.default_rng(20261130)
    writer = None
    for at in range(0, n, CHUNK):
        size = min(CHUNK, n - at)
        x = rng.normal(size=(size, N_FEATURES))
        score = -2.9 + x[:, 0] + 0.5 * x[:, 1] * (x[:, 2] > 0)
        mean_log = 3 + 0.6 * x[:, 3] + 0.4 * np.abs(x[:, 4])
        pays = rng.random(size) < 1 / (1 + np.exp(-score))
        value = np.where(pays, np.exp(mean_log + 0.8 * rng.normal(size=size)), 0.0)
        truth = -np.log1p(np.exp(-score)) + mean_log + 0.32
        x[rng.random(x.shape) < 0.1] = np.nan
        columns = {
            "user_id": pa.array([f"{k:09d}" for k in range(at, at + size)]),
            "cutoff": pa.array(np.full(size, 20_000, dtype=np.int32)),
            "bucket": pa.array(((np.arange(at, at + size) * 40_503) % 64).astype(np.int32)),
            **{f"x{k:02d}": pa.array(x[:, k], from_pandas=True) for k in range(N_FEATURES)},
            "value_next_90d": pa.array(value),
            "truth": pa.array(truth),
        }
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return path


def _headwater(path: Path, *, trees: int, threads: int) -> dict[str, Any]:
    import numpy as np
    import pyarrow.parquet as pq

    from headwater.core.ledger import Snapshot, Task
    from headwater.core.table import Column, Kind, Purpose, Table
    from headwater.engine.duckdb import DuckDB
    from headwater.models.ltv._boosted import fit_heads
    from headwater.models.ltv._lesson import read_lesson
    from headwater.models.ltv.lightgbm_hurdle import hurdle
    from headwater.models.model import Training

    schema = pq.read_schema(path)
    kinds = {n: Purpose.FEATURE for n in schema.names if n.startswith("x")} | {
        "value_next_90d": Purpose.TARGET
    }
    rows = Table(
        name="rows",
        files=(str(path),),
        columns=tuple(
            Column(name=n, kind=Kind.NUMBER, purpose=kinds.get(n, Purpose.FACT)) for n in schema.names
        ),
        n_rows=pq.read_metadata(path).num_rows,
        fingerprint="none",
    )
    task = Task(
        measure="value",
        unit="",
        horizon_days=90,
        target="value_next_90d",
        occasions="purchases",
        value="value",
    )
    training = Training(
        snapshot=Snapshot(
            rows=rows,
            cutoffs=(20_000,),
            horizons=(90,),
            measures=(),
            first_day=0,
            end_day=30_000,
            findings=(),
            sql="",
        ),
        task=task,
        engine=DuckDB(threads=threads, memory="1GB", spill=OUT / "spill"),
        rng=np.random.default_rng(7),
        threads=threads,
        settings={"rounds": trees},
    )
    import lightgbm  # noqa: F401  imports are left out for all

    start = time.perf_counter()
    lesson = read_lesson(training)
    read = time.perf_counter()
    fitted = fit_heads(lesson, hurdle)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    truth = pq.read_table(path, columns=["truth"])["truth"].to_numpy()
    held = fitted.held_rows
    return {
        "seconds": seconds,
        "seconds_reading": read - start,
        "peak_mib": peak,
        "rounds": dict(fitted.facts)["rounds of boosting"],
        "correlation": float(np.corrcoef(np.log(held), truth)[0, 1]) if held is not None else None,
    }


def _peer_python() -> Path:
    python = PEER / "bin" / "python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
        wanted = ["lightgbm==4.7.0", "pandas", "pyarrow", "scikit-learn"]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
    return python


def _run(mode: str, table: Path, python: Path, *, trees: int, threads: int) -> dict[str, Any]:
    if mode == "headwater":
        command = [sys.executable, __file__, "--child", str(table), "--trees", str(trees)]
        command += ["--threads", str(threads)]
    else:
        script = HERE / "peers" / "lightgbm_two_stage.py"
        command = [str(python), str(script), str(table), mode.split()[1], str(trees), str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{mode:14s} {result['seconds']:8.1f} s", file=sys.stderr)
    return result


def _report(runs: dict[str, list[dict[str, Any]]], *, n_rows: int) -> None:
    own = median(r["seconds"] for r in runs["headwater"])
    print(f"{n_rows:,} rows x {N_FEATURES} features, {len(runs['headwater'])} rounds")
    print(
        f"{'':14s} {'seconds':>8s} {'rows/s':>10s} {'MiB':>7s} {'correlation':>11s} {'times ours':>10s}  trees"
    )
    for mode, results in runs.items():
        seconds, peak = (median(r[k] for r in results) for k in ("seconds", "peak_mib"))
        told = f"{results[0]['correlation']:11.4f} {seconds / own:10.2f}  {results[0]['rounds']}"
        print(f"{mode:14s} {seconds:8.1f} {n_rows / seconds:10,.0f} {peak:7.0f} {told}")
    reading = median(r["seconds_reading"] for r in runs["headwater"])
    print(f"headwater: {reading:.1f} s of {own:.1f} s is reading and binning")


if __name__ == "__main__":
    main()
