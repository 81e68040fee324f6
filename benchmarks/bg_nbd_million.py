"""A million customers, daily data: from a table of customers to BG/NBD or MBG/NBD parameters, headwater and lifetimes.

Customers are drawn from the model (CDNOW-like parameters, days), each observed for 180 to 400 days.
Every run is a process of its own, peers in an environment of their own; rounds are interleaved. Seconds
count from opening the Parquet file to having parameters (imports are left out for all; "process"
includes them). The log-likelihood of every answer is computed by one function on the same rows.

    python benchmarks/bg_nbd_million.py [--model bg_nbd | mbg_nbd] [--customers 1000000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import importlib
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
PEER = HERE / ".peers" / "lifetimes"
OUT = HERE / "out"
WEEKLY = {  # estimates on CDNOW
    "bg_nbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426},
    "mbg_nbd": {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614},
}
MODES = ("headwater", "lifetimes plain", "lifetimes weighted")


def main() -> None:
    """Draw, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--model", choices=sorted(WEEKLY), default="bg_nbd")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_headwater(given.child, model=given.model)))
        return
    table = _draw(given.customers, model=given.model)
    python = _peer_python()
    runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for _ in range(given.rounds):
        for mode in MODES:
            runs[mode].append(_run(mode, table=table, python=python, model=given.model))
    _report(runs, table=table, model=given.model)


def _numerics(model: str) -> tuple[Any, Any]:
    """The module of a model and the class of its parameters."""
    module = importlib.import_module(f"headwater.numerics.{model}")
    return module, getattr(module, "BgNbdParams" if model == "bg_nbd" else "MbgNbdParams")


def _draw(n: int, *, model: str) -> Path:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    module, params = _numerics(model)
    rng = np.random.default_rng(20261123)
    age = rng.integers(180, 401, n).astype(np.float64)
    x, last = module.simulate(params(**WEEKLY[model]).rescale(7), T=age, rng=rng)
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{model}_{n}.parquet"
    columns = {"x": x.astype(np.int64), "t_x": np.minimum(np.ceil(last), age), "T": age}
    pq.write_table(pa.table({"customer_id": np.arange(n), **columns}), path)
    return path


def _peer_python() -> Path:
    python = PEER / "bin" / "python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "lifetimes==0.11.3", "pyarrow"], check=True)
    return python


def _headwater(path: Path, *, model: str) -> dict[str, Any]:
    import duckdb

    from headwater.numerics.rfm import RfmRows

    fit = _numerics(model)[0].fit
    start = time.perf_counter()
    query = 'SELECT x, t_x, "T", count(*) AS n FROM read_parquet(?) GROUP BY ALL'
    with duckdb.connect() as con:
        got = con.execute(query, [str(path)]).fetchnumpy()
    grouped = time.perf_counter()
    found = fit(RfmRows.of(got["x"], t_x=got["t_x"], T=got["T"], weights=got["n"]))
    seconds = time.perf_counter() - start
    names = zip(found.names, found.params.as_array().tolist(), strict=True)
    return {
        "seconds": seconds,
        "seconds_grouping": grouped - start,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "params": dict(names),
        "converged": found.converged,
    }


def _run(mode: str, *, table: Path, python: Path, model: str) -> dict[str, Any]:
    if mode == "headwater":
        command = [sys.executable, __file__, "--child", str(table), "--model", model]
    else:
        command = [
            str(python),
            str(HERE / "peers" / "lifetimes_bg_nbd.py"),
            str(table),
            mode.split()[1],
            model,
        ]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{mode:20s} {result['seconds']:8.3f} s", file=sys.stderr)
    return result | {"process_seconds": time.perf_counter() - start}


def _report(runs: dict[str, list[dict[str, Any]]], *, table: Path, model: str) -> None:
    import pyarrow.parquet as pq

    from headwater.numerics.rfm import compress

    module, params = _numerics(model)
    got = {name: pq.read_table(table)[name].to_numpy() for name in ("x", "t_x", "T")}
    rows, _ = compress(got["x"], t_x=got["t_x"], T=got["T"])
    own = median(r["seconds"] for r in runs["headwater"])
    print(
        f"{rows.n_users:.0f} customers, {rows.x.size} distinct (x, t_x, T), {len(runs['headwater'])} rounds"
    )
    print(f"{'':20s} {'seconds':>8s} {'process':>8s} {'MiB':>6s} {'log-likelihood':>18s} {'times ours':>10s}")
    for mode, results in runs.items():
        seconds = median(r["seconds"] for r in results)
        whole = median(r["process_seconds"] for r in results)
        peak = median(r["peak_mib"] for r in results)
        value = module.log_likelihood(params(**results[0]["params"]), rows=rows)
        print(f"{mode:20s} {seconds:8.3f} {whole:8.3f} {peak:6.0f} {value:18.4f} {seconds / own:10.1f}")
        print(f"{'':20s} {results[0]['params']}")
    grouping = median(r["seconds_grouping"] for r in runs["headwater"])
    print(f"headwater: {grouping:.3f} s of {own:.3f} s is reading and grouping")
    faster = [m for m in MODES[1:] if median(r["seconds"] for r in runs[m]) < own]
    print(f"faster than headwater: {', '.join(faster) or 'none'}")


if __name__ == "__main__":
    main()
