"""What a network sees of rows: against the same arithmetic on whole arrays, and for values it never saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.learners.network_inputs import FEWEST_OF_A_VALUE, restore_inputs
from headwater.learners.network_rows import RowSource, learn_inputs

SUMS = 2e-6  # encoded numbers are 32-bit, and none is larger than ten


def rows_of(x: list[float | None], channel: list[str | None]) -> pa.Table:
    n = len(x)
    return pa.table(
        {
            "cutoff": [0] * n,
            "bucket": [1] * n,
            "x": pa.array(x, pa.float64()),
            "z": pa.array([5.0] * n),
            "channel": pa.array(channel, pa.string()),
            "value_next_30d": [1.0] * n,
        }
    )


def test_scales_learned_in_small_pieces_are_those_of_the_whole_arrays(
    source_of: Callable[..., RowSource], simulate: Any
) -> None:
    rows = simulate(5_000, seed=1).rows
    inputs = learn_inputs(source_of(rows, group=777))
    got = inputs.encode(rows).numbers
    for at, column in enumerate(("x", "z")):
        values = rows[column].to_numpy()
        scaled = np.sign(values) * np.log1p(np.abs(values) / np.abs(values).mean())
        np.testing.assert_allclose(got[:, at], (scaled - scaled.mean()) / scaled.std(), rtol=0, atol=SUMS)


def test_the_unit_of_a_number_changes_nothing(source_of: Callable[..., RowSource], simulate: Any) -> None:
    rows = simulate(2_000, seed=2).rows
    cents = rows.set_column(rows.column_names.index("z"), "z", pa.array(rows["z"].to_numpy() * 100))
    one, other = (
        learn_inputs(source_of(r, name=n)).encode(r).numbers for n, r in (("a", rows), ("b", cents))
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=SUMS)


def test_a_missing_number_is_zero_and_marked_and_a_constant_one_is_nothing(
    source_of: Callable[..., RowSource],
) -> None:
    rows = rows_of([1.0, 2.0, None, 4.0], ["a"] * 4)
    inputs = learn_inputs(source_of(rows))
    got = inputs.encode(rows).numbers
    assert got.shape == (4, 3)
    assert got[2].tolist() == [0.0, 0.0, 1.0]
    assert got[:, 2].tolist() == [0, 0, 1, 0]
    assert (got[:, 1] == 0).all()


def test_numbers_beyond_what_was_learned_are_held_at_its_edge(source_of: Callable[..., RowSource]) -> None:
    inputs = learn_inputs(source_of(rows_of([-1.0, 2.0, 9.0], ["a"] * 3)))
    edge, beyond = (
        inputs.encode(rows_of(x, ["a", "a"])).numbers[:, 0] for x in ([-1.0, 9.0], [-1e12, 1e300])
    )
    assert edge.tolist() == beyond.tolist()


def test_rare_unseen_and_missing_values_have_indices_of_their_own(
    source_of: Callable[..., RowSource],
) -> None:
    often = ["b"] * FEWEST_OF_A_VALUE + ["a"] * (FEWEST_OF_A_VALUE + 1)
    learned = [*often, *["rare"] * (FEWEST_OF_A_VALUE - 1)]
    inputs = learn_inputs(source_of(rows_of([1.0] * len(learned), learned)))
    assert inputs.vocabularies == (("a", "b"),)
    asked = rows_of([1.0] * 5, ["a", "b", "rare", "never seen", None])
    assert inputs.encode(asked).words[:, 0].tolist() == [2, 3, 0, 0, 1]


def test_inputs_come_back_from_json(source_of: Callable[..., RowSource], simulate: Any) -> None:
    rows = simulate(500, seed=3).rows
    inputs = learn_inputs(source_of(rows))
    text = json.dumps(inputs.state(), allow_nan=False)
    again = restore_inputs(json.loads(text))
    assert json.dumps(again.state()) == text
    np.testing.assert_array_equal(again.encode(rows).numbers, inputs.encode(rows).numbers)
    np.testing.assert_array_equal(again.encode(rows).words, inputs.encode(rows).words)
