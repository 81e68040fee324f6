"""Gamma-Gamma against simulation with known truth and against finite differences.

Tolerances: Monte-Carlo means within 5 standard errors of the draws; a variance of 400,000 heavy-tailed
draws within 6%; estimates within 3 standard errors of the truth; a central difference of step 1e-5 to
1e-5 of the largest slope.
"""

import numpy as np
import pytest

from headwater.core.errors import DataError
from headwater.numerics import gamma_gamma
from headwater.numerics.gamma_gamma import (
    GammaGammaParams,
    SpendRows,
    check_finite_mean,
    draw_total_spend,
    expected_spend,
    fit,
    population_mean,
    total_spend_variance,
)

N_DRAWS = 400_000
TRUTH = GammaGammaParams(p=4.0, q=7.0, v=50.0)


def _customers(params, *, n, rng):
    x = rng.geometric(0.3, n).astype(float)
    nu = rng.gamma(params.q, 1 / params.v, n)
    return x, rng.gamma(params.p * x) / nu / x, nu


def test_parameters_are_recovered_within_three_standard_errors():
    x, z, _ = _customers(TRUTH, n=20_000, rng=np.random.default_rng(1))
    found = fit(SpendRows.of(x, z=z))
    assert found.converged
    assert (np.abs(found.params.as_array() - TRUTH.as_array()) < 3 * found.std_errors).all()


def test_heavy_tails_converge_and_are_diagnosed():
    truth = GammaGammaParams(p=3.0, q=0.4, v=5.0)
    x, z, _ = _customers(truth, n=5_000, rng=np.random.default_rng(2))
    found = fit(SpendRows.of(x, z=z))
    assert (np.abs(found.params.as_array() - truth.as_array()) < 3 * found.std_errors).all()
    assert [f.code for f in check_finite_mean(found.params)] == ["gamma_gamma.infinite_mean"]
    with pytest.raises(DataError, match=r"gamma_gamma\.infinite_mean"):
        expected_spend(found.params, x=[0, 3], z=[0, 10])
    assert (expected_spend(found.params, x=[1, 3], z=[5, 10]) > 0).all()


def test_expected_spend_against_simulated_customers_next_purchase():
    x, z, nu = _customers(TRUTH, n=N_DRAWS, rng=np.random.default_rng(3))
    error = np.random.default_rng(4).gamma(TRUTH.p, 1 / nu) - expected_spend(TRUTH, x=x, z=z)
    for group in (x == 1, x > 3, z > 40):
        assert abs(error[group].mean()) < 5 * error[group].std() / np.sqrt(group.sum())
    assert population_mean(TRUTH) == pytest.approx(4 * 50 / 6)
    assert expected_spend(TRUTH, x=0, z=0) == pytest.approx([population_mean(TRUTH)])


def test_total_spend_mean_and_variance_against_draws():
    rng = np.random.default_rng(5)
    x, z = np.array([0.0, 2.0, 10.0]), np.array([0.0, 30.0, 12.0])
    bought = rng.poisson(3.0, size=(N_DRAWS, 3))
    total = draw_total_spend(TRUTH, x=x, z=z, n_purchases=bought, rng=rng)
    mean = 3.0 * expected_spend(TRUTH, x=x, z=z)
    assert (np.abs(total.mean(axis=0) - mean) < 5 * total.std(axis=0) / np.sqrt(N_DRAWS)).all()
    spread = total_spend_variance(TRUTH, x=x, z=z, mean_purchases=3.0, purchase_variance=3.0)
    assert spread == pytest.approx(total.var(axis=0), rel=0.06)
    assert (total[bought == 0] == 0).all()


def test_a_spend_without_second_moment_has_infinite_variance():
    heavy = GammaGammaParams(p=1.0, q=1.5, v=5.0)
    got = total_spend_variance(heavy, x=[0, 5], z=[0, 2], mean_purchases=[1, 1], purchase_variance=[1, 1])
    assert np.isinf(got[0])
    assert np.isfinite(got[1])


@pytest.mark.parametrize("factors", [(1, 1, 1), (30, 0.05, 10), (0.02, 40, 0.1)])
def test_gradient_and_hessian_against_central_differences(factors):
    x, z, _ = _customers(TRUTH, n=500, rng=np.random.default_rng(6))
    design = gamma_gamma._Design.of(SpendRows.of(x, z=z))
    point = TRUTH.as_array() * factors
    at = gamma_gamma._evaluate(point, design=design)
    moves = 1e-5 * np.diag(point)
    up = [gamma_gamma._evaluate(point + m, design=design) for m in moves]
    down = [gamma_gamma._evaluate(point - m, design=design) for m in moves]
    slope = np.array([(u.value - d.value) / 2e-5 for u, d in zip(up, down, strict=True)])
    bend = np.array([(u.gradient - d.gradient) / 2e-5 for u, d in zip(up, down, strict=True)]) * point
    own, curved = point * at.gradient, np.outer(point, point) * at.hessian
    assert slope == pytest.approx(own, abs=1e-5 * np.abs(own).max() + 1e-4)
    assert bend == pytest.approx(curved, abs=1e-5 * np.abs(curved).max())


def test_weights_stand_for_repeated_rows():
    x, z, _ = _customers(TRUTH, n=300, rng=np.random.default_rng(7))
    times = np.arange(300) % 3 + 1
    weighted = fit(SpendRows.of(x, z=z, weights=times))
    repeated = fit(SpendRows.of(np.repeat(x, times), z=np.repeat(z, times)))
    assert weighted.params.as_array() == pytest.approx(repeated.params.as_array(), rel=1e-6)
    assert weighted.covariance == pytest.approx(repeated.covariance, rel=1e-4)


@pytest.mark.parametrize(("x", "z"), [([0], [5]), ([1], [0]), ([1], [-3]), ([1.5], [3]), ([1], [np.inf])])
def test_rows_without_positive_spend_are_refused(x, z):
    with pytest.raises(DataError, match=r"spend\.impossible"):
        SpendRows.of(x, z=z)
