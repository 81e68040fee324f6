"""Sets that are {0} or an interval: coverage and length on simulated users, against intervals made bin by bin."""

from __future__ import annotations

import numpy as np
import pytest

from headwater.core.errors import DataError
from headwater.numerics.intervals import apply, fit_bins
from headwater.numerics.zero_sets import fit_zero_sets

N_APPS = 25


def _users(rng, n, *, rare):
    """Zero-inflated lognormal outcomes with their true means; the higher ``rare``, the fewer pay."""
    z = rng.normal(size=n)
    p = 1 / (1 + np.exp(rare - 1.5 * z))
    actual = np.where(rng.random(n) < p, np.exp(1 + 0.5 * z + rng.normal(size=n)), 0.0)
    return p * np.exp(1.5 + 0.5 * z), actual


def _held(bins, predicted, actual):
    low, high = apply(bins, predicted)
    return np.mean((low <= actual) & (actual <= high)), np.mean(high - low), np.mean(high == 0)


@pytest.mark.parametrize("rare", [0.5, 1.6, 2.5])
def test_sets_hold_the_level_over_all_users_and_are_shorter_where_zeros_are_many(rare):
    rng = np.random.default_rng(91)
    sets, binned = [], []
    for _ in range(N_APPS):
        past, new = _users(rng, 4_000, rare=rare), _users(rng, 4_000, rare=rare)
        sets.append(_held(fit_zero_sets(*past, level=0.9, rng=rng), *new))
        binned.append(_held(fit_bins(*past, level=0.9), *new))
    (covered, length, zero), (_, binned_length, binned_zero) = np.mean(sets, axis=0), np.mean(binned, axis=0)
    error = np.std(sets, axis=0)[0] / np.sqrt(N_APPS)
    assert covered == pytest.approx(
        0.9 + 0.002, abs=3 * error + 0.002
    )  # the finite-sample theorem allows a little more
    assert zero > binned_zero
    assert length < (0.9 if rare > 1 else 1.1) * binned_length


def test_the_promise_holds_for_a_wrong_model_too():
    rng = np.random.default_rng(92)
    found = []
    for _ in range(N_APPS):
        past, new = _users(rng, 3_000, rare=1.6), _users(rng, 3_000, rare=1.6)
        scrambled = rng.permutation(past[0])  # predictions that say nothing
        found.append(
            _held(fit_zero_sets(scrambled, past[1], level=0.9, rng=rng), rng.permutation(new[0]), new[1])[0]
        )
    assert np.mean(found) >= 0.9 - 3 * np.std(found) / np.sqrt(N_APPS)


def test_refunds_and_users_without_zeros_keep_two_sided_bounds():
    rng = np.random.default_rng(93)
    predicted = rng.gamma(2, 5, 4_000)
    actual = predicted * rng.normal(1, 0.5, 4_000)
    bins = fit_zero_sets(predicted, actual, level=0.9, rng=rng)
    low, _ = apply(bins, predicted)
    assert (low > 0).all()
    assert _held(bins, predicted, actual)[0] == pytest.approx(0.9, abs=0.03)


def test_too_few_users_are_refused():
    with pytest.raises(DataError, match=r"intervals\.too_few_users"):
        fit_zero_sets(np.ones(90), np.ones(90), level=0.9, rng=np.random.default_rng(1))
