"""Moments of groups, against numpy on the rows themselves."""

import numpy as np
import pytest

from headwater.numerics.moments import of_rows, stacked

SUM_RTOL = 1e-12  # the same sums in another order
FAR_MEAN_RTOL = 1e-6  # a billion beside a spread of one leaves some ten digits of the spread


def _rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(size=(n, 3))


def test_moments_of_groups_are_numpys():
    rows, groups = _rows(500, 1), np.random.default_rng(2).integers(0, 4, 500)
    made = of_rows(rows, groups=groups, n_groups=5)
    for g in range(4):
        own = rows[groups == g]
        np.testing.assert_allclose(made.mean[g], own.mean(axis=0), rtol=SUM_RTOL)
        np.testing.assert_allclose(made.covariance()[g], np.cov(own, rowvar=False), rtol=SUM_RTOL)
    assert made.n[4] == 0
    assert not made.scatter[4].any()


def test_merged_groups_are_the_moments_of_all_their_rows():
    parts = [of_rows(_rows(n, n)) for n in (1, 2, 300, 41)]
    whole = stacked(parts).merged([0, 1, 0, 1], 2)
    for label, sizes in ((0, (1, 300)), (1, (2, 41))):
        rows = np.vstack([_rows(n, n) for n in sizes])
        np.testing.assert_allclose(whole.mean[label], rows.mean(axis=0), rtol=SUM_RTOL)
        np.testing.assert_allclose(whole.covariance()[label], np.cov(rows, rowvar=False), rtol=SUM_RTOL)


def test_a_mean_of_a_billion_leaves_the_spread_of_one():
    rng = np.random.default_rng(3)
    parts = [of_rows(1e9 + rng.normal(size=(1000, 1))) for _ in range(100)]
    spread = float(stacked(parts).pooled().covariance()[0, 0, 0])
    assert spread == pytest.approx(1.0, rel=4 * np.sqrt(2 / 100_000))


def test_combined_columns_are_those_of_the_combined_rows():
    rows, weights = _rows(200, 5), np.array([[1.0, 0.0], [-2.0, 1.0], [0.5, 0.0]])
    made, own = of_rows(rows).mapped(weights), of_rows(rows @ weights)
    np.testing.assert_allclose(made.mean, own.mean, rtol=SUM_RTOL)
    np.testing.assert_allclose(made.scatter, own.scatter, rtol=1e-10)


def test_a_group_of_one_has_no_spread():
    assert np.isnan(of_rows(np.ones((1, 2))).covariance()).all()
