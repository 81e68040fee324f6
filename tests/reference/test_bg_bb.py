"""BG/BB against Fader, Hardie & Shang 2010: 11,104 donors, six yearly opportunities, and lifetimes 0.11.3.

Tolerances: printed numbers to the printed digit; lifetimes to 1e-7 of a forecast from given parameters.
"""

import numpy as np
import pytest
from scipy.special import comb

from headwater.numerics.bg_bb import BgBbParams, expected_purchases, fit, log_likelihood, p_alive
from headwater.numerics.rfm import RfmRows

# (x, t_x, donors) after six opportunities, table 2 of the paper
DONORS = [
    (0, 0, 3464), (1, 1, 1091), (1, 2, 277), (1, 3, 129), (1, 4, 78), (1, 5, 119), (1, 6, 129), (2, 2, 613),
    (2, 3, 255), (2, 4, 155), (2, 5, 173), (2, 6, 234), (3, 3, 322), (3, 4, 181), (3, 5, 225), (3, 6, 357),
    (4, 4, 240), (4, 5, 284), (4, 6, 512), (5, 5, 335), (5, 6, 728), (6, 6, 1203),
]  # fmt: skip
PRINTED = BgBbParams(alpha=1.204, beta=0.750, gamma=0.657, delta=2.783)


@pytest.fixture(scope="module")
def donors():
    x, last, n = np.array(DONORS, dtype=float).T
    return RfmRows.of(x, t_x=last, T=np.full(x.size, 6.0), weights=n)


@pytest.fixture(scope="module")
def fitted(donors):
    return fit(donors)


def test_bg_bb_parameters_against_fader_hardie_shang_2010(fitted, donors):
    assert donors.n_users == 11_104
    assert fitted.params.as_array() == pytest.approx(PRINTED.as_array(), abs=6e-4)
    assert fitted.log_likelihood == pytest.approx(-33_225.6, abs=0.05)
    assert fitted.converged
    assert (fitted.std_errors > 0).all()


def test_bg_bb_p_alive_in_2002_against_the_paper(fitted):
    got = p_alive(fitted.params, x=[0, 2, 6], t_x=[0, 4, 6], T=[6, 6, 6])
    assert got == pytest.approx([0.11, 0.59, 0.93], abs=5e-3)


def test_bg_bb_expected_donations_of_2002_to_2006_against_the_paper(fitted, donors):
    mean = expected_purchases(fitted.params, x=donors.x, t_x=donors.t_x, T=donors.T, horizon=5)
    assert (mean * donors.weights).sum() == pytest.approx(12_884.2, abs=0.05)


def test_bg_bb_conditional_expectation_against_lifetimes():
    got = expected_purchases(PRINTED, x=[0, 1, 2, 6], t_x=[0, 6, 4, 6], T=[6, 6, 6, 6], horizon=5)
    assert got == pytest.approx([0.0728028775, 1.1479265407, 1.0573489419, 3.7521156076], abs=1e-7)


def test_bg_bb_numbers_of_donors_by_donations_against_the_paper(fitted, donors):
    """There are C(t_x - 1, x - 1) equally likely ways to have x donations of which t_x is the last."""
    each = [log_likelihood(fitted.params, rows=RfmRows.of([x], t_x=[last], T=[6])) for x, last, _ in DONORS]
    ways = [1 if x == 0 else comb(last - 1, x - 1) for x, last, _ in DONORS]
    expected = 11_104 * np.bincount(donors.x.astype(int), weights=np.exp(each) * ways)
    assert expected.sum() == pytest.approx(11_104)
    assert expected[[0, 6]] == pytest.approx([3454.9, 1253.1], abs=0.06)
