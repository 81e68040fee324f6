"""The ZILN network: rows trained on in a second, Headwater from Parquet beside plain PyTorch from a pandas frame.

Rows have 60 numbers (four with gaps), two attributes and a zero-inflated lognormal outcome. Layers, batches, passes
and learning rates are the same; every run is a process of its own, the peer in an environment of its own, rounds
interleaved. "seconds" go from opening the file to a trained network (imports left out); "rows/s" are those of the
passes alone, ours as the difference of a run with all passes and one with a single pass. The loss is minus the
log-likelihood of a row of a later cutoff, in the same unit for all. "reread" keeps no encoded rows between passes, as
where they take more than a gigabyte.

    python benchmarks/ziln_network.py [--rows 1000000] [--passes 4] [--rounds 3] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import venv
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PEER = HERE / ".peers" / "ziln"
OUT = HERE / "out"
MODES = ("headwater", "headwater reread", "pytorch loader", "pytorch tensors")

sys.path.insert(0, str(HERE / "peers"))


def main() -> None:
    """Draw, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", choices=["kept", "reread"])
    given = parser.parse_args()
    if find_spec("torch") is None:
        print("not run: PyTorch is not installed (make test-deep installs it)")
        return
    if given.child:
        print(json.dumps(_headwater(given)))
        return
    from ziln_rows import draw

    draw(OUT, given.rows)
    python = _peer_python()
    runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for _ in range(given.rounds):
        for mode in MODES:
            runs[mode].append(_run(mode, given, python=python))
    _report(runs, given)


def _peer_python() -> Path:
    python = PEER / "bin" / "python"
    if not python.exists():
        venv.create(PEER, with_pip=True)
        wanted = ["torch==2.13.0", "pandas", "pyarrow"]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
    return python


def _headwater(given: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import torch
    from ziln_rows import NUMBERS, TARGET, WORDS, draw

    from headwater.learners.network_rows import RowSource
    from headwater.learners.network_training import TrainingSettings, learn_network
    from headwater.learners.network_ziln import ZilnHead

    n, passes = given.rows, given.passes
    learn, later = (
        RowSource(
            files=(str(path),),
            numbers=NUMBERS,
            words=WORDS,
            targets=(TARGET,),
            latest=(1,),
            cutoffs=frozenset({0, 1}),
        )
        for path in draw(OUT, n)
    )
    settings = TrainingSettings(threads=given.threads, device="cpu")
    if given.child == "reread":
        settings = replace(settings, kept_bytes=0)
    seconds: list[float] = []
    busy: list[float] = []
    for k in (1, 1, passes):  # the first opens PyTorch's own libraries
        start, began = time.perf_counter(), time.process_time()
        got = learn_network(
            learn, head_of=ZilnHead.of, settings=settings, rng=np.random.default_rng(1), passes=k
        )
        seconds.append(time.perf_counter() - start)
        busy.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    blocks = got.network.outputs(later.table())
    tensors = tuple(torch.from_numpy(b) for b in blocks)
    loss = got.network.head.loss(tensors, torch.from_numpy(later.every_target())).mean()
    return {
        "seconds": seconds[2],
        "rows_per_second": n * (passes - 1) / (seconds[2] - seconds[1]),
        "rows_per_cpu_second": n * (passes - 1) / (busy[2] - busy[1]),
        "loss": float(loss),
        "peak_mib": peak,
    }


def _run(mode: str, given: argparse.Namespace, *, python: Path) -> dict[str, Any]:
    from ziln_rows import TARGET, draw

    from headwater.learners.network_training import TrainingSettings

    passes, threads = str(given.passes), str(given.threads)
    if mode.startswith("headwater"):
        rest = ["--rows", str(given.rows), "--passes", passes, "--threads", threads]
        command = [sys.executable, __file__, "--child", "reread" if "reread" in mode else "kept", *rest]
    else:
        batch = str(TrainingSettings().batch_for(given.rows))
        files = [str(p) for p in draw(OUT, given.rows)]
        kind = mode.split()[1]
        peer = str(HERE / "peers" / "ziln_pytorch.py")
        command = [str(python), peer, *files, kind, batch, passes, threads, TARGET]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{mode:16s} {result['seconds']:8.2f} s  loss {result['loss']:.4f}", file=sys.stderr)
    return result


def _report(runs: dict[str, list[dict[str, Any]]], given: argparse.Namespace) -> None:
    print(
        f"{given.rows:,} rows x 62 columns, {given.passes} passes, {given.threads} threads, {given.rounds} rounds"
    )
    print(
        f"{'':16s} {'seconds':>8s} {'rows/s':>10s} {'ours':>6s} {'rows/CPU-s':>10s} {'ours':>6s} {'loss':>8s} {'MiB':>7s}"
    )
    keys = ("seconds", "rows_per_second", "rows_per_cpu_second", "loss", "peak_mib")
    figures = {mode: {k: median(r[k] for r in results) for k in keys} for mode, results in runs.items()}
    own = figures["headwater"]
    for mode, f in figures.items():
        wall, cpu = (own[k] / f[k] for k in ("rows_per_second", "rows_per_cpu_second"))
        print(
            f"{mode:16s} {f['seconds']:8.2f} {f['rows_per_second']:10,.0f} {wall:6.2f}"
            f" {f['rows_per_cpu_second']:10,.0f} {cpu:6.2f} {f['loss']:8.4f} {f['peak_mib']:7.0f}"
        )


if __name__ == "__main__":
    main()
