"""Each network on one GPU beside the same on this machine's CPU: rows trained on in a second, and the loss reached.

Same rows, batches, passes and seed; on the GPU in bfloat16. Losses are those of rows of a later cutoff, which no
network learned from; they should agree within the noise of one seed. Needs a GPU, and says so where there is none.

    python benchmarks/networks_gpu.py [--rows 1000000] [--passes 4] [--threads 2]
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE / "out"
SAME_LOSS = 0.01  # nats per row; two seeds on a CPU differ by about 0.003

sys.path.insert(0, str(HERE / "peers"))


def main() -> None:
    """Train every network on both devices and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if (why := _missing()) is not None:
        print(f"not run: {why}")
        return
    import torch

    print(
        f"{given.rows:,} rows, {given.passes} passes; {torch.cuda.get_device_name()}, {given.threads} threads"
    )
    print(f"{'':14s} {'GPU rows/s':>12s} {'CPU rows/s':>12s} {'times':>6s} {'GPU loss':>9s} {'CPU loss':>9s}")
    for name in ("ziln", "buckets", "horizons"):
        gpu, cpu = (_train(name, given, device=d) for d in ("cuda", "cpu"))
        speeds = f"{gpu[0]:12,.0f} {cpu[0]:12,.0f} {gpu[0] / cpu[0]:6.2f}"
        same = "the same" if abs(gpu[1] - cpu[1]) < SAME_LOSS else "APART"
        print(f"{name:14s} {speeds} {gpu[1]:9.4f} {cpu[1]:9.4f}  {same}")


def _missing() -> str | None:
    if find_spec("torch") is None:
        return "PyTorch is not installed (make test-deep installs it)"
    import torch

    return None if torch.cuda.is_available() else "no GPU that PyTorch can use is in this machine"


def _train(name: str, given: argparse.Namespace, *, device: str) -> tuple[float, float]:
    """Rows a second of the passes after the first, and the loss of later rows."""
    import numpy as np

    from headwater.learners.network_buckets import BucketHead
    from headwater.learners.network_training import TrainingSettings, learn_network
    from headwater.learners.network_ziln import ZilnHead

    heads: dict[str, Any] = {"ziln": ZilnHead.of, "buckets": BucketHead.of, "horizons": ZilnHead.of}
    learn, later = _sources(given.rows, n_rungs=3 if name == "horizons" else 1)
    settings = TrainingSettings(threads=given.threads, device=device, patience=given.passes + 1)
    seconds: list[float] = []
    for k in (1, 1, given.passes):  # the first opens PyTorch's own libraries
        start = time.perf_counter()
        got = learn_network(
            learn,
            head_of=heads[name],
            settings=settings,
            rng=np.random.default_rng(1),
            passes=k,
            watched=later,
        )
        seconds.append(time.perf_counter() - start)
    return given.rows * (given.passes - 1) / (seconds[2] - seconds[1]), got.best_loss


def _sources(n: int, *, n_rungs: int) -> tuple[Any, Any]:
    """The drawn rows; for several rungs, the same outcome reached in steps."""
    import numpy as np
    import pyarrow.parquet as pq
    from ziln_rows import NUMBERS, TARGET, WORDS, draw

    from headwater.learners.network_rows import RowSource

    made: list[RowSource] = []
    for path in draw(OUT, n):
        targets, file = (TARGET,), path
        if n_rungs > 1:
            rows = pq.read_table(path)
            targets = tuple(f"value_next_{30 * (k + 1)}d" for k in range(n_rungs))
            file = path.with_name(f"{path.stem}_{n_rungs}.parquet")
            value, shares = (
                rows[TARGET].to_numpy(),
                np.random.default_rng(2).random((rows.num_rows, n_rungs - 1)),
            )
            for k, name in enumerate(targets[:-1]):
                rows = rows.append_column(
                    name, [value * np.sort(shares, axis=1)[:, k] * (shares[:, k] > 0.3)]
                )
            pq.write_table(rows, file, row_group_size=122_880)
        made.append(
            RowSource(
                files=(str(file),),
                numbers=NUMBERS,
                words=WORDS,
                targets=targets,
                latest=(1,) * len(targets),
                cutoffs=frozenset({0, 1}),
            )
        )
    return made[0], made[1]


if __name__ == "__main__":
    main()
