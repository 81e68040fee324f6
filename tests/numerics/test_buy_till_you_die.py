"""BG/NBD, MBG/NBD and Pareto/NBD against simulation with known truth and against finite differences.

Tolerances: Monte-Carlo means lie within 5 standard errors of the draws, variances within 4% of 400,000
draws; estimates within 3 standard errors of the truth (seed fixed: one draw, not many tries); a central
difference of step 1e-5 is good to 1e-5 of the largest slope.
"""

from functools import partial

import numpy as np
import pytest

from headwater.core.errors import DataError
from headwater.numerics import beta_geometric, bg_nbd, mbg_nbd, pareto_nbd
from headwater.numerics.either_first import PairedRows
from headwater.numerics.rfm import RfmRows, compress

N_DRAWS = 400_000
STANDARD_ERRORS = 5.0
BG = (bg_nbd, bg_nbd.BgNbdParams(r=0.6, alpha=3.0, a=0.8, b=2.4))
BG_AT_ONE = (bg_nbd, bg_nbd.BgNbdParams(r=0.6, alpha=3.0, a=1.0, b=2.4))
MBG = (mbg_nbd, mbg_nbd.MbgNbdParams(r=0.6, alpha=3.0, a=0.8, b=2.4))
MBG_AT_ONE = (mbg_nbd, mbg_nbd.MbgNbdParams(r=0.6, alpha=3.0, a=1.0, b=2.4))
PARETO = (pareto_nbd, pareto_nbd.ParetoNbdParams(r=0.55, alpha=10.0, s=0.6, beta=11.0))
PARETO_AT_ONE = (pareto_nbd, pareto_nbd.ParetoNbdParams(r=0.55, alpha=3.0, s=1.0, beta=30.0))
PARETO_AT_TWO = (pareto_nbd, pareto_nbd.ParetoNbdParams(r=0.55, alpha=3.0, s=2.0, beta=60.0))
ALL = [BG, BG_AT_ONE, MBG, MBG_AT_ONE, PARETO, PARETO_AT_ONE, PARETO_AT_TWO]
ONE_EACH = [BG, MBG, PARETO]
HISTORIES = {"x": [0, 1, 3, 20], "t_x": [0, 5, 12, 29], "T": [30, 30, 30, 30]}


def _five_se(sample):
    return STANDARD_ERRORS * sample.std(axis=0) / np.sqrt(sample.shape[0])


@pytest.mark.parametrize(("model", "params"), ALL)
def test_expectation_probability_and_variance_against_draws(model, params):
    drawn = model.draw_future_purchases(
        params, **HISTORIES, horizon=52, rng=np.random.default_rng(1), n_draws=N_DRAWS
    )
    mean = model.expected_purchases(params, **HISTORIES, horizon=52)
    assert (np.abs(drawn.mean(axis=0) - mean) < _five_se(drawn)).all()
    any_purchase = model.probability_of_any_purchase(params, **HISTORIES, horizon=52)
    assert (np.abs((drawn > 0).mean(axis=0) - any_purchase) < _five_se(drawn > 0)).all()
    assert model.purchase_variance(params, **HISTORIES, horizon=52) == pytest.approx(
        drawn.var(axis=0), rel=0.04
    )


@pytest.mark.parametrize(("model", "params"), ALL)
def test_expected_for_new_against_simulated_customers(model, params):
    x, _ = model.simulate(params, T=np.full(N_DRAWS, 52.0), rng=np.random.default_rng(2))
    assert abs(x.mean() - model.expected_for_new(params, t=52)[0]) < _five_se(x)


@pytest.mark.parametrize(("model", "params"), ONE_EACH)
def test_forecast_given_history_against_simulated_futures(model, params):
    """Customers are simulated for 78 weeks one purchase at a time and cut at 26: posteriors are not used."""
    rng = np.random.default_rng(3)
    early, late, last = _life_stories(model, params, n=60_000, cut=26.0, end=78.0, rng=rng)
    rows = {"x": early, "t_x": last, "T": np.full(early.size, 26.0)}
    mean = model.expected_purchases(params, **rows, horizon=52)
    for group in (early == 0, early == 1, early == 2, early > 2, last > 20):
        error = (late - mean)[group]
        assert abs(error.mean()) < _five_se(error)
    share = (late > 0) - model.probability_of_any_purchase(params, **rows, horizon=52)
    assert abs(share.mean()) < _five_se(share)


def _life_stories(model, params, *, n, cut, end, rng):
    rate = rng.gamma(params.r, 1 / params.alpha, n)
    if model is not pareto_nbd:
        leaves, death = rng.beta(params.a, params.b, n), np.full(n, np.inf)
    else:
        leaves, death = np.zeros(n), rng.exponential(size=n) / rng.gamma(params.s, 1 / params.beta, n)
    early, late, last, clock = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    active = rng.random(n) >= leaves if model is mbg_nbd else np.ones(n, dtype=bool)
    while active.any():
        clock[active] += rng.exponential(size=active.sum()) / rate[active]
        active &= clock < np.minimum(end, death)
        now = active & (clock <= cut)
        early[now] += 1
        last[now] = clock[now]
        late[active & (clock > cut)] += 1
        active &= rng.random(n) >= leaves
    return early, late, last


@pytest.mark.parametrize(("model", "params"), ONE_EACH)
def test_parameters_are_recovered_within_three_standard_errors(model, params):
    rng = np.random.default_rng(4)
    ages = rng.uniform(20, 80, 20_000)
    x, last = model.simulate(params, T=ages, rng=rng)
    found = model.fit(RfmRows.of(x, t_x=last, T=ages))
    assert found.converged
    assert (np.abs(found.params.as_array() - params.as_array()) < 3 * found.std_errors).all()
    assert found.log_likelihood >= model.log_likelihood(params, rows=RfmRows.of(x, t_x=last, T=ages))


@pytest.mark.parametrize(("model", "params"), ONE_EACH)
@pytest.mark.parametrize("factors", [(1, 1, 1, 1), (30, 0.01, 1, 50), (0.01, 100, 5, 0.01), (1, 1, 300, 300)])
def test_gradient_and_hessian_against_central_differences(model, params, factors):
    rng = np.random.default_rng(5)
    ages = rng.uniform(20, 80, 500)
    x, last = model.simulate(params, T=ages, rng=rng)
    evaluate = _evaluation(model, params, RfmRows.of(x, t_x=last, T=ages))
    point = params.as_array() * factors
    at = evaluate(point)
    moves = 1e-5 * np.diag(point)
    up = [evaluate(point + m) for m in moves]
    down = [evaluate(point - m) for m in moves]
    slope = np.array([(u.value - d.value) / 2e-5 for u, d in zip(up, down, strict=True)])
    bend = np.array([(u.gradient - d.gradient) / 2e-5 for u, d in zip(up, down, strict=True)]) * point
    own, curved = point * at.gradient, np.outer(point, point) * at.hessian
    assert slope == pytest.approx(own, abs=1e-5 * np.abs(own).max() + 1e-4)
    assert bend == pytest.approx(curved, abs=1e-5 * np.abs(curved).max())


def _evaluation(model, params, rows):
    if model is pareto_nbd:
        return partial(pareto_nbd._evaluate, rows=PairedRows.of(rows))
    return partial(beta_geometric.evaluate, family=beta_geometric.Family.of(rows, like=params))


@pytest.mark.parametrize("model", [bg_nbd, mbg_nbd, pareto_nbd])
def test_customers_who_never_leave_put_the_dropout_parameters_at_a_boundary(model):
    rng = np.random.default_rng(6)
    x = rng.poisson(rng.gamma(2.0, 1.0, 3000) * 5).astype(float)
    last = np.where(x > 0, 50 * rng.random(3000) ** (1 / np.maximum(x, 1)), 0.0)
    found = model.fit(RfmRows.of(x, t_x=last, T=np.full(3000, 50.0)))
    assert found.converged
    assert set(found.vague) & set(found.names[2:])
    assert found.params.r == pytest.approx(2.0, rel=0.1)
    mean = model.expected_purchases(found.params, x=x, t_x=last, T=np.full(3000, 50.0), horizon=50)
    assert np.isfinite(mean).all()
    assert mean.sum() == pytest.approx(x.sum(), rel=0.03)
    assert np.isfinite(found.covariance).all()


@pytest.mark.parametrize("model", [bg_nbd, mbg_nbd, pareto_nbd])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_any_unit_of_time_gives_one_forecast(model, scale):
    params = dict(ONE_EACH)[model]
    rng = np.random.default_rng(7)
    ages = rng.uniform(20, 80, 2000)
    x, last = model.simulate(params, T=ages, rng=rng)
    base = model.fit(RfmRows.of(x, t_x=last, T=ages))
    other = model.fit(RfmRows.of(x, t_x=last * scale, T=ages * scale))
    one = model.expected_purchases(base.params, x=x, t_x=last, T=ages, horizon=10)
    two = model.expected_purchases(other.params, x=x, t_x=last * scale, T=ages * scale, horizon=10 * scale)
    assert two == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize(("model", "params"), ALL)
def test_extremes_are_finite_and_within_range(model, params):
    rows = {
        "x": [0, 0, 1, 5000, 5000, 1],
        "t_x": [0, 0, 0, 1e-6, 1e5, 1e5],
        "T": [0, 1e5, 1e5, 1e5, 1e5, 1e5],
    }
    alive = model.p_alive(params, **rows)
    mean = model.expected_purchases(params, **rows, horizon=1e4)
    spread = model.purchase_variance(params, **rows, horizon=1e4)
    any_purchase = model.probability_of_any_purchase(params, **rows, horizon=1e4)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert ((any_purchase >= 0) & (any_purchase <= alive + 1e-12)).all()
    assert np.isfinite(mean).all()
    assert (mean >= any_purchase - 1e-9).all()
    assert np.isfinite(spread).all()
    listed = RfmRows.of(rows["x"], t_x=rows["t_x"], T=rows["T"])
    assert np.isfinite(model.log_likelihood(params, rows=listed))


@pytest.mark.parametrize(("model", "params"), ALL)
def test_forecasts_grow_with_the_horizon(model, params):
    horizons = [1e-6, 0.1, 1, 7, 30, 90, 365, 1e4]
    means = np.array([model.expected_purchases(params, **HISTORIES, horizon=h) for h in horizons])
    shares = np.array([model.probability_of_any_purchase(params, **HISTORIES, horizon=h) for h in horizons])
    assert (np.diff(means, axis=0) > 0).all()
    assert (np.diff(shares, axis=0) >= 0).all()


def test_compress_groups_continuous_times_and_keeps_given_weights():
    x, last, ages = [2, 2, 0, 2], [1.25, 1.25, 0, 1.5], [3.7, 3.7, 3.7, 3.7]
    rows, inverse = compress(x, t_x=last, T=ages, weights=[1, 2, 3, 4])
    assert sorted(rows.weights) == [3, 3, 4]
    assert np.array_equal(rows.x[inverse], x)
    assert np.array_equal(rows.t_x[inverse], last)
    assert np.array_equal(rows.T[inverse], ages)


@pytest.mark.parametrize(
    ("x", "t_x", "T", "code"),
    [
        ([], [], [], "rfm.shape"),
        ([1, 2], [1], [2], "rfm.shape"),
        ([1.5], [1], [2], "rfm.impossible"),
        ([1], [3], [2], "rfm.impossible"),
        ([0], [1], [2], "rfm.impossible"),
        ([np.nan], [1], [2], "rfm.impossible"),
    ],
)
def test_rows_that_cannot_have_happened_are_refused(x, t_x, T, code):
    with pytest.raises(DataError) as caught:
        RfmRows.of(x, t_x=t_x, T=T)
    assert caught.value.finding.code == code


@pytest.mark.parametrize("model", [bg_nbd, mbg_nbd, pareto_nbd])
def test_nobody_observed_after_the_first_purchase_can_be_forecast_but_not_learned_from(model):
    params = dict(ONE_EACH)[model]
    assert 0 < model.p_alive(params, x=[0], t_x=[0], T=[0])[0] <= 1
    with pytest.raises(DataError, match=r"rfm\.no_time"):
        model.fit(RfmRows.of([0], t_x=[0], T=[0]))
