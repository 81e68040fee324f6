"""GGom/NBD against customers simulated purchase by purchase, draws, finite differences and known parameters.

Tolerances: simulated means within 5 standard errors; variances within 4% of 200,000 draws; estimates within 3
standard errors of the truth (seed fixed); a central difference of step 1e-5 is good to 1e-5 of the largest slope.
"""

import numpy as np
import pytest

from headwater.numerics import ggom_nbd
from headwater.numerics.either_first import PairedRows
from headwater.numerics.ggom_nbd import GgomNbdParams
from headwater.numerics.rfm import RfmRows, compress

STANDARD_ERRORS = 5.0
N_DRAWS = 200_000
AGING = GgomNbdParams(r=0.8, alpha=8.0, b=0.08, s=0.6, beta=4.0)
LIKE_PARETO = GgomNbdParams(r=0.55, alpha=10.0, b=0.001, s=0.6, beta=0.011)
HISTORIES = {"x": [0, 1, 3, 20], "t_x": [0, 5, 12, 29], "T": [30, 30, 30, 30]}


@pytest.mark.parametrize("params", [AGING, LIKE_PARETO])
def test_expectation_probability_and_variance_against_draws(params):
    drawn = ggom_nbd.draw_future_purchases(
        params, **HISTORIES, horizon=52, rng=np.random.default_rng(1), n_draws=N_DRAWS
    )
    root = np.sqrt(N_DRAWS)
    mean = ggom_nbd.expected_purchases(params, **HISTORIES, horizon=52)
    assert (np.abs(drawn.mean(axis=0) - mean) < STANDARD_ERRORS * drawn.std(axis=0) / root).all()
    any_purchase = ggom_nbd.probability_of_any_purchase(params, **HISTORIES, horizon=52)
    assert (np.abs((drawn > 0).mean(axis=0) - any_purchase) < STANDARD_ERRORS * 0.5 / root).all()
    assert ggom_nbd.purchase_variance(params, **HISTORIES, horizon=52) == pytest.approx(
        drawn.var(axis=0), rel=0.04
    )


def test_forecast_given_history_against_customers_simulated_purchase_by_purchase():
    """Cut at 26 of 78 weeks, on whole days; posteriors are not used."""
    rng = np.random.default_rng(3)
    n, cut, end = 60_000, 26 * 7, 78 * 7
    params = AGING.rescale(7)
    rate = rng.gamma(params.r, 1 / params.alpha, n)
    death = np.log1p(rng.exponential(size=n) / rng.gamma(params.s, 1 / params.beta, n)) / params.b
    early, late, last, clock = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    active = np.ones(n, dtype=bool)
    while active.any():
        clock[active] += rng.exponential(size=active.sum()) / rate[active]
        active &= clock < np.minimum(end, death)
        now = active & (clock <= cut)
        early[now] += 1
        last[now] = clock[now]
        late[active & (clock > cut)] += 1
    rows = {"x": early, "t_x": np.round(last), "T": np.full(n, float(cut))}
    errors = [
        late - ggom_nbd.expected_purchases(params, **rows, horizon=end - cut),
        (late > 0) - ggom_nbd.probability_of_any_purchase(params, **rows, horizon=end - cut),
        (death > cut) - ggom_nbd.p_alive(params, **rows),
    ]
    for group in (early == 0, early == 1, early == 2, early > 2, last > 20 * 7):
        for error in errors:
            assert abs(error[group].mean()) < STANDARD_ERRORS * error[group].std() / np.sqrt(group.sum())


def test_expected_for_new_against_simulated_customers():
    x, _ = ggom_nbd.simulate(AGING, T=np.full(N_DRAWS, 52.0), rng=np.random.default_rng(2))
    error = abs(x.mean() - ggom_nbd.expected_for_new(AGING, t=52)[0])
    assert error < STANDARD_ERRORS * x.std() / np.sqrt(N_DRAWS)


def test_parameters_are_recovered_within_three_standard_errors():
    """Ages are whole quarters and times whole weeks of a slow buyer, so that there are few distinct histories."""
    rng = np.random.default_rng(4)
    truth = AGING.rescale(10)
    ages = 13.0 * rng.integers(15, 60, 8000)
    x, last = ggom_nbd.simulate(truth, T=ages, rng=rng)
    rows, _ = compress(x, t_x=np.minimum(np.round(last), ages), T=ages)
    found = ggom_nbd.fit(rows)
    assert found.converged
    assert (np.abs(found.params.as_array() - truth.as_array()) < 3 * found.std_errors).all()


@pytest.mark.parametrize("params", [AGING, LIKE_PARETO])
@pytest.mark.parametrize("factors", [(1, 1, 1, 1, 1), (30, 0.01, 1, 5, 0.1), (0.01, 100, 5, 0.1, 50)])
def test_gradient_and_hessian_against_central_differences(params, factors):
    rng = np.random.default_rng(5)
    ages = rng.uniform(20, 80, 200)
    x, last = ggom_nbd.simulate(params, T=ages, rng=rng)
    rows = PairedRows.of(RfmRows.of(x, t_x=last, T=ages))
    point = params.as_array() * factors
    at = ggom_nbd._evaluate(point, rows=rows)
    moves = 1e-5 * np.diag(point)
    up = [ggom_nbd._evaluate(point + m, rows=rows) for m in moves]
    down = [ggom_nbd._evaluate(point - m, rows=rows) for m in moves]
    slope = np.array([(u.value - d.value) / 2e-5 for u, d in zip(up, down, strict=True)])
    bend = np.array([(u.gradient - d.gradient) / 2e-5 for u, d in zip(up, down, strict=True)]) * point
    own, curved = point * at.gradient, np.outer(point, point) * at.hessian
    assert slope == pytest.approx(own, abs=1e-5 * np.abs(own).max() + 1e-4)
    assert bend == pytest.approx(curved, abs=1e-5 * np.abs(curved).max())


@pytest.mark.parametrize(
    "params", [AGING, LIKE_PARETO, GgomNbdParams(r=0.6, alpha=3.0, b=2.0, s=9.0, beta=1e4)]
)
def test_extremes_are_finite_and_within_range(params):
    rows = {
        "x": [0, 0, 1, 5000, 5000, 1],
        "t_x": [0, 0, 0, 1e-6, 1e5, 1e5],
        "T": [0, 1e5, 1e5, 1e5, 1e5, 1e5],
    }
    alive = ggom_nbd.p_alive(params, **rows)
    assert ((alive >= 0) & (alive <= 1)).all()
    horizons = [1e-6, 0.1, 1, 7, 30, 90, 365, 1e4]
    means = np.array([ggom_nbd.expected_purchases(params, **rows, horizon=h) for h in horizons])
    assert np.isfinite(means).all()
    assert (np.diff(means, axis=0) >= 0).all()
    spread = ggom_nbd.purchase_variance(params, **rows, horizon=1e4)
    assert np.isfinite(spread).all()
    listed = RfmRows.of(rows["x"], t_x=rows["t_x"], T=rows["T"])
    assert np.isfinite(ggom_nbd.log_likelihood(params, rows=listed))
