"""Rows with a known truth, in Parquet files of small row groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from headwater.learners.network_rows import RowSource

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Simulated:
    """Zero-inflated lognormal amounts: ``p``, ``mu`` and ``sigma`` of each row are known."""

    rows: pa.Table
    amounts: Floats
    p: Floats
    mu: Floats
    sigma: Floats


def simulated(n_rows: int, *, seed: int) -> Simulated:
    """Two numbers (one often missing) and a channel move the chance, the location and the spread."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n_rows), rng.gamma(1.0, 20.0, n_rows)
    channel = rng.choice(["ads", "search", "friend"], n_rows)
    p = 1 / (1 + np.exp(0.4 - x))
    mu = 2.0 + 0.5 * x + np.where(channel == "friend", 0.8, 0.0) + 0.2 * np.log1p(z / 20)
    sigma = np.where(channel == "ads", 1.0, 0.5)
    amounts = np.where(rng.random(n_rows) < p, rng.lognormal(mu, sigma), 0.0)
    rows = pa.table(
        {
            "cutoff": pa.array(np.zeros(n_rows, dtype=np.int32)),
            "bucket": pa.array(rng.integers(0, 64, n_rows)),
            "x": x,
            "z": z,
            "channel": channel,
            "value_next_30d": amounts,
        }
    )
    return Simulated(rows=rows, amounts=amounts, p=p, mu=mu, sigma=sigma)


@pytest.fixture
def source_of(tmp_path: Path) -> Callable[..., RowSource]:
    """A source over a table written in row groups of a given size."""

    def made(rows: pa.Table, *, group: int = 1_000, name: str = "rows", **rest: Any) -> RowSource:
        path = tmp_path / f"{name}.parquet"
        pq.write_table(rows, path, row_group_size=group)
        targets = tuple(c for c in rows.column_names if "_next_" in c)
        return RowSource(
            files=(str(path),),
            numbers=("x", "z"),
            words=("channel",),
            targets=targets,
            latest=(0,) * len(targets),
            cutoffs=frozenset({0}),
            **rest,
        )

    return made


@pytest.fixture
def simulate() -> Callable[..., Simulated]:
    return simulated
