"""Customers by the million, daily data: from a table of customers to the parameters of a model, headwater and its peers.

Customers are drawn from the model (CDNOW-like parameters, days), each observed for 180 to 400 days.
Every run is a process of its own, peers in environments of their own; rounds are interleaved. Seconds
count from opening the Parquet file to having parameters (imports are left out for all; "process"
includes them). The log-likelihood of every answer is computed by one function on the same rows.
pymc-marketing finds the most probable parameters (MAP) under its default priors.

    python benchmarks/btyd_million.py [--model bg_nbd | mbg_nbd | pareto_nbd] [--customers 1000000] [--rounds 3]
        [--peers plain weighted pymc]
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
PEERS = HERE / ".peers"
INSTALLED = {"lifetimes": ("lifetimes==0.11.3", "pyarrow"), "pymc": ("pymc-marketing==0.19.2", "pyarrow")}
OUT = HERE / "out"
WEEKLY = {  # estimates on CDNOW
    "bg_nbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426},
    "mbg_nbd": {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614},
    "pareto_nbd": {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669},
}
PARAMS = {"bg_nbd": "BgNbdParams", "mbg_nbd": "MbgNbdParams", "pareto_nbd": "ParetoNbdParams"}
OURS = "headwater"
MODES = {
    "plain": ("lifetimes plain", "lifetimes_btyd.py"),
    "weighted": ("lifetimes weighted", "lifetimes_btyd.py"),
    "pymc": ("pymc-marketing MAP", "pymc_btyd.py"),
}


def main() -> None:
    """Draw, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--model", choices=sorted(WEEKLY), default="bg_nbd")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=sorted(MODES), default=["plain", "weighted"])
    parser.add_argument("--child", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_headwater(given.child, model=given.model)))
        return
    table = _draw(given.customers, model=given.model)
    modes = (OURS, *given.peers)
    runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in modes}
    for _ in range(given.rounds):
        for mode in modes:
            runs[mode].append(_run(mode, table=table, model=given.model))
    _report(runs, table=table, model=given.model)


def _numerics(model: str) -> tuple[Any, Any]:
    """The module of a model and the class of its parameters."""
    module = importlib.import_module(f"headwater.numerics.{model}")
    return module, getattr(module, PARAMS[model])


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


def _python(peer: str) -> Path:
    """The interpreter of a peer's own environment, made when it is first asked for."""
    python = PEERS / peer / "bin" / "python"
    if not python.exists():
        venv.create(PEERS / peer, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *INSTALLED[peer]], check=True)
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


def _run(mode: str, *, table: Path, model: str) -> dict[str, Any]:
    if mode == OURS:
        command = [sys.executable, __file__, "--child", str(table), "--model", model]
    else:
        script = MODES[mode][1]
        python = _python("pymc" if mode == "pymc" else "lifetimes")
        command = [str(python), str(HERE / "peers" / script), str(table), mode, model]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{_title(mode):20s} {result['seconds']:8.3f} s", file=sys.stderr)
    return result | {"process_seconds": time.perf_counter() - start}


def _title(mode: str) -> str:
    return mode if mode == OURS else MODES[mode][0]


def _report(runs: dict[str, list[dict[str, Any]]], *, table: Path, model: str) -> None:
    import pyarrow.parquet as pq

    from headwater.numerics.rfm import compress

    module, params = _numerics(model)
    got = {name: pq.read_table(table)[name].to_numpy() for name in ("x", "t_x", "T")}
    rows, _ = compress(got["x"], t_x=got["t_x"], T=got["T"])
    own = median(r["seconds"] for r in runs[OURS])
    print(
        f"{rows.n_users:.0f} customers, {rows.x.size} distinct (x, t_x, T), {len(runs['headwater'])} rounds"
    )
    print(f"{'':20s} {'seconds':>8s} {'process':>8s} {'MiB':>6s} {'log-likelihood':>18s} {'times ours':>10s}")
    for mode, results in runs.items():
        seconds = median(r["seconds"] for r in results)
        whole = median(r["process_seconds"] for r in results)
        peak = median(r["peak_mib"] for r in results)
        value = module.log_likelihood(params(**results[0]["params"]), rows=rows)
        print(
            f"{_title(mode):20s} {seconds:8.3f} {whole:8.3f} {peak:6.0f} {value:18.4f} {seconds / own:10.1f}"
        )
        print(f"{'':20s} {results[0]['params']}")
    grouping = median(r["seconds_grouping"] for r in runs[OURS])
    print(f"headwater: {grouping:.3f} s of {own:.3f} s is reading and grouping")
    faster = [_title(m) for m in runs if m != OURS and median(r["seconds"] for r in runs[m]) < own]
    print(f"faster than headwater: {', '.join(faster) or 'none'}")


if __name__ == "__main__":
    main()
