"""Horizons that agree: against SciPy's isotonic regression, and the properties that callers rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression

from headwater.numerics.consistent import never_falling

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
    agreed = never_falling(forecasts)
    assert (np.diff(agreed, axis=1) >= 0).all()
    np.testing.assert_allclose(agreed.mean(axis=1), forecasts.mean(axis=1), rtol=SUMS, atol=SUMS)


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
