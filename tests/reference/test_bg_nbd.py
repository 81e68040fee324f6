"""BG/NBD against the paper, Hardie's spreadsheets, CLVTools 0.12.1 and lifetimes 0.11.3.

Tolerances: estimates printed to three or seven digits are met to the printed digit; other
implementations agree to their optimizer's stop (1e-5 of a parameter); forecasts from given parameters
agree to 1e-7. Hardie's sheet sums a cut-off series, which at 78 weeks is 4e-4 short of equation 9 by
scipy's hyp2f1: there the tolerance is 5e-4.
"""

import numpy as np
import pytest
from scipy.special import hyp2f1

from headwater.numerics.bg_nbd import (
    BgNbdParams,
    expected_for_new,
    expected_purchases,
    fit,
    log_likelihood,
    p_alive,
    probability_of_any_purchase,
)
from headwater.numerics.rfm import RfmRows, compress

PAPER = BgNbdParams(r=0.243, alpha=4.414, a=0.793, b=2.426)
HISTORIES = {"x": [0, 1, 2, 5, 26], "t_x": [0, 10, 30.43, 20, 30.86], "T": [39, 39, 38.86, 35, 31]}


@pytest.fixture(scope="module")
def fitted(cdnow):
    rows, _ = compress(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)
    return fit(rows)


def test_cdnow_has_the_counts_of_the_paper(cdnow):
    assert (cdnow.x.size, cdnow.x.sum(), cdnow.holdout.sum()) == (2357, 2457, 1882)


def test_bg_nbd_parameters_against_fader_hardie_lee_2005(fitted):
    assert fitted.params.as_array() == pytest.approx([0.243, 4.414, 0.793, 2.426], abs=5e-4)
    assert fitted.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    assert fitted.converged
    assert fitted.boundary == ()


def test_bg_nbd_parameters_against_clvtools(fitted):
    assert fitted.params.as_array() == pytest.approx([0.2425945, 4.4136019, 0.7929199, 2.4258881], rel=1e-5)
    assert fitted.log_likelihood == pytest.approx(-9582.429, abs=5e-4)


def test_bg_nbd_conditional_expectation_against_hardie_spreadsheet():
    got = expected_purchases(PAPER, x=2, t_x=30.43, T=38.86, horizon=39)
    assert got == pytest.approx([1.226], abs=5e-4)


def test_bg_nbd_expected_for_new_against_hardie_spreadsheet(fitted):
    got = expected_for_new(fitted.params, t=[0.1429, 1, 3, 31.8571, 32, 78])
    assert got[:5] == pytest.approx([0.0078, 0.0532, 0.1506, 1.0405, 1.0437], abs=1e-4)
    assert got[5] == pytest.approx(1.8576, abs=5e-4)


@pytest.mark.parametrize("t", [0.1, 1, 32, 78, 5000])
def test_bg_nbd_expected_for_new_against_equation_9_by_scipy_hyp2f1(t):
    r, alpha, a, b = PAPER.as_array()
    series = hyp2f1(r, b, a + b - 1, t / (alpha + t))
    expected = (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + t)) ** r * series)
    assert expected_for_new(PAPER, t=t) == pytest.approx([expected], rel=1e-9)


def test_bg_nbd_p_alive_against_lifetimes():
    expected = [1.0, 0.43724921, 0.72657857, 0.39677384, 0.96891565]
    assert p_alive(PAPER, **HISTORIES) == pytest.approx(expected, abs=1e-8)


def test_bg_nbd_conditional_expectation_against_lifetimes():
    expected = [0.19453072, 0.4176991, 1.22602817, 1.63077115, 20.74972614]
    assert expected_purchases(PAPER, **HISTORIES, horizon=39) == pytest.approx(expected, abs=1e-7)


def test_bg_nbd_holdout_of_cdnow_against_lifetimes(fitted, cdnow):
    got = expected_purchases(fitted.params, x=cdnow.x, t_x=cdnow.t_x, T=cdnow.T, horizon=39)
    assert got.sum() == pytest.approx(1653.4, abs=0.1)
    assert got.sum() / cdnow.holdout.sum() - 1 == pytest.approx(-0.122, abs=1e-3)
    assert np.abs(got - cdnow.holdout).mean() == pytest.approx(0.7855, abs=1e-4)


def test_bg_nbd_weeks_and_days_are_one_model(fitted, cdnow):
    days = fit(RfmRows.of(cdnow.x, t_x=cdnow.t_x * 7, T=cdnow.T * 7))
    in_days = fitted.rescale(7)
    assert days.params.as_array() == pytest.approx(in_days.params.as_array(), rel=1e-6)
    assert days.log_likelihood == pytest.approx(in_days.log_likelihood, abs=1e-6)
    one = expected_purchases(fitted.params, x=cdnow.x, t_x=cdnow.t_x, T=cdnow.T, horizon=39)
    other = expected_purchases(days.params, x=cdnow.x, t_x=cdnow.t_x * 7, T=cdnow.T * 7, horizon=273)
    assert other == pytest.approx(one, rel=1e-6)


def test_bg_nbd_compressed_rows_have_the_likelihood_of_all_rows(fitted, cdnow):
    rows, inverse = compress(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)
    full = RfmRows.of(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)
    assert rows.x.size == 1016
    assert np.array_equal(rows.t_x[inverse], cdnow.t_x)
    assert log_likelihood(PAPER, rows=rows) == pytest.approx(log_likelihood(PAPER, rows=full), rel=1e-12)
    assert fit(full).params.as_array() == pytest.approx(fitted.params.as_array(), rel=1e-8)


def test_bg_nbd_survives_the_overflow_of_lifetimes_issue_332():
    huge = BgNbdParams(r=0.2, alpha=50.0, a=0.5, b=2.0)
    given = {"x": [900.0], "t_x": [1.0], "T": [900.0]}
    rows = RfmRows.of(given["x"], t_x=given["t_x"], T=given["T"])
    assert np.isfinite(log_likelihood(huge, rows=rows))
    assert 0 <= p_alive(huge, **given)[0] < 1e-300
    assert 0 <= probability_of_any_purchase(huge, **given, horizon=10)[0] < 1e-300
