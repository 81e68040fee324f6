"""Rows with a zero-inflated lognormal outcome and known truth, as a snapshot holds them: numbers, gaps, attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N_NUMBERS = 60
NUMBERS = tuple(f"number_{k}" for k in range(N_NUMBERS))
WORDS = ("channel", "country")
TARGET = "value_next_90d"
ROW_GROUP = 122_880


def draw(folder: Path, n: int) -> tuple[Path, Path]:
    """Rows to learn from, and a quarter as many of a later cutoff to be judged by; written once."""
    made = tuple(folder / f"ziln_{n}_{name}.parquet" for name in ("learn", "later"))
    if not all(p.exists() for p in made):
        folder.mkdir(exist_ok=True)
        for seed, (path, size) in enumerate(zip(made, (n, n // 4), strict=True)):
            rows = _rows(size, cutoff=seed, rng=np.random.default_rng(seed))
            pq.write_table(rows, path, row_group_size=ROW_GROUP, compression="zstd", compression_level=1)
    return made


def _rows(n: int, *, cutoff: int, rng: np.random.Generator) -> pa.Table:
    numbers = rng.gamma(0.7, 10.0, (n, N_NUMBERS))
    numbers[:, 1::4] = np.round(numbers[:, 1::4])
    signal = np.log1p(numbers[:, :20] / 10) - 0.45
    channel, country = rng.integers(0, 12, n), rng.integers(0, 60, n)
    lift = np.linspace(-0.6, 0.6, 12)[channel]
    logit = -1.5 + signal[:, :10].sum(axis=1) * 0.5 + lift + 0.6 * signal[:, 0] * signal[:, 1]
    mu = 2.5 + signal[:, 5:15].sum(axis=1) * 0.25 + np.linspace(-0.5, 0.5, 60)[country]
    paid = rng.random(n) < 1 / (1 + np.exp(-logit))
    amounts = np.where(paid, rng.lognormal(mu, 0.9), 0.0)
    gone = rng.random((n, 4)) < 0.3
    columns = {name: numbers[:, k] for k, name in enumerate(NUMBERS)}
    for k in range(4):
        columns[NUMBERS[-1 - k]] = np.where(gone[:, k], np.nan, numbers[:, -1 - k])
    return pa.table(
        {
            "cutoff": pa.array(np.full(n, cutoff, dtype=np.int32)),
            "bucket": rng.integers(0, 64, n),
            **columns,
            "channel": np.array([f"channel {c}" for c in range(12)])[channel],
            "country": np.array([f"country {c}" for c in range(60)])[country],
            TARGET: amounts,
        }
    )
