"""MBG/CNBD-k against MBG/NBD (k = 1), integration over lambda and p, and customers simulated gap by gap.

Tolerances: estimates within 3 standard errors of the truth and within BTYDplus's 10%, totals within its 5% (seed
fixed: one draw, not many tries); simulated means within 5 standard errors; integrals to 1e-7 of the integrator; a
central difference of step 1e-5 is good to 1e-5 of the largest slope.
"""

from functools import partial

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import gammaln

from headwater.numerics import beta_geometric, erlang, mbg_cnbd_k, mbg_nbd
from headwater.numerics.mbg_cnbd_k import MbgCnbdKParams
from headwater.numerics.rfm import RfmRows

STANDARD_ERRORS = 5.0
ROUNDING = 1e-14  # of a mean that is a sum of terms of size 1
BTYDPLUS = MbgCnbdKParams(k=3, r=0.85, alpha=1.45, a=0.79, b=2.42)
STEADY = MbgCnbdKParams(k=4, r=1.4, alpha=2.0, a=0.8, b=2.4)
HISTORIES = {"x": [0, 1, 3, 20], "t_x": [0, 5, 12, 29], "T": [30, 30, 30, 30]}


@pytest.fixture(scope="module")
def shoppers():
    rng = np.random.default_rng(8)
    ages = 52 - rng.integers(0, 20, 8000).astype(float)
    x, last = mbg_cnbd_k.simulate(BTYDPLUS, T=ages, rng=rng)
    return RfmRows.of(x, t_x=last, T=ages)


def test_one_phase_is_mbg_nbd(shoppers):
    plain = mbg_nbd.fit(shoppers)
    one = mbg_cnbd_k.fit(shoppers, k=1)
    assert one.params.as_array() == pytest.approx(plain.params.as_array(), rel=1e-12)
    assert one.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)
    same = MbgCnbdKParams(k=1, r=0.6, alpha=3.0, a=0.8, b=2.4)
    other = mbg_nbd.MbgNbdParams(r=0.6, alpha=3.0, a=0.8, b=2.4)
    for ask in ("expected_purchases", "probability_of_any_purchase"):
        got = getattr(mbg_cnbd_k, ask)(same, **HISTORIES, horizon=52)
        assert got == pytest.approx(getattr(mbg_nbd, ask)(other, **HISTORIES, horizon=52), rel=1e-12)


def test_simulated_parameters_and_totals_are_recovered_as_btydplus_asks(shoppers):
    found = mbg_cnbd_k.fit(shoppers)
    truth = BTYDPLUS.as_array()
    assert found.converged
    assert found.params.k == 3
    assert (np.abs(found.params.as_array() - truth) < 3 * found.std_errors).all()
    assert found.params.as_array() == pytest.approx(truth, rel=0.1)
    ages, count = np.unique(shoppers.T, return_counts=True)
    expected = np.array([mbg_cnbd_k.expected_for_new(found.params, t=age)[0] for age in ages])
    assert (expected * count).sum() == pytest.approx(shoppers.x.sum(), rel=0.05)


@pytest.mark.parametrize(("x", "last", "age"), [(0, 0.0, 30.0), (1, 12.0, 30.0), (4, 28.0, 30.0)])
def test_likelihood_of_a_history_against_integration_over_rate_and_dropout(x, last, age):
    """Given lambda and p, t_x is a gamma time, and the silence after it is no longer than a gap, or he left."""
    params = STEADY

    def over_rate(ask):
        density = stats.gamma(params.r, scale=1 / params.alpha).pdf
        return integrate.quad(lambda v: ask(v) * density(v), 0, 40, epsabs=0, epsrel=1e-9, limit=200)[0]

    def over_p(ask):
        density = stats.beta(params.a, params.b).pdf
        return integrate.quad(lambda v: ask(v) * density(v), 0, 1, epsabs=0, epsrel=1e-9, limit=200)[0]

    def seen(rate):
        return stats.gamma.pdf(last, params.k * x, scale=1 / rate) if x else 1.0

    def waited(rate):
        return seen(rate) * stats.poisson.cdf(params.k - 1, rate * (age - last))

    total = over_p(lambda p: (1 - p) ** x * p) * over_rate(seen)
    total += over_p(lambda p: (1 - p) ** (x + 1)) * over_rate(waited)
    under_one = gammaln(x) - (x - 1) * np.log(last) if x else 0.0  # gaps given (x, t_x): uniform order
    rows = RfmRows.of([x], t_x=[last], T=[age])
    assert mbg_cnbd_k.log_likelihood(params, rows=rows) == pytest.approx(np.log(total) + under_one, rel=1e-6)


@pytest.mark.parametrize("params", [BTYDPLUS, STEADY, MbgCnbdKParams(k=2, r=0.7, alpha=3.0, a=1.0, b=3.0)])
def test_forecast_given_history_against_customers_simulated_gap_by_gap(params):
    """Cut at 26 of 78 weeks; posteriors are not used."""
    rng = np.random.default_rng(3)
    n, cut, end = 60_000, 26.0, 78.0
    rate, leaves = rng.gamma(params.r, 1 / params.alpha, n), rng.beta(params.a, params.b, n)
    early, late, last, clock = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    stays = rng.random(n) >= leaves
    active, alive = stays.copy(), stays.copy()
    while active.any():
        clock[active] += rng.gamma(params.k, size=active.sum()) / rate[active]
        active &= clock < end
        now = active & (clock <= cut)
        early[now] += 1
        last[now] = clock[now]
        late[active & (clock > cut)] += 1
        active &= rng.random(n) >= leaves
        alive[now] = active[now]
    rows = {"x": early, "t_x": last, "T": np.full(n, cut)}
    errors = {
        "mean": late - mbg_cnbd_k.expected_purchases(params, **rows, horizon=end - cut),
        "any": (late > 0) - mbg_cnbd_k.probability_of_any_purchase(params, **rows, horizon=end - cut),
        "alive": alive - mbg_cnbd_k.p_alive(params, **rows),
    }
    for group in (early == 0, early == 1, early == 2, early > 2, last > 20, (early > 0) & (last < 10)):
        for error in errors.values():
            assert abs(error[group].mean()) < STANDARD_ERRORS * error[group].std() / np.sqrt(group.sum())


@pytest.mark.parametrize("params", [BTYDPLUS, STEADY])
def test_expectation_and_probability_against_draws(params):
    drawn = mbg_cnbd_k.draw_future_purchases(
        params, **HISTORIES, horizon=52, rng=np.random.default_rng(1), n_draws=200_000
    )
    for sample, value in (
        (drawn, mbg_cnbd_k.expected_purchases(params, **HISTORIES, horizon=52)),
        (drawn > 0, mbg_cnbd_k.probability_of_any_purchase(params, **HISTORIES, horizon=52)),
    ):
        assert (np.abs(sample.mean(axis=0) - value) < STANDARD_ERRORS * sample.std(axis=0) / 447).all()


@pytest.mark.parametrize("phases", [1, 2, 3, 5, 12])
@pytest.mark.parametrize(("a", "b"), [(0.8, 2.4), (0.02, 0.03), (1.0, 300.0), (50.0, 0.5)])
def test_mean_purchases_against_the_sum_over_counts(phases, a, b):
    """sum over n of P(G >= n) P(phases >= nk - over), term by term until nothing is left."""
    n = np.arange(1, 4000)
    stays = np.exp(gammaln(b + n - 1) - gammaln(b) - gammaln(a + b + n - 1) + gammaln(a + b))
    for over in {0, phases - 1}:
        chance = stats.nbinom.sf(n * phases - over - 1, 6.0, 1 / (1 + 0.4))
        got = erlang.mean_purchases(
            np.array([6.0]), reach=np.array([0.4]), a=a, b=np.array([b]), phases=phases, over=over
        )
        assert got[0] == pytest.approx((stays * chance).sum(), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("factors", [(1, 1, 1, 1), (30, 0.01, 1, 50), (0.01, 100, 5, 0.01)])
def test_gradient_and_hessian_against_central_differences(factors):
    rng = np.random.default_rng(5)
    ages = rng.uniform(20, 80, 500)
    x, last = mbg_cnbd_k.simulate(STEADY, T=ages, rng=rng)
    family = beta_geometric.Family.of(RfmRows.of(x, t_x=last, T=ages), like=STEADY)
    evaluate = partial(beta_geometric.evaluate, family=family)
    point = STEADY.as_array() * factors
    at = evaluate(point)
    moves = 1e-5 * np.diag(point)
    up, down = [evaluate(point + m) for m in moves], [evaluate(point - m) for m in moves]
    slope = np.array([(u.value - d.value) / 2e-5 for u, d in zip(up, down, strict=True)])
    bend = np.array([(u.gradient - d.gradient) / 2e-5 for u, d in zip(up, down, strict=True)]) * point
    own, curved = point * at.gradient, np.outer(point, point) * at.hessian
    assert slope == pytest.approx(own, abs=1e-5 * np.abs(own).max() + 1e-4)
    assert bend == pytest.approx(curved, abs=1e-5 * np.abs(curved).max())


@pytest.mark.parametrize("scale", [1e-6, 1e9])
def test_any_unit_of_time_gives_one_k_and_one_forecast(scale, shoppers):
    few = RfmRows.of(shoppers.x[:2000], t_x=shoppers.t_x[:2000], T=shoppers.T[:2000])
    other = RfmRows.of(few.x, t_x=few.t_x * scale, T=few.T * scale)
    one, two = mbg_cnbd_k.fit(few), mbg_cnbd_k.fit(other)
    assert one.params.k == two.params.k
    assert two.log_likelihood == pytest.approx(one.rescale(scale).log_likelihood, rel=1e-9)
    means = [
        mbg_cnbd_k.expected_purchases(f.params, x=r.x, t_x=r.t_x, T=r.T, horizon=10 * s)
        for f, r, s in ((one, few, 1.0), (two, other, scale))
    ]
    assert means[1] == pytest.approx(means[0], rel=1e-6)


@pytest.mark.parametrize("k", [2, 3, 12])
def test_extremes_are_finite_and_within_range(k):
    params = MbgCnbdKParams(k=k, r=0.6, alpha=3.0, a=0.8, b=2.4)
    rows = {
        "x": [0, 0, 1, 5000, 5000, 1],
        "t_x": [0, 0, 0, 1e-6, 1e5, 1e5],
        "T": [0, 1e5, 1e5, 1e5, 1e5, 1e5],
    }
    alive = mbg_cnbd_k.p_alive(params, **rows)
    assert ((alive >= 0) & (alive <= 1)).all()
    horizons = [1e-6, 0.1, 1, 7, 30, 90, 365, 1e4]
    means = np.array([mbg_cnbd_k.expected_purchases(params, **rows, horizon=h) for h in horizons])
    shares = np.array([mbg_cnbd_k.probability_of_any_purchase(params, **rows, horizon=h) for h in horizons])
    assert np.isfinite(means).all()
    assert (np.diff(means, axis=0) >= -ROUNDING).all()
    assert (np.diff(shares, axis=0) >= 0).all()
    assert (shares <= alive + 1e-12).all()
    assert (means >= shares - 1e-9).all()
    listed = RfmRows.of(rows["x"], t_x=rows["t_x"], T=rows["T"])
    assert np.isfinite(mbg_cnbd_k.log_likelihood(params, rows=listed))
