"""BG/BB against the sum of the paper, customers simulated day by day, draws and finite differences.

Tolerances: simulated means within 5 standard errors; variances within 4% of 200,000 draws; estimates within 3
standard errors of the truth (seed fixed); a central difference of step 1e-5 is good to 1e-5 of the largest slope.
"""

import numpy as np
import pytest
from scipy.special import betaln, logsumexp

from headwater.core.errors import DataError
from headwater.numerics import bg_bb
from headwater.numerics.bg_bb import BgBbParams
from headwater.numerics.either_first import PairedRows
from headwater.numerics.rfm import RfmRows, compress

STANDARD_ERRORS = 5.0
N_DRAWS = 200_000
TRUTH = BgBbParams(alpha=0.4, beta=8.0, gamma=0.6, delta=20.0)
OFTEN = BgBbParams(alpha=2.0, beta=1.0, gamma=1.0, delta=30.0)
HISTORIES = {"x": [0, 1, 3, 20], "t_x": [0, 5, 12, 29], "T": [30, 30, 30, 30]}


def shoppers(params, *, n, seed, low=20, high=81):
    rng = np.random.default_rng(seed)
    ages = rng.integers(low, high, n).astype(float)
    x, last = bg_bb.simulate(params, T=ages, rng=rng)
    return compress(x, t_x=last, T=ages)[0]


@pytest.mark.parametrize("params", [TRUTH, OFTEN, BgBbParams(alpha=50.0, beta=1e-3, gamma=1e-4, delta=1e3)])
def test_likelihood_against_the_sum_of_the_paper(params):
    """Equation 5: alive at n, or gone after one of the opportunities from t_x on."""
    alpha, beta, gamma, delta = params.as_array()
    for x, last, n in ((0, 0, 0), (0, 0, 9), (1, 5, 5), (3, 12, 30), (20, 29, 30), (30, 30, 30)):
        gone = np.arange(last, n)
        terms = [betaln(alpha + x, beta + n - x) + betaln(gamma, delta + n)]
        terms += (betaln(alpha + x, beta + gone - x) + betaln(gamma + 1, delta + gone)).tolist()
        expected = logsumexp(terms) - betaln(alpha, beta) - betaln(gamma, delta)
        rows = RfmRows.of([x, 0], t_x=[last, 0], T=[n, 0])  # a customer with no opportunity adds nothing
        assert bg_bb.log_likelihood(params, rows=rows) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("params", [TRUTH, OFTEN])
def test_expectation_probability_and_variance_against_draws(params):
    drawn = bg_bb.draw_future_purchases(
        params, **HISTORIES, horizon=52, rng=np.random.default_rng(1), n_draws=N_DRAWS
    )
    root = np.sqrt(N_DRAWS)
    mean = bg_bb.expected_purchases(params, **HISTORIES, horizon=52)
    assert (np.abs(drawn.mean(axis=0) - mean) < STANDARD_ERRORS * drawn.std(axis=0) / root).all()
    any_purchase = bg_bb.probability_of_any_purchase(params, **HISTORIES, horizon=52)
    assert (np.abs((drawn > 0).mean(axis=0) - any_purchase) < STANDARD_ERRORS * 0.5 / root).all()
    assert bg_bb.purchase_variance(params, **HISTORIES, horizon=52) == pytest.approx(
        drawn.var(axis=0), rel=0.04
    )


def test_forecast_given_history_against_customers_simulated_day_by_day():
    rng = np.random.default_rng(3)
    n, cut, end = 60_000, 26, 78
    takes, leaves = rng.beta(0.4, 8.0, n), rng.beta(0.6, 20.0, n)
    early, late, last = np.zeros(n), np.zeros(n), np.zeros(n)
    there = np.ones(n, dtype=bool)
    for day in range(1, end + 1):
        there &= rng.random(n) >= leaves
        bought = there & (rng.random(n) < takes)
        early += bought & (day <= cut)
        late += bought & (day > cut)
        last[bought & (day <= cut)] = day
        if day == cut + 1:
            alive = there.copy()
    rows = {"x": early, "t_x": last, "T": np.full(n, float(cut))}
    errors = [
        late - bg_bb.expected_purchases(TRUTH, **rows, horizon=end - cut),
        (late > 0) - bg_bb.probability_of_any_purchase(TRUTH, **rows, horizon=end - cut),
        alive - bg_bb.p_alive(TRUTH, **rows),
    ]
    for group in (early == 0, early == 1, early > 1, last > 20, (early > 0) & (last < 10)):
        for error in errors:
            assert abs(error[group].mean()) < STANDARD_ERRORS * error[group].std() / np.sqrt(group.sum())


def test_expected_for_new_against_simulated_customers():
    x, _ = bg_bb.simulate(TRUTH, T=np.full(N_DRAWS, 52.0), rng=np.random.default_rng(2))
    error = abs(x.mean() - bg_bb.expected_for_new(TRUTH, t=52)[0])
    assert error < STANDARD_ERRORS * x.std() / np.sqrt(N_DRAWS)


def test_parameters_are_recovered_within_three_standard_errors():
    found = bg_bb.fit(shoppers(TRUTH, n=20_000, seed=4))
    assert found.converged
    assert (np.abs(found.params.as_array() - TRUTH.as_array()) < 3 * found.std_errors).all()


@pytest.mark.parametrize("factors", [(1, 1, 1, 1), (30, 0.01, 1, 50), (0.01, 100, 5, 0.01)])
def test_gradient_and_hessian_against_central_differences(factors):
    rows = PairedRows.of(shoppers(TRUTH, n=500, seed=5))
    point = TRUTH.as_array() * factors
    at = bg_bb._evaluate(point, rows=rows)
    moves = 1e-5 * np.diag(point)
    up = [bg_bb._evaluate(point + m, rows=rows) for m in moves]
    down = [bg_bb._evaluate(point - m, rows=rows) for m in moves]
    slope = np.array([(u.value - d.value) / 2e-5 for u, d in zip(up, down, strict=True)])
    bend = np.array([(u.gradient - d.gradient) / 2e-5 for u, d in zip(up, down, strict=True)]) * point
    own, curved = point * at.gradient, np.outer(point, point) * at.hessian
    assert slope == pytest.approx(own, abs=1e-5 * np.abs(own).max() + 1e-4)
    assert bend == pytest.approx(curved, abs=1e-5 * np.abs(curved).max())


def test_a_customer_can_take_no_more_than_every_opportunity():
    rows = {"x": [400, 0, 0], "t_x": [400, 0, 0], "T": [400, 400, 0]}
    for horizon in (1, 30, 365):
        mean = bg_bb.expected_purchases(OFTEN, **rows, horizon=horizon)
        any_purchase = bg_bb.probability_of_any_purchase(OFTEN, **rows, horizon=horizon)
        assert ((mean >= any_purchase - 1e-12) & (mean <= horizon)).all()


@pytest.mark.parametrize(("x", "t_x", "T"), [([1], [1.5], [3]), ([1], [1], [2.5]), ([3], [2], [4])])
def test_time_that_is_no_count_of_opportunities_is_refused(x, t_x, T):
    with pytest.raises(DataError, match=r"rfm\.not_opportunities"):
        bg_bb.fit(RfmRows.of(x, t_x=t_x, T=T))
