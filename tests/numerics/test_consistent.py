"""Horizons that agree: against SciPy's isotonic regression, and the properties that callers rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression

from headwater.numerics.consistent import agreed, never_falling
from headwater.numerics.forecast import Forecast
from headwater.numerics.intervals import fit_bins

SUMS = 1e-9  # means of at most nine numbers, taken in another order

FORECASTS = arrays(
    np.float64, st.tuples(st.integers(1, 20), st.integers(1, 9)), elements=st.floats(0, 1e6, width=32)
)


@given(FORECASTS)
def test_against_scipy_isotonic_regression(forecasts: np.ndarray) -> None:
    wanted = [isotonic_regression(row).x for row in forecasts]
    np.testing.assert_allclose(never_falling(forecasts), wanted, rtol=SUMS, atol=SUMS)


@given(FORECASTS)
def test_no_horizon_falls_and_the_mean_is_kept(forecasts: np.ndarray) -> None:
    made = never_falling(forecasts)
    assert (np.diff(made, axis=1) >= 0).all()
    np.testing.assert_allclose(made.mean(axis=1), forecasts.mean(axis=1), rtol=SUMS, atol=SUMS)


@given(FORECASTS, st.floats(0, 1e3))
def test_bounds_stay_in_order(forecasts: np.ndarray, room: float) -> None:
    above = forecasts + room * np.abs(np.sin(np.arange(forecasts.size))).reshape(forecasts.shape)
    assert (never_falling(forecasts) <= never_falling(above) + SUMS * (1 + above.max())).all()


def test_what_agrees_stays_bit_by_bit() -> None:
    rng = np.random.default_rng(3)
    sound = np.cumsum(rng.gamma(0.3, 10, (1_000, 9)), axis=1)
    np.testing.assert_array_equal(never_falling(sound), sound)


def test_many_users_are_worked_on_in_parts() -> None:
    rng = np.random.default_rng(4)
    many = rng.gamma(1, 10, (150_000, 3))
    np.testing.assert_array_equal(never_falling(many)[140_000:], never_falling(many[140_000:]))
    assert never_falling(np.empty((0, 3))).shape == (0, 3)
    assert never_falling(np.array([[3.0, 1.0]])) == pytest.approx(np.array([[2.0, 2.0]]))


def test_quantiles_are_given_up_where_they_would_contradict_the_new_bounds() -> None:
    rng = np.random.default_rng(5)
    mean = rng.gamma(1, 10, 400)
    bins = fit_bins(mean, mean * rng.gamma(2, 0.5, 400), level=0.8)

    def over(values: np.ndarray) -> Forecast:
        return Forecast(mean=values, low=values * 0.5, high=values * 2, variance=values, level=0.8, method="test", bins=bins)  # fmt: skip

    sound = agreed([over(mean), over(mean * 2)])
    fallen = agreed([over(mean), over(mean), over(mean * 0.5)])
    assert [f.bins is bins for f in sound] == [True, True]
    assert [f.bins for f in fallen] == [None, None, None]
