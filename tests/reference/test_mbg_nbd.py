"""MBG/NBD against BTYDplus (published through lifetimes' tests), lifetimes 0.11.3 and scipy's hyp2f1 on CDNOW.

Tolerances: estimates printed to three digits are met to the digit, which an optimizer's stop moves by one unit;
forecasts from given parameters agree to 1e-7; holdout figures to the digit printed.
"""

import numpy as np
import pytest
from scipy.special import hyp2f1

from headwater.numerics.mbg_nbd import (
    MbgNbdParams,
    expected_for_new,
    expected_purchases,
    fit,
    log_likelihood,
    p_alive,
)
from headwater.numerics.rfm import RfmRows, compress

PUBLISHED = MbgNbdParams(r=0.525, alpha=6.183, a=0.891, b=1.614)
HISTORIES = {"x": [0, 1, 2, 5, 26], "t_x": [0, 10, 30.43, 20, 30.86], "T": [39, 39, 38.86, 35, 31]}


@pytest.fixture(scope="module")
def fitted(cdnow):
    rows, _ = compress(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)
    return fit(rows)


def test_mbg_nbd_parameters_against_btydplus(fitted):
    assert fitted.params.as_array() == pytest.approx([0.525, 6.183, 0.891, 1.614], abs=1e-3)
    assert fitted.converged
    assert fitted.boundary == ()
    assert (fitted.std_errors > 0).all()


def test_mbg_nbd_log_likelihood_against_the_product_formula(fitted, cdnow):
    """Each customer's density written out: E[lambda^x e^(-lambda t)] and E[(1-p)^x p] over Gamma and Beta."""
    from scipy.special import betaln, gammaln

    r, alpha, a, b = fitted.params.as_array()
    x, last, age = cdnow.x, cdnow.t_x, cdnow.T
    left = betaln(a + 1, b + x) - betaln(a, b) - (r + x) * np.log(alpha + last)
    stayed = betaln(a, b + x + 1) - betaln(a, b) - (r + x) * np.log(alpha + age)
    each = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + np.logaddexp(left, stayed)
    assert fitted.log_likelihood == pytest.approx(each.sum(), abs=1e-6)
    assert fitted.log_likelihood == pytest.approx(-9582.13, abs=0.01)


def test_mbg_nbd_p_alive_against_lifetimes():
    expected = [0.38934764866, 0.3800076099, 0.70620226512, 0.37806791743, 0.96556614414]
    assert p_alive(PUBLISHED, **HISTORIES) == pytest.approx(expected, abs=1e-8)


def test_mbg_nbd_conditional_expectation_against_lifetimes():
    expected = [0.15343944845, 0.41893870001, 1.26296062327, 1.53499867055, 19.45072265216]
    assert expected_purchases(PUBLISHED, **HISTORIES, horizon=39) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("t", [0.1, 1, 26, 78, 5000])
def test_mbg_nbd_expected_for_new_against_scipy_hyp2f1(t):
    r, alpha, a, b = PUBLISHED.as_array()
    series = hyp2f1(r, b + 1, a + b, t / (alpha + t))
    expected = b / (a - 1) * (1 - (alpha / (alpha + t)) ** r * series)
    assert expected_for_new(PUBLISHED, t=t) == pytest.approx([expected], rel=1e-8)


def test_mbg_nbd_holdout_of_cdnow_against_lifetimes(fitted, cdnow):
    got = expected_purchases(fitted.params, x=cdnow.x, t_x=cdnow.t_x, T=cdnow.T, horizon=39)
    assert got.sum() == pytest.approx(1576.7, abs=0.1)
    assert np.abs(got - cdnow.holdout).mean() == pytest.approx(0.7648, abs=1e-4)


def test_mbg_nbd_weeks_and_days_are_one_model(fitted, cdnow):
    days = fit(RfmRows.of(cdnow.x, t_x=cdnow.t_x * 7, T=cdnow.T * 7))
    in_days = fitted.rescale(7)
    assert days.params.as_array() == pytest.approx(in_days.params.as_array(), rel=1e-6)
    assert days.log_likelihood == pytest.approx(in_days.log_likelihood, abs=1e-6)


def test_mbg_nbd_survives_dropout_parameters_near_zero_as_in_lifetimes_issue_55():
    """Nobody leaves: a runs to 0. Totals hold and nothing is infinite."""
    rng = np.random.default_rng(2)
    x = rng.poisson(5.0, 500).astype(float)
    last = np.where(x > 0, 50 * rng.random(500) ** (1 / np.maximum(x, 1)), 0.0)
    found = fit(RfmRows.of(x, t_x=last, T=np.full(500, 50.0)))
    mean = expected_purchases(found.params, x=x, t_x=last, T=np.full(500, 50.0), horizon=50)
    assert mean.sum() == pytest.approx(x.sum(), rel=0.05)


def test_mbg_nbd_survives_the_overflow_of_lifetimes_issue_332():
    huge = MbgNbdParams(r=0.2, alpha=50.0, a=0.5, b=2.0)
    rows = RfmRows.of([900.0], t_x=[1.0], T=[900.0])
    assert np.isfinite(log_likelihood(huge, rows=rows))
    assert 0 <= p_alive(huge, x=[900.0], t_x=[1.0], T=[900.0])[0] < 1e-300
