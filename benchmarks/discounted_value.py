"""Discounted value of a million customers over 12 months, headwater and lifetimes; and 100 bootstrap refits of BG/NBD.

Customers are drawn from BG/NBD (CDNOW-like parameters, days), each observed for 180 to 400 days and with a mean
spend. Both sides take the same parameters and discount each month's purchases at its end, as
``customer_lifetime_value`` of lifetimes does; headwater also discounts day by day over a year, and for ever.
Every run is a process of its own, peers in an environment of their own; rounds are interleaved. Seconds count from
having the columns in memory to having a value for each customer. The largest difference between the two sides'
values is printed. Refits are resamples of all customers on the table of distinct histories.

    python benchmarks/discounted_value.py [--customers 1000000] [--rounds 3] [--refits 100]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from headwater.numerics.rfm import RfmRows

HERE = Path(__file__).parent
PEER = HERE / ".peers" / "lifetimes"
OUT = HERE / "out"
MODES = ("headwater months", "headwater year", "headwater for ever", "headwater refits", "lifetimes months")
PARAMS = {"r": 0.243, "alpha": 4.414 * 7, "a": 0.793, "b": 2.426}
MONTHLY, DAILY = 0.01, 0.12 / 365


def main() -> None:
    """Draw, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--refits", type=int, default=100)
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(_headwater(given.child[0], Path(given.child[1]), refits=given.refits)))
        return
    table = _draw(given.customers)
    python = _peer_python()
    runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for _ in range(given.rounds):
        for mode in MODES:
            runs[mode].append(_run(mode, table=table, python=python, refits=given.refits))
    _report(runs, customers=given.customers, refits=given.refits)


def _draw(n: int) -> Path:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headwater.numerics.bg_nbd import BgNbdParams, simulate

    rng = np.random.default_rng(20261130)
    age = rng.integers(180, 401, n).astype(np.float64)
    x, last = simulate(BgNbdParams(**PARAMS), T=age, rng=rng)
    OUT.mkdir(exist_ok=True)
    path = OUT / f"discounted_value_{n}.parquet"
    columns = {"x": x, "t_x": np.minimum(np.ceil(last), age), "T": age, "spend": rng.gamma(4.0, 8.0, n)}
    pq.write_table(pa.table(columns), path)
    return path


def _peer_python() -> Path:
    python = PEER / "bin" / "python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "lifetimes==0.11.3", "pyarrow"], check=True)
    return python


def _headwater(mode: str, path: Path, *, refits: int) -> dict[str, Any]:
    import numpy as np
    import pyarrow.parquet as pq

    from headwater.numerics.discounting import by_period, continuous, for_ever
    from headwater.numerics.rfm import RfmRows

    table = pq.read_table(path)
    x, t_x, T, spend = (table[name].to_numpy() for name in ("x", "t_x", "T", "spend"))
    work: dict[str, Callable[[RfmRows], np.ndarray]] = {
        "months": lambda users: _purchases(users, by_period(MONTHLY, period=30.0, periods=12)),
        "year": lambda users: _purchases(users, continuous(DAILY, horizon=365.0)),
        "for ever": lambda users: _purchases(users, for_ever(DAILY)),
        "refits": lambda users: _refits(users, refits),
    }
    start, cpu = time.perf_counter(), time.process_time()
    got = work[mode](RfmRows.of(x, t_x=t_x, T=T))
    value = got * spend if got.size == spend.size else got
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    if mode == "months":
        np.save(OUT / "value_headwater.npy", value)
    return {"seconds": seconds, "cpu": cpu, "total": float(value.sum())}


def _purchases(users: RfmRows, schedule: Any) -> np.ndarray:
    from headwater.numerics.bg_nbd import BgNbdParams, expected_purchases
    from headwater.numerics.discounting import discounted_purchases

    params = BgNbdParams(**PARAMS)
    return discounted_purchases(
        lambda of, horizon: expected_purchases(params, x=of.x, t_x=of.t_x, T=of.T, horizon=horizon),
        users=users,
        schedule=schedule,
    )


def _refits(users: RfmRows, refits: int) -> np.ndarray:
    import numpy as np

    from headwater.numerics.bg_nbd import fit
    from headwater.numerics.inference import bootstrap_fits
    from headwater.numerics.rfm import compress

    rows, _ = compress(users.x, t_x=users.t_x, T=users.T)
    drawn = bootstrap_fits(fit, rows=rows, fit=fit(rows), resamples=refits, rng=np.random.default_rng(1))
    return drawn.as_array()


def _run(mode: str, *, table: Path, python: Path, refits: int) -> dict[str, Any]:
    side, _, what = mode.partition(" ")
    if side == "headwater":
        command = [sys.executable, __file__, "--refits", str(refits), "--child", what, str(table)]
    else:
        command = [str(python), str(HERE / "peers" / "lifetimes_value.py"), str(table), json.dumps(PARAMS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{mode:20s} {result['seconds']:8.3f} s", file=sys.stderr)
    return result


def _report(runs: dict[str, list[dict[str, Any]]], *, customers: int, refits: int) -> None:
    import numpy as np

    own = median(r["seconds"] for r in runs["headwater months"])
    print(f"{customers} customers, {len(next(iter(runs.values())))} rounds, {refits} refits")
    print(f"{'':20s} {'seconds':>8s} {'CPU':>8s} {'total':>18s} {'times ours':>10s}")
    for mode, results in runs.items():
        seconds = median(r["seconds"] for r in results)
        cpu = median(r["cpu"] for r in results)
        print(f"{mode:20s} {seconds:8.3f} {cpu:8.3f} {results[0]['total']:18.2f} {seconds / own:10.1f}")
    one, other = np.load(OUT / "value_headwater.npy"), np.load(OUT / "value_lifetimes.npy")
    known = np.isfinite(other)
    off = np.abs(one[known] - other[known]) / np.maximum(np.abs(other[known]), 1e-12)
    print(
        f"largest relative difference of a customer's value: {off.max():.1e}; lifetimes gave {(~known).sum()} NaN"
    )


if __name__ == "__main__":
    main()
