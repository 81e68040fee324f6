"""Shrinkage of groups, against Rubin's eight schools as Stan reports them, Monte Carlo, and simulation with known truth."""

import numpy as np
import pytest
from scipy import stats

from headwater.numerics.shrinkage import cochran_q, shrunk

SCHOOLS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])  # Rubin (1981)
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
MONTE_CARLO = 0.1  # five standard errors of 200,000 draws of a spread of 8
COVERS = 0.94  # at least, of 95% intervals over 400 x 8 effects


def test_eight_schools_against_gelman_et_al_2013_table_5_3():
    found = shrunk(SCHOOLS, ERRORS**2)
    medians = np.array([10, 8, 7, 8, 5, 6, 10, 8])  # of 200 simulations, printed whole: means lie within 1.7
    low, high = np.array([-2, -5, -11, -7, -9, -7, -1, -6]), np.array([31, 23, 19, 21, 18, 28, 26, 33])
    assert found is not None
    assert np.abs(found.value - medians).max() < 1.7
    assert np.abs(found.std_error - (high - low) / 4).max() < 2.5


def test_eight_schools_against_monte_carlo_of_the_same_posterior():
    rng = np.random.default_rng(6)
    grid = np.linspace(1e-3, 330, 100_000)
    v = ERRORS**2 + grid[:, None] ** 2
    center = (SCHOOLS / v).sum(axis=1) / (1 / v).sum(axis=1)
    log = -0.5 * (np.log(v).sum(axis=1) + np.log((1 / v).sum(axis=1)) + ((SCHOOLS - center[:, None]) ** 2 / v).sum(axis=1))  # fmt: skip
    p = np.exp(log - log.max())
    at = rng.choice(grid.size, size=200_000, p=p / p.sum())
    tau = grid[at]
    mu = rng.normal(center[at], np.sqrt(1 / (1 / v[at]).sum(axis=1)))
    own, shared = 1 / ERRORS**2, 1 / tau[:, None] ** 2
    theta = rng.normal((SCHOOLS * own + mu[:, None] * shared) / (own + shared), np.sqrt(1 / (own + shared)))
    found = shrunk(SCHOOLS, ERRORS**2)
    assert found is not None
    assert found.value == pytest.approx(theta.mean(axis=0), abs=MONTE_CARLO)
    assert found.std_error == pytest.approx(theta.std(axis=0), abs=MONTE_CARLO)
    assert (found.center, found.spread) == pytest.approx((mu.mean(), tau.mean()), abs=MONTE_CARLO)


def test_cochran_q_against_the_sum_over_pairs_brute_force():
    w = 1 / ERRORS**2
    pairs = w[:, None] * w * (SCHOOLS[:, None] - SCHOOLS) ** 2
    q, p = cochran_q(SCHOOLS, ERRORS**2)
    assert q == pytest.approx(pairs.sum() / 2 / w.sum(), rel=1e-12)
    assert p == pytest.approx(stats.chi2.sf(q, 7), rel=1e-12)


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_intervals_hold_and_errors_fall_simulation_with_known_truth(spread):
    rng = np.random.default_rng(7)
    inside, better = [], []
    errors = np.geomspace(0.3, 2, 8)
    for _ in range(400):
        truth = rng.normal(1, spread, 8)
        seen = rng.normal(truth, errors)
        found = shrunk(seen, errors**2)
        assert found is not None
        inside.append(np.abs(found.value - truth) < 1.96 * found.std_error)
        better.append(((found.value - truth) ** 2).sum() - ((seen - truth) ** 2).sum())
    assert np.mean(inside) > COVERS
    assert np.mean(better) < 0


def test_two_groups_are_too_few():
    assert shrunk(np.array([1.0, 2]), np.ones(2)) is None
