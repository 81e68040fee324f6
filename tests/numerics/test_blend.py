"""Weights of a blend: against a grid search over the simplex, and against truths that are known."""

from __future__ import annotations

import numpy as np
import pytest

from headwater.numerics.blend import blend_weights

GRID = 0.005  # the step of the grid; the loss is flat near its minimum
RIGHT = 0.1  # 20,000 users, gamma outcomes: the weight of a true forecast has a standard error of about 0.02


def outcomes(n: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(20261130)
    truth = rng.gamma(0.5, 20.0, n)
    return truth, truth * rng.gamma(0.7, 1 / 0.7, n) * (rng.random(n) < 0.5) * 2, rng


def test_weights_against_a_grid_search_of_the_penalized_quasi_likelihood() -> None:
    truth, came, rng = outcomes(3_000)
    said = np.column_stack(
        [truth * rng.lognormal(0, 0.8, truth.size), truth * rng.lognormal(0, 0.5, truth.size)]
    )
    found = blend_weights(said, came)
    level, payers = came.mean(), np.count_nonzero(came)
    losses = {}
    for w in np.arange(0, 1 + GRID, GRID):
        mean = (said @ [w, 1 - w]) / level + 1e-6
        losses[w] = np.mean(mean - came / level * np.log(mean)) + 50 / payers * 2 * (w - 0.5) ** 2
    assert found[0] == pytest.approx(min(losses, key=losses.__getitem__), abs=2 * GRID)


def test_the_truth_beside_noise_takes_the_weight() -> None:
    truth, came, rng = outcomes()
    said = np.column_stack([truth, np.full(truth.size, came.mean()), rng.permutation(truth)])
    assert blend_weights(said, came)[0] > 1 - RIGHT


def test_two_equally_noisy_halves_share_it() -> None:
    truth, came, rng = outcomes()
    said = np.column_stack([truth * rng.gamma(2, 0.5, truth.size) for _ in range(2)])
    assert blend_weights(said, came) == pytest.approx([0.5, 0.5], abs=RIGHT)


def test_weights_are_shares_whatever_the_unit_and_the_order_of_users() -> None:
    truth, came, rng = outcomes(2_000)
    said = np.column_stack([truth, rng.gamma(1, 10, truth.size), -truth])
    weights = blend_weights(said, came)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    assert blend_weights(said * 1e6, came * 1e6) == pytest.approx(weights, abs=1e-6)
    order = rng.permutation(truth.size)
    assert blend_weights(said[order], came[order]) == pytest.approx(weights, abs=1e-4)


@pytest.mark.parametrize(
    ("said", "came"),
    [
        (np.zeros((5, 2)), np.ones(5)),
        (np.ones((5, 2)), np.zeros(5)),
        (np.ones((0, 2)), np.zeros(0)),
        (np.ones((5, 2)), np.full(5, -3.0)),
    ],
)
def test_without_anything_to_learn_from_weights_are_equal(said: np.ndarray, came: np.ndarray) -> None:
    assert blend_weights(said, came).tolist() == [0.5, 0.5]
