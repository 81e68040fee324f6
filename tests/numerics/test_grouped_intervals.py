"""Intervals within groups, on simulated users whose groups differ in what a forecast is worth."""

from __future__ import annotations

import numpy as np
import pytest

from headwater.core.errors import UsageError
from headwater.numerics.grouped_intervals import apply_grouped, fit_grouped
from headwater.numerics.intervals import apply

HELD = 0.012  # 20,000 users a group calibrate twenty bins; the test's own binomial error is 0.2%


def _users(rng, n):
    """One forecast, three groups: outcomes near it, far from it, and a rare group that is far from it too."""
    labels = rng.choice(["calm", "wild", "rare"], n, p=[0.5, 0.49, 0.01])
    predicted = rng.gamma(2, 5, n)
    spread = np.where(labels == "calm", 0.2, 1.2)
    return predicted, predicted * np.exp(spread * rng.normal(size=n) - spread**2 / 2), labels


def test_intervals_hold_in_each_large_group_where_those_of_all_users_do_not():
    rng = np.random.default_rng(95)
    predicted, actual, labels = _users(rng, 40_000)
    bins = fit_grouped(predicted, actual, labels, level=0.9)
    assert set(bins.groups) == {"calm", "wild"}
    predicted, actual, labels = _users(rng, 60_000)
    low, high = apply_grouped(bins, predicted, labels)
    all_low, all_high = apply(bins.whole, predicted)
    for group in ("calm", "wild"):
        here = labels == group
        assert np.mean((low <= actual) & (actual <= high), where=here) == pytest.approx(0.9, abs=HELD)
        assert abs(np.mean((all_low <= actual) & (actual <= all_high), where=here) - 0.9) > 0.05
    rare = labels == "rare"
    np.testing.assert_array_equal(high[rare], all_high[rare])


def test_groups_of_other_users_are_refused():
    with pytest.raises(UsageError, match=r"intervals\.shapes"):
        fit_grouped(np.ones(60), np.ones(60), np.array(["a"] * 59), level=0.9)
