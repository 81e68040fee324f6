"""Totals of parts from a sample: they add up, and are right on average (Monte Carlo), nearer than a plain expansion."""

from __future__ import annotations

import numpy as np
import pytest

from headwater.numerics.attribution import regression_total

EXACT = 1e-9
FAR = 4  # standard errors of a mean of 400 draws; in both directions for each of four parts


def test_parts_of_a_sample_add_up_to_the_total_and_are_right_on_average() -> None:
    rng = np.random.default_rng(5)
    parts = rng.normal(size=(5_000, 4)) * [1.0, 0.3, 2.0, 0.1] + [0.2, 0.0, -0.3, 0.05]
    total = float(parts.sum())
    told, plain = np.empty((400, 4)), np.empty((400, 4))
    for k in range(400):
        sample = parts[rng.choice(5_000, 500, replace=False)]
        told[k] = regression_total(sample, n_all=5_000, total=total)
        plain[k] = sample.mean(axis=0) * 5_000
    np.testing.assert_allclose(told.sum(axis=1), total, rtol=EXACT, atol=EXACT * 5_000)
    off = told.mean(axis=0) - parts.sum(axis=0)
    assert (np.abs(off) < FAR * told.std(axis=0) / np.sqrt(400)).all()
    assert told[:, 2].std() < 0.6 * plain[:, 2].std()


def test_all_rows_give_the_sums_themselves_and_equal_rows_add_up() -> None:
    parts = np.array([[1.0, -2.0], [3.0, 0.5]])
    np.testing.assert_array_equal(regression_total(parts, n_all=2, total=2.5), [4.0, -1.5])
    same = regression_total(np.full((3, 2), 0.5), n_all=10, total=12.0)
    assert same.sum() == pytest.approx(12.0)
    assert (regression_total(np.empty((0, 2)), n_all=0, total=0.0) == 0).all()
