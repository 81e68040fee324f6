"""Adjusted means, against regressions on the rows themselves and simulations with known truth."""

import numpy as np
import pytest

from headwater.numerics.adjusted import adjusted_means
from headwater.numerics.moments import Moments, of_rows

ROWS_RTOL = 1e-9  # the same least squares by rows and by moments
SE_RTOL = 0.02  # HC1 on rows knows the third moments too; what they add falls with the root of n
COVERAGE_OF = (0.93, 0.966)  # 95% in 2000 trials: 4 standard errors of 0.49% below, and 3.3 above


def _rows(n: int, seed: int, *, slope: float, effect: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, size=(n, 2))
    y = effect + slope * x[:, 0] - x[:, 1] + rng.normal(size=n) * (0.5 + x[:, 0])
    return np.column_stack([y, x])


def _by_strata(rows: np.ndarray, strata: np.ndarray, n_strata: int) -> Moments:
    return of_rows(rows, groups=strata, n_groups=n_strata)


def test_means_by_one_stratum_are_those_of_a_regression_with_interactions():
    arms = [_rows(30_000, 1, slope=1.0, effect=0.0), _rows(70_000, 2, slope=2.0, effect=0.3)]
    every = np.vstack(arms)
    found = adjusted_means([of_rows(a) for a in arms], of_rows(every), n_outcomes=1)
    center = every[:, 1:].mean(axis=0)
    for i, rows in enumerate(arms):
        design = np.column_stack([np.ones(len(rows)), rows[:, 1:] - center])
        fitted = np.linalg.lstsq(design, rows[:, 0], rcond=None)[0]
        left = rows[:, 0] - design @ fitted
        bread = np.linalg.inv(design.T @ design)
        hc1 = (bread @ (design.T * left**2) @ design @ bread)[0, 0] * len(rows) / (len(rows) - 3)
        shared = fitted[1:] @ np.cov(every[:, 1:], rowvar=False) @ fitted[1:] / len(every)
        assert found.means[i, 0] == pytest.approx(fitted[0], rel=ROWS_RTOL)
        assert found.covariance[i, i, 0, 0] == pytest.approx(hc1 + shared, rel=SE_RTOL)
        assert found.df[i] == len(rows) - 3


def test_strata_alone_are_post_stratification_by_hand():
    rng = np.random.default_rng(3)
    strata = [rng.integers(0, 3, n) for n in (200, 340)]
    arms = [(rng.normal(size=s.size) + s * 2.0)[:, None] for s in strata]
    parts = [_by_strata(a, s, 3) for a, s in zip(arms, strata, strict=True)]
    every = _by_strata(np.vstack(arms), np.concatenate(strata), 3)
    found = adjusted_means(parts, every, n_outcomes=1)
    share = every.n / every.n.sum()
    by = np.stack([[a[s == k].mean() for k in range(3)] for a, s in zip(arms, strata, strict=True)])
    np.testing.assert_allclose(found.means[:, 0], by @ share, rtol=ROWS_RTOL)
    spread = [
        sum(share[k] ** 2 * a[s == k].var(ddof=1) / (s == k).sum() for k in range(3))
        for a, s in zip(arms, strata, strict=True)
    ]
    shared = np.cov(by, aweights=None, fweights=every.n.astype(int)) / every.n.sum()
    np.testing.assert_allclose(found.covariance[..., 0, 0], shared + np.diag(spread), rtol=ROWS_RTOL)


def test_a_covariate_twice_is_one_covariate():
    rows = _rows(200, 4, slope=1.0, effect=0.0)
    twice = np.column_stack([rows, rows[:, 1] * 3 + 2, np.ones(200)])
    once, again = (
        adjusted_means([of_rows(r[:90]), of_rows(r[90:])], of_rows(r), n_outcomes=1) for r in (rows, twice)
    )
    np.testing.assert_allclose(again.means, once.means, rtol=1e-7)
    np.testing.assert_allclose(again.covariance, once.covariance, rtol=1e-7)
    np.testing.assert_array_equal(again.df, once.df)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_error_holds_in_simulated_experiments_with_unequal_arms_and_uneven_spread(share: float):
    rng = np.random.default_rng(5)
    n, trials, effect = 600, 2000, 0.25
    inside = 0
    for _ in range(trials):
        x = rng.gamma(2.0, size=n)
        treated = rng.permutation(n) < n * share
        y = x + treated * (effect + 0.7 * (x - 2.0)) + rng.normal(size=n) * (0.2 + x)
        rows = np.column_stack([y, x])
        found = adjusted_means([of_rows(rows[~treated]), of_rows(rows[treated])], of_rows(rows), n_outcomes=1)
        cov = found.covariance[..., 0, 0]
        error = np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
        inside += abs(found.means[1, 0] - found.means[0, 0] - effect) < 1.96 * error
    assert COVERAGE_OF[0] < inside / trials < COVERAGE_OF[1]
