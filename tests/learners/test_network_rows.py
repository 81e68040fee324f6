"""Rows in passes: every one once, none before its window has ended, the same batches whether read again or kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from headwater.learners.network_rows import Feed, RowSource, learn_inputs, rises


def feed_of(source: RowSource, *, n_rows: int, buffer_rows: int, kept_bytes: int = 0) -> Feed:
    return Feed(
        source=source,
        inputs=learn_inputs(source),
        n_rows=n_rows,
        buffer_rows=buffer_rows,
        kept_bytes=kept_bytes,
    )


def test_a_shuffled_pass_holds_every_row_once(source_of: Callable[..., RowSource], simulate: Any) -> None:
    rows = simulate(3_300, seed=1).rows
    feed = feed_of(source_of(rows, group=400), n_rows=3_300, buffer_rows=1_000)
    held = list(feed.buffers(np.random.default_rng(1)))
    amounts = np.concatenate([b.amounts[:, 0] for b in held])
    wanted = rows["value_next_30d"].to_numpy().astype(np.float32)
    assert len(held) > 2
    assert not np.array_equal(amounts, wanted)
    np.testing.assert_array_equal(np.sort(amounts), np.sort(wanted))
    in_order = np.concatenate([b.amounts[:, 0] for b in feed.buffers()])
    np.testing.assert_array_equal(in_order, wanted)


def test_rows_read_again_and_rows_kept_come_in_the_same_batches(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    source = source_of(simulate(2_000, seed=2).rows, group=300)
    kept, read = (feed_of(source, n_rows=2_000, buffer_rows=700, kept_bytes=b) for b in (10**6, 0))
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(2):
        for a, b in zip(kept.buffers(one), read.buffers(other), strict=True):
            np.testing.assert_array_equal(a.amounts, b.amounts)
            np.testing.assert_array_equal(a.rows.numbers, b.rows.numbers)
            np.testing.assert_array_equal(a.rows.words, b.rows.words)
    assert kept._kept
    assert not read._kept


def test_a_pass_holds_no_more_than_a_buffer_and_a_group(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    feed = feed_of(source_of(simulate(5_000, seed=4).rows, group=250), n_rows=5_000, buffer_rows=1_000)
    assert max(b.n_rows for b in feed.buffers(np.random.default_rng(0))) < 1_250


def test_a_rung_counts_only_where_its_window_has_ended(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "cutoff": pa.array([10, 20, 25, 30, 20], pa.int32()),
            "bucket": [0, 1, 2, 3, 4],
            "x": [1.0, 2.0, 3.0, 4.0, 5.0],
            "value_next_7d": [1.0, 2.0, 3.0, None, 5.0],
            "value_next_14d": [2.0, 4.0, 6.0, None, None],
        }
    )
    pq.write_table(rows, tmp_path / "a.parquet")
    source = RowSource(
        files=(str(tmp_path / "a.parquet"),),
        numbers=("x",),
        words=(),
        targets=("value_next_7d", "value_next_14d"),
        latest=(25, 18),
        cutoffs=frozenset({10, 20, 25, 30}),
    )
    np.testing.assert_array_equal(
        source.every_target(), [[1.0, 2.0], [2.0, np.nan], [3.0, np.nan], [5.0, np.nan]]
    )
    assert source.table()["x"].to_pylist() == [1.0, 2.0, 3.0, 5.0]


def test_users_held_out_and_the_others_are_everybody_and_share_nobody(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    rows = simulate(2_000, seed=5).rows
    whole, held, others = (
        source_of(rows, **h).table()["x"].to_pylist() for h in ({}, {"only": (0, 5)}, {"without": (0, 5)})
    )
    assert sorted([*held, *others]) == sorted(whole)
    assert not set(held) & set(others)
    assert 0.15 < len(held) / len(whole) < 0.26  # 13 of 64 buckets


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=20))
def test_what_rungs_add_is_never_below_zero_and_adds_up_where_nothing_was_given_back(
    targets: list[list[float]],
) -> None:
    array = np.asarray(targets)
    got = rises(array)
    assert (got >= 0).all()
    climbing = np.maximum.accumulate(np.abs(array), axis=1)
    np.testing.assert_allclose(rises(climbing).sum(axis=1), climbing[:, -1], rtol=1e-9, atol=1e-9)
