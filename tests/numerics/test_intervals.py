"""Binned conformal intervals, against simulation with known truth; totals, against Student's t."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headwater.core.errors import DataError, UsageError
from headwater.numerics.intervals import (
    apply,
    fit_bins,
    interval_of_total,
    quantiles,
    randomized,
    randomized_chances,
)

COVERAGE = (0.88, 0.92)  # 90% of 20,000 test users: three binomial errors are 0.6%; calibration adds about 1%
EXACT = 1e-12


def _users(rng, n, *, noise=0.0):
    """Zero-inflated lognormal outcomes with their true means; every user pays with at least 15%."""
    z = rng.normal(size=n)
    p_pays = 0.15 + 0.8 / (1 + np.exp(-2 * z))
    mu, sigma = 1.5 + 0.7 * z, 0.9
    actual = np.where(rng.random(n) < p_pays, np.exp(mu + sigma * rng.normal(size=n)), 0.0)
    mean = p_pays * np.exp(mu + sigma**2 / 2)
    return mean * np.exp(noise * rng.normal(size=n)), actual


def _coverage(bins, predicted, actual):
    low, high = apply(bins, predicted)
    return float(np.mean((low <= actual) & (actual <= high)))


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("bias", [1.0, 3.0])
def test_coverage_is_ninety_percent_on_zero_inflated_lognormal_even_of_a_wrong_model(noise, bias):
    rng = np.random.default_rng(11)
    predicted, actual = _users(rng, 10_000, noise=noise)
    bins = fit_bins(bias * predicted, actual, level=0.9)
    new_predicted, new_actual = _users(rng, 20_000, noise=noise)
    assert COVERAGE[0] <= _coverage(bins, bias * new_predicted, new_actual) <= COVERAGE[1]


def test_coverage_holds_in_every_bin_not_only_on_average():
    rng = np.random.default_rng(12)
    bins = fit_bins(*_users(rng, 20_000), level=0.9, max_bins=10)
    predicted, actual = _users(rng, 50_000)
    low, high = apply(bins, predicted)
    inside = (low <= actual) & (actual <= high)
    at = np.searchsorted(bins.edges[:-1], predicted, side="left")
    per_bin = np.bincount(at, inside) / np.bincount(at)
    assert bins.edges.size == 10
    assert per_bin.min() > 0.87  # 2,000 calibrated and 5,000 tested per bin: three errors of both are 2.4%
    assert per_bin.max() < 0.93


def test_small_calibration_sets_cover_on_average_as_the_finite_sample_theorem_says():
    rng = np.random.default_rng(13)
    found = []
    for _ in range(300):
        bins = fit_bins(*_users(rng, 60), level=0.9)
        found.append(_coverage(bins, *_users(rng, 500)))
    error = np.std(found) / np.sqrt(len(found))
    assert 0.9 - 3 * error <= np.mean(found) <= 0.9 + 3 / 61 + 3 * error


def test_zero_predictions_get_a_bin_of_their_own_with_absolute_bounds():
    rng = np.random.default_rng(14)
    predicted, actual = _users(rng, 5_000)
    never = rng.random(5_000) < 0.4
    predicted = np.where(never, 0.0, predicted)
    bins = fit_bins(predicted, actual, level=0.9)
    assert bins.absolute.tolist()[0]
    assert not bins.absolute[1:].any()
    assert bins.edges[0] == 0.0
    assert bins.n_users[0] == never.sum()
    assert bins.n_users.sum() == 5_000
    low, high = apply(bins, np.zeros(1))
    share = np.mean((low <= actual[never]) & (actual[never] <= high))
    assert 0.9 <= share < 0.91


def test_a_whale_beyond_all_predictions_scales_with_its_prediction():
    rng = np.random.default_rng(15)
    bins = fit_bins(*_users(rng, 5_000), level=0.9)
    _, high = apply(bins, np.array([1e4, 1e6]))
    assert high[1] == pytest.approx(100 * high[0], rel=EXACT)
    assert high[0] > 1e4


def test_tiny_predictions_do_not_inflate_the_lowest_bin():
    rng = np.random.default_rng(16)
    predicted, actual = _users(rng, 5_000)
    tiny = rng.random(5_000) < 0.01
    bins = fit_bins(np.where(tiny, 1e-9, predicted), actual, level=0.9)
    assert bins.high[0] < 50


@given(st.lists(st.integers(0, 6), min_size=60, max_size=300), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_equal_predictions_are_never_split_and_every_bin_is_large_enough(levels, max_bins):
    predicted = np.array(levels, dtype=float)
    actual = predicted + np.arange(predicted.size) % 7
    bins = fit_bins(predicted, actual, level=0.8, max_bins=max_bins, min_users=20)
    at = np.searchsorted(bins.edges[:-1], predicted, side="left")
    assert all(np.unique(at[predicted == v]).size == 1 for v in np.unique(predicted))
    assert bins.n_users.min() >= 20
    assert bins.n_users.sum() == predicted.size
    assert bins.edges.size <= max_bins
    low, high = apply(bins, predicted)
    assert (low <= high).all()


def test_order_of_users_does_not_matter():
    rng = np.random.default_rng(17)
    predicted, actual = _users(rng, 1_000)
    shuffled = rng.permutation(1_000)
    a, b = fit_bins(predicted, actual, level=0.9), fit_bins(predicted[shuffled], actual[shuffled], level=0.9)
    np.testing.assert_array_equal(a.edges, b.edges)
    np.testing.assert_array_equal(a.high, b.high)


def test_refunds_lie_inside_the_interval_too():
    rng = np.random.default_rng(18)
    predicted, actual = _users(rng, 10_000)
    actual = np.where(rng.random(10_000) < 0.1, -actual - 1, actual)
    bins = fit_bins(predicted[:5_000], actual[:5_000], level=0.9)
    assert bins.low.min() < 0
    assert COVERAGE[0] - 0.01 <= _coverage(bins, predicted[5_000:], actual[5_000:]) <= COVERAGE[1] + 0.01


@pytest.mark.parametrize(
    ("predicted", "actual", "level", "code"),
    [
        (np.ones(40), np.ones(40), 0.9, "intervals.too_few_users"),
        (np.ones(150), np.ones(150), 0.99, "intervals.too_few_users"),
        (np.full(60, np.nan), np.ones(60), 0.9, "intervals.not_finite"),
        (np.ones(60), np.ones(61), 0.9, "intervals.shapes"),
        (np.ones(60), np.ones(60), 90, "interval.level"),
    ],
)
def test_bad_input_is_refused(predicted, actual, level, code):
    with pytest.raises((DataError, UsageError)) as caught:
        fit_bins(predicted, actual, level=level)
    assert caught.value.finding.code == code


def test_interval_of_total_uses_the_t_table():
    low, high = interval_of_total(1000.0, 400.0, 0.1, 2, 0.95)
    reach = 4.302652729911275 * np.sqrt(400 + 100**2)  # t(0.975, 2): any printed table
    assert (low, high) == pytest.approx((1000 - reach, 1000 + reach))


def test_interval_of_total_covers_when_the_shared_error_is_estimated_from_three_origins():
    rng = np.random.default_rng(19)
    shared = rng.normal(0, 0.1, size=(4_000, 4))
    share = np.sqrt(np.mean(shared[:, :3] ** 2, axis=1))
    totals = 1000 * (1 + shared[:, 3])
    bounds = np.array([interval_of_total(1000.0, 0.0, s, 3, 0.9) for s in share])
    covered = np.mean((bounds[:, 0] <= totals) & (totals <= bounds[:, 1]))
    assert covered == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / 4_000))
    assert stats.norm.ppf(0.95) < stats.t.ppf(0.95, 3)


@pytest.mark.parametrize(
    "bad", [(1.0, -1.0, 0.1, 2), (1.0, 1.0, -0.1, 2), (1.0, 1.0, 0.1, 0), (np.nan, 1, 0, 2)]
)
def test_interval_of_total_refuses_impossible_figures(bad):
    with pytest.raises(UsageError) as caught:
        interval_of_total(*bad, 0.9)
    assert caught.value.finding.code == "intervals.total"


def test_where_nearly_nobody_pays_the_interval_is_zero_and_covers_more_than_promised():
    rng = np.random.default_rng(20)

    def sparse(n):
        z = rng.normal(size=n)
        p_pays = 1 / (1 + np.exp(3.3 - 1.5 * z))
        actual = np.where(rng.random(n) < p_pays, np.exp(2 + 0.5 * z + rng.normal(size=n)), 0.0)
        return p_pays * np.exp(2.5 + 0.5 * z), actual

    bins = fit_bins(*sparse(20_000), level=0.9)
    predicted, actual = sparse(50_000)
    low, high = apply(bins, predicted)
    inside = (low <= actual) & (actual <= high)
    assert inside[high == 0].mean() > 0.9
    assert inside[high > 0].mean() == pytest.approx(0.9, abs=0.02)  # 4,000 users calibrated in four bins


def _sparse(rng, n):
    """Zero-inflated lognormal outcomes of whom 76% bring nothing, with their true means."""
    z = rng.normal(size=n)
    p_pays = 1 / (1 + np.exp(1.6 - 1.5 * z))
    actual = np.where(rng.random(n) < p_pays, np.exp(1 + 0.5 * z + rng.normal(size=n)), 0.0)
    return p_pays * np.exp(1.5 + 0.5 * z), actual


def test_randomized_intervals_cover_exactly_the_level_where_fixed_ones_cover_more():
    rng = np.random.default_rng(21)
    fixed, exact, drawn = [], [], []
    for _ in range(40):
        bins = fit_bins(*_sparse(rng, 2_000), level=0.9)
        predicted, actual = _sparse(rng, 3_000)
        fixed.append(_coverage(bins, predicted, actual))
        exact.append(randomized_chances(bins, predicted, actual).mean())
        low, high = randomized(bins, predicted, rng=rng)
        drawn.append(np.mean((low <= actual) & (actual <= high)))
    error = 3 * np.std(exact) / np.sqrt(40)
    assert np.mean(exact) == pytest.approx(0.9, abs=error)
    assert np.mean(drawn) == pytest.approx(0.9, abs=1.1 * error)
    assert np.mean(fixed) > 0.9 + 2 * error


@pytest.mark.parametrize("refunds", [False, True])
def test_the_chance_is_the_average_of_drawn_intervals_user_by_user(refunds):
    rng = np.random.default_rng(22)
    predicted, actual = _sparse(rng, 400)
    actual = np.round(actual * (rng.choice([-1, 1], 400) if refunds else 1))  # ties everywhere
    bins = fit_bins(np.round(predicted), actual, level=0.8, max_bins=4)
    predicted, actual = np.round(predicted[:60]), actual[:60]
    n_draws = 4_000
    held = np.zeros(60)
    for _ in range(n_draws):
        low, high = randomized(bins, predicted, rng=rng)
        held += (low <= actual) & (actual <= high)
    chances = randomized_chances(bins, predicted, actual)
    assert ((chances > 0.01) & (chances < 0.99)).any()
    np.testing.assert_allclose(held / n_draws, chances, atol=4.5 * np.sqrt(0.25 / n_draws))


def test_smoothed_ranks_of_a_new_user_by_brute_force():
    """The chance from the definition: U uniform, rank = below + U (equal + 1), inside the cuts."""
    rng = np.random.default_rng(23)
    actual = rng.integers(0, 6, 99).astype(float) * (rng.random(99) < 0.4)
    bins = fit_bins(np.ones(99), actual, level=0.8, max_bins=1)
    assert bins.low.tolist() == [0.0]
    for outcome in (0.0, 0.5, 1.0, 2.0, 3.0, 3.5, 4.0, 5.0, 6.0):
        below, equal = np.sum(actual < outcome), np.sum(actual == outcome)
        ranks = below + (np.arange(20_000) + 0.5) / 20_000 * (equal + 1)
        found = randomized_chances(bins, np.ones(1), np.array([outcome]))[0]
        assert found == pytest.approx(np.mean(ranks <= 80), abs=1e-4)


def test_quantiles_hold_their_share_of_new_users_and_never_cross():
    rng = np.random.default_rng(24)
    levels = np.array([0.3, 0.6, 0.75, 0.9, 0.95, 0.99])
    predicted, actual = _users(rng, 20_000)
    bins = fit_bins(predicted, actual, level=0.9)
    predicted, actual = _users(rng, 40_000)
    found = quantiles(bins, predicted, levels)
    assert found.shape == (6, 40_000)
    assert (np.diff(found, axis=0) >= 0).all()
    below = (actual <= found).mean(axis=1)
    zeros = np.mean(actual == 0)  # below the share of zeros a quantile is zero and holds more
    np.testing.assert_allclose(below[levels > zeros + 0.2], levels[levels > zeros + 0.2], atol=0.015)
    rng.shuffle(order := np.arange(40_000))
    np.testing.assert_array_equal(quantiles(bins, predicted[order], levels), found[:, order])
