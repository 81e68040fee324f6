"""The error of totals of groups, against a published meta-analysis, brute force and simulation with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from headwater.numerics.totals import between_variance, reaches, standardized, tail_factors

EXACT = 1e-9
SIMULATED = 0.05  # 400 simulations: the standard error of the mean estimate is about 2%


def test_between_variance_against_the_equation_of_paule_and_mandel_solved_elsewhere():
    """Sum of w (y - weighted mean)^2 = k - 1 at the root, by SciPy's root finder."""
    rng = np.random.default_rng(61)
    v = rng.uniform(0.001, 0.05, 30)
    y = rng.normal(0.1, np.sqrt(v + 0.02))

    def q(tau2):
        w = 1 / (v + tau2)
        return np.sum(w * (y - np.average(y, weights=w)) ** 2) - 29

    found = between_variance(y, v, np.zeros(30, dtype=int))
    assert found == pytest.approx(optimize.brentq(q, 0, 1, xtol=1e-14), rel=1e-7)


def test_equal_variances_give_the_sample_variance_less_the_variance_within_by_hand():
    y, v = np.array([0.1, 0.3, -0.2, 0.4, 0.0]), np.full(5, 0.01)
    assert between_variance(y, v, np.zeros(5, dtype=int)) == pytest.approx(y.var(ddof=1) - 0.01, rel=1e-7)
    two = np.concatenate([y, y + 5.0])  # an origin whose totals are all off has a mean of its own
    assert between_variance(two, np.full(10, 0.01), np.repeat([0, 1], 5)) == pytest.approx(
        y.var(ddof=1) - 0.01, rel=1e-7
    )


def test_groups_that_differ_no_more_than_luck_have_no_variance_between_them():
    assert between_variance(np.array([0.1, -0.1, 0.05]), np.full(3, 0.5), np.zeros(3, dtype=int)) == 0
    assert between_variance(np.array([0.3, 0.1]), np.full(2, 0.01), np.array([0, 1])) == 0
    assert between_variance(np.zeros(4), np.zeros(4), np.zeros(4, dtype=int)) == 0


def test_between_variance_is_right_on_average_by_simulation():
    rng = np.random.default_rng(62)
    origins = np.repeat([0, 1, 2], 20)
    found = []
    for _ in range(400):
        v = rng.uniform(0.002, 0.05, 60)
        season = rng.normal(0, 0.2, 3)[origins]
        found.append(between_variance(season + rng.normal(0, np.sqrt(v + 0.03)), v, origins))
    assert np.mean(found) == pytest.approx(0.03, rel=SIMULATED)


def test_standardized_errors_are_distances_from_the_origins_mean():
    y, v = np.array([0.1, 0.3, 1.0, 2.0]), np.full(4, 0.04)
    found = standardized(y, v, np.array([0, 0, 1, 1]), between=0.05)
    np.testing.assert_allclose(found, np.array([-0.1, 0.1, -0.5, 0.5]) / 0.3, rtol=EXACT)


@pytest.mark.parametrize(("n", "known"), [(18, False), (19, True)])
def test_tail_factors_are_order_statistics_and_need_nineteen_groups_at_ninety_percent(n, known):
    factors = tail_factors(np.random.default_rng(1).permutation(np.arange(n, dtype=float)), level=0.9)
    assert factors == ((0.0, 18.0) if known else None)
    assert tail_factors(np.arange(99.0), level=0.9) == (4.0, 94.0)


def test_reaches_by_students_table():
    """t(0.95, 2) = 2.919986, t(0.95, 10) = 1.812461, z(0.95) = 1.644854: any printed table."""
    below, above = reaches(
        np.array([1000.0]), np.array([400.0]), common=(0.1, 2), between=(0.05, 10), level=0.9
    )
    expected = np.sqrt((2.919986 * 100) ** 2 + (1.812461 * 50) ** 2 + (1.644854 * 20) ** 2)
    assert below == above == pytest.approx(expected, rel=1e-6)
    own = np.sqrt(400 + 50**2)
    skewed = reaches(
        np.array([1000.0]),
        np.array([400.0]),
        common=(0.0, 2),
        between=(0.05, 10),
        level=0.9,
        factors=(-1.2, 2.5),
    )
    assert [float(side[0]) for side in skewed] == pytest.approx([1.2 * own, 2.5 * own])
    assert stats.t.ppf(0.95, 2) == pytest.approx(2.919986, rel=1e-6)
