"""Gamma-Gamma against Fader & Hardie (2013), note 25, and CLVTools 0.12.1, on the 946 repeat buyers of CDNOW.

Tolerances: printed numbers to the printed digit.
"""

import numpy as np
import pytest

from headwater.numerics.gamma_gamma import SpendRows, expected_spend, fit


@pytest.fixture(scope="module")
def fitted(cdnow):
    again = cdnow.x > 0
    return fit(SpendRows.of(cdnow.x[again], z=cdnow.z[again]))


def test_gamma_gamma_parameters_against_fader_hardie_2013(fitted):
    assert fitted.n_users == 946
    assert fitted.params.as_array() == pytest.approx([6.25, 3.74, 15.44], abs=5e-3)
    assert fitted.converged
    assert fitted.boundary == ()


def test_gamma_gamma_log_likelihood_against_clvtools(fitted):
    assert fitted.log_likelihood == pytest.approx(-4055.918, abs=5e-4)


def test_gamma_gamma_first_ten_customers_against_hardie_spreadsheet(fitted, cdnow):
    expected = [24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17]
    assert expected_spend(fitted.params, x=cdnow.x[:10], z=cdnow.z[:10]) == pytest.approx(expected, abs=0.01)


def test_gamma_gamma_dollars_and_cents_are_one_model(fitted, cdnow):
    again = cdnow.x > 0
    cents = fit(SpendRows.of(cdnow.x[again], z=100 * cdnow.z[again]))
    in_cents = fitted.rescale(100)
    assert cents.params.as_array() == pytest.approx(in_cents.params.as_array(), rel=1e-6)
    assert cents.log_likelihood == pytest.approx(in_cents.log_likelihood, abs=1e-6)
    assert np.allclose(cents.covariance, fitted.covariance, rtol=1e-5)
