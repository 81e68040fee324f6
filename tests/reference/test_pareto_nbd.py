"""Pareto/NBD against the paper, CLVTools 0.12.1, BTYD (R), lifetimes 0.11.3 and mpmath at 40 digits.

Tolerances: printed numbers to the printed digit; CLVTools to 2e-4 of a parameter (its optimizer's stop);
forecasts from given parameters to 1e-7; the integral to 1e-11 of its logarithm or of one, whichever is
larger.
"""

import numpy as np
import pytest

from headwater.numerics.pareto_nbd import (
    ParetoNbdParams,
    expected_for_new,
    expected_purchases,
    fit,
    log_likelihood,
    p_alive,
    probability_of_any_purchase,
)
from headwater.numerics.quadrature import beta_nodes, log_tail
from headwater.numerics.rfm import RfmRows, compress

PAPER = ParetoNbdParams(r=0.553, alpha=10.578, s=0.606, beta=11.669)
HISTORIES = {"x": [0, 1, 2, 5, 26], "t_x": [0, 10, 30.43, 20, 30.86], "T": [39, 39, 38.86, 35, 31]}

# p, alpha, q, beta, t, and log of the integral by mpmath.hyp2f1 (40 digits)
TAILS = [
    (0.553, 10.58, 1.606, 11.67, 0.0, -2.9664724573979199),
    (26.553, 10.58, 1.606, 11.67, 30.86, -104.4887546035184),
    (1.553, 10.58, 0.606, 11.67, 38.86, -4.6756500646405369),
    (0.02, 0.001, 1.03, 250.0, 0.0, 2.721269497345891),
    (401.05, 0.00798565, 3.82, 2.82, 1.0, -14.295838323725893),
    (500.0, 0.008, 4.0516, 2.82, 37.0, -1823.1036341683612),
    (20.6, 0.027, 8476.6, 31295.0, 1.0, -87746.880766192447),
    (0.5, 7.0, 1.5, 7.0, 3.0, -2.3025850929940457),
    (0.5, 7.0, 1.5, 7.0000000007, 3.0, -2.3025850930465457),
    (1.003, 435.0, 0.00037, 0.0153, 5.0, 5.6723320721585227),
    (3.2, 1000.0, 1.001, 0.0001, 0.01, -19.810027968911175),
    (0.00018, 0.1187, 1.0028, 1.314, 0.01, 5.8149963186383237),
    (222.51, 2.88, 1.29, 14.11, 103.43, -1045.2001285078988),
]

# a, b, c, y, and the mean of (1 + y p)^-c over p ~ Beta(a, b) by mpmath.hyp2f1 (40 digits)
BETA_MEANS = [
    (0.793, 2.426, 0.243, 10.0, 0.7816483362450961),
    (0.012, 338.0, 2.4, 12.0, 0.99903412023657202),
    (500.0, 900.0, 35.0, 0.5, 0.003240444008323055),
    (0.05, 0.02, 200.0, 0.3, 0.22722806093833863),
    (1.0, 1.0, 3.0, 0.001, 0.9985019975029965),
]


@pytest.fixture(scope="module")
def fitted(cdnow):
    rows, _ = compress(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)
    return fit(rows)


@pytest.mark.parametrize("case", TAILS)
def test_tail_integral_against_mpmath(case):
    p, alpha, q, beta, t, expected = case
    got = log_tail(np.array([p]), alpha=alpha, q=np.array([q]), beta=beta, t=np.array([t])).value[0]
    assert got == pytest.approx(expected, abs=1e-11 * max(1.0, abs(expected)))


@pytest.mark.parametrize(("a", "b", "c", "y", "expected"), BETA_MEANS)
def test_beta_expectation_against_mpmath(a, b, c, y, expected):
    p, _, weight = beta_nodes(np.array([a]), b=np.array([b]))
    assert float((weight * (1 + y * p) ** -c).sum()) == pytest.approx(expected, rel=1e-11)


def test_pareto_nbd_parameters_against_fader_hardie_lee_2005(fitted):
    assert fitted.params.as_array() == pytest.approx([0.553, 10.578, 0.606, 11.669], abs=1e-3)
    assert fitted.log_likelihood == pytest.approx(-9595.0, abs=0.05)
    assert fitted.converged
    assert fitted.boundary == ()


def test_pareto_nbd_standard_errors_against_clvtools(fitted):
    assert fitted.std_errors == pytest.approx([0.0476, 0.843, 0.187, 6.21], rel=0.005)


def test_pareto_nbd_parameters_against_clvtools(fitted):
    assert fitted.params.as_array() == pytest.approx([0.55315, 10.57633, 0.60625, 11.67150], rel=3e-4)
    assert fitted.log_likelihood == pytest.approx(-9594.976, abs=5e-4)


def test_pareto_nbd_p_alive_against_btyd_manual(fitted):
    assert p_alive(fitted.params, x=0, t_x=0, T=39) == pytest.approx([0.2941633], abs=2e-4)


def test_pareto_nbd_p_alive_against_lifetimes():
    expected = [0.29446703, 0.39746142, 0.86916756, 0.49639935, 0.99791873]
    assert p_alive(PAPER, **HISTORIES) == pytest.approx(expected, abs=1e-7)


def test_pareto_nbd_conditional_expectation_against_lifetimes():
    expected = [0.10652671, 0.40379706, 1.45512319, 1.93694931, 20.11702608]
    assert expected_purchases(PAPER, **HISTORIES, horizon=39) == pytest.approx(expected, abs=1e-7)


def test_pareto_nbd_probability_of_any_purchase_against_lifetimes():
    expected = [0.06898825, 0.20475449, 0.59193728, 0.43843636, 0.97618973]
    assert probability_of_any_purchase(PAPER, **HISTORIES, horizon=39) == pytest.approx(expected, abs=1e-7)


def test_pareto_nbd_expected_for_new_against_lifetimes():
    expected = [0.05097984, 0.90857479, 1.90939813]
    assert expected_for_new(PAPER, t=[1, 26, 78]) == pytest.approx(expected, abs=1e-7)


def test_pareto_nbd_holdout_of_cdnow_against_lifetimes(fitted, cdnow):
    got = expected_purchases(fitted.params, x=cdnow.x, t_x=cdnow.t_x, T=cdnow.T, horizon=39)
    assert got.sum() == pytest.approx(1665.5, abs=0.1)
    assert got.sum() / cdnow.holdout.sum() - 1 == pytest.approx(-0.115, abs=1e-3)
    assert np.abs(got - cdnow.holdout).mean() == pytest.approx(0.7545, abs=1e-4)


def test_pareto_nbd_weeks_and_days_are_one_model(fitted, cdnow):
    days = fit(RfmRows.of(cdnow.x, t_x=cdnow.t_x * 7, T=cdnow.T * 7))
    in_days = fitted.rescale(7)
    assert days.params.as_array() == pytest.approx(in_days.params.as_array(), rel=1e-6)
    assert days.log_likelihood == pytest.approx(in_days.log_likelihood, abs=1e-6)
    one = expected_purchases(fitted.params, x=cdnow.x, t_x=cdnow.t_x, T=cdnow.T, horizon=39)
    other = expected_purchases(days.params, x=cdnow.x, t_x=cdnow.t_x * 7, T=cdnow.T * 7, horizon=273)
    assert other == pytest.approx(one, rel=1e-6)


def test_pareto_nbd_compressed_rows_have_the_likelihood_of_all_rows(cdnow):
    rows, _ = compress(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)
    full = RfmRows.of(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)
    assert log_likelihood(PAPER, rows=rows) == pytest.approx(log_likelihood(PAPER, rows=full), rel=1e-12)


def test_pareto_nbd_p_alive_is_finite_where_clvtools_once_failed():
    params = ParetoNbdParams(r=0.5143, alpha=2.8845, s=0.2856, beta=14.1087)
    got = p_alive(
        params, x=(221, 254, 161, 204), t_x=(103.43, 97.14, 94.71, 98.57), T=(103.57, 97.29, 98.00, 99.43)
    )
    assert np.isfinite(got).all()
    assert ((got > 0) & (got < 1)).all()


def test_pareto_nbd_likelihood_is_finite_where_lifetimes_once_failed():
    params = ParetoNbdParams(r=10.465, alpha=0.00798565, s=3.0516, beta=2.820)
    rows = RfmRows.of([400, 500, 500], t_x=[5, 1, 4], T=[6, 37, 37])
    assert np.isfinite(log_likelihood(params, rows=rows))


@pytest.mark.parametrize("nudge", [0.0, 1e-13, 1e-9, -1e-9])
def test_pareto_nbd_is_continuous_at_the_clvtools_limits_of_equal_rates_and_no_silence(nudge):
    at = ParetoNbdParams(r=0.6, alpha=7.0, s=0.7, beta=7.0)
    near = ParetoNbdParams(r=0.6, alpha=7.0, s=0.7, beta=7.0 * (1 + nudge))
    rows = RfmRows.of([3, 0, 2], t_x=[39, 0, 5], T=[39, 39, 20])
    assert log_likelihood(near, rows=rows) == pytest.approx(log_likelihood(at, rows=rows), abs=1e-8)
    assert p_alive(near, x=3, t_x=39, T=39) == pytest.approx([1.0], abs=1e-12)
