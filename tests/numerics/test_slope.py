"""Slopes of estimates, against generalized and weighted least squares written out, and simulation."""

import numpy as np
import pytest

from headwater.numerics.slope import known_slope, robust_slope

RTOL = 1e-10
DRAWS = 2000
BOUNDS = (0.038, 0.063)  # of a 5% test in 2,000 draws: 2.5 standard errors each way, rounded


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def test_inverse_variance_weights_against_generalized_least_squares_brute_force(rng):
    x, variance = np.arange(12.0), rng.uniform(0.5, 3, 12)
    y = 2 - 0.3 * x + rng.normal(size=12)
    design = np.c_[np.ones(12), x]
    gram = np.linalg.inv(design.T @ (design / variance[:, None]))
    intercept, slope = gram @ design.T @ (y / variance)
    found = known_slope(x, y, variance=variance, weight=1 / variance)
    assert found is not None
    assert (found.intercept, found.slope) == pytest.approx((intercept, slope), rel=RTOL)
    assert found.std_error == pytest.approx(np.sqrt(gram[1, 1]), rel=RTOL)


def test_hc3_against_the_sandwich_written_out_brute_force(rng):
    x, w = rng.normal(size=30), rng.uniform(1, 5, 30)
    y = 1 + 0.2 * x + rng.normal(size=30) * (1 + abs(x))
    design = np.c_[np.ones(30), x] * np.sqrt(w)[:, None]
    gram = np.linalg.inv(design.T @ design)
    beta = gram @ design.T @ (y * np.sqrt(w))
    left = y * np.sqrt(w) - design @ beta
    hat = np.einsum("ij,jk,ik->i", design, gram, design)
    meat = design.T @ (design * ((left / (1 - hat)) ** 2)[:, None])
    found = robust_slope(x, y, weight=w)
    assert found is not None
    assert found.slope == pytest.approx(beta[1], rel=RTOL)
    assert found.std_error == pytest.approx(np.sqrt((gram @ meat @ gram)[1, 1]), rel=RTOL)


def test_error_rates_simulation_with_known_truth(rng):
    x, spread, weight = np.linspace(0, 1, 30), np.linspace(0.5, 3, 30), np.ones(30)
    rows = [rng.normal(size=30) * spread for _ in range(DRAWS)]
    known = np.mean([known_slope(x, y, variance=spread**2, weight=weight).p_value < 0.05 for y in rows])
    robust = np.mean([robust_slope(x, y, weight=weight).p_value < 0.05 for y in rows])
    assert BOUNDS[0] < known < BOUNDS[1]
    assert BOUNDS[0] < robust < BOUNDS[1]


def test_no_slope_where_nothing_varies():
    same = np.ones(5)
    assert known_slope(same, np.arange(5.0), variance=same, weight=same) is None
    assert robust_slope(same, np.arange(5.0), weight=same) is None
