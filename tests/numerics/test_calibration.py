"""Calibration: isotonic against a brute force, shrinkage against simulated groups, kept only where it helps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from headwater.numerics.attribution import logarithmic_mean, rescaled
from headwater.numerics.calibration import (
    Calibration,
    calibrate,
    group_factors,
    increasing_map,
    mean_loss,
    paired_gain,
)
from headwater.numerics.whales import whale_cap

EXACT = 1e-9  # sums of floats in another order
FOUND = 0.05  # 40,000 rows: ratios of bands and groups are known to about 2%
SEEDS = 40


def _buckets(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 64, n)


def test_mean_loss_is_least_at_the_mean_by_brute_force() -> None:
    """Also with outcomes of zero and below: of all constant predictions the mean has the least loss."""
    rng = np.random.default_rng(1)
    y = np.concatenate([np.zeros(500), rng.lognormal(1, 1, 300), -rng.lognormal(0, 1, 30)])
    constants = y.mean() * np.linspace(0.5, 2, 151)
    losses = [mean_loss(np.full(y.size, c), y).mean() for c in constants]
    assert constants[np.argmin(losses)] == pytest.approx(y.mean(), rel=0.01)  # the grid's step


def test_increasing_map_is_the_least_squares_one_by_brute_force() -> None:
    """Against quadratic programming over four bands: every way to pool neighbors, the best that rises."""
    rng = np.random.default_rng(3)
    x = np.repeat([1.0, 2.0, 3.0, 4.0], 100)
    y = rng.normal(np.repeat([2.0, 5.0, 3.0, 4.0], 100), 0.5)
    knots, levels = increasing_map(x, y)
    bands = y.reshape(4, 100).mean(axis=1)
    best: tuple[float, tuple[float, ...]] = (np.inf, ())
    for cut in range(8):
        ends = [0, *(k for k in (1, 2, 3) if cut >> (k - 1) & 1), 4]
        fitted = np.concatenate([np.full(b - a, bands[a:b].mean()) for a, b in itertools.pairwise(ends)])
        if (np.diff(fitted) >= 0).all():
            best = min(best, (float(((bands - fitted) ** 2).sum()), tuple(fitted)))
    expected = sorted(set(np.round(best[1], 12)))
    np.testing.assert_allclose(levels, expected, rtol=EXACT)
    assert (np.diff(knots) > 0).all()


def test_a_bent_prediction_is_straightened_and_totals_are_met() -> None:
    rng = np.random.default_rng(4)
    truth = rng.lognormal(0, 1.5, 40_000)
    actual = truth * rng.gamma(1.0, 1.0, truth.size)
    made = calibrate(truth**0.5, actual, clusters=_buckets(truth.size, rng))
    again = made.apply(truth**0.5)
    assert made.knots
    assert again.sum() == pytest.approx(actual.sum(), rel=EXACT)
    middle = (truth > 0.1) & (truth < 10)
    assert abs(np.log(again[middle] / truth[middle])).mean() < 2 * FOUND
    assert (np.diff(made.mapped(np.linspace(0, 100, 500))) > 0).all()


def test_what_is_right_already_is_left_alone_in_nearly_every_draw() -> None:
    kept = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        truth = rng.lognormal(0, 1, 3_000)
        actual = truth * rng.gamma(0.5, 2.0, truth.size)
        codes = rng.integers(0, 6, truth.size)
        made = calibrate(truth, actual, clusters=_buckets(truth.size, rng), groups={"channel": codes})
        kept += bool(made.knots) + len(made.groups)
    assert (
        kept <= 6
    )  # of 80 tries, each let through by chance about one time in 44: 6 or fewer in 99 of 100 runs


def test_factors_by_group_find_planted_ones_and_small_groups_stay_near_one() -> None:
    rng = np.random.default_rng(6)
    planted = np.array([1.0, 0.6, 1.5, 1.0])
    codes = rng.choice(4, 40_000, p=[0.5, 0.3, 0.197, 0.003])
    predicted = rng.lognormal(0, 1, codes.size)
    actual = predicted * planted[codes] * rng.gamma(0.3, 1 / 0.3, codes.size)
    made = calibrate(predicted, actual, clusters=_buckets(codes.size, rng), groups={"channel": codes})
    (factors,) = made.groups
    found = made.apply(predicted, {"channel": codes}) / predicted
    for code in (0, 1, 2):
        assert found[codes == code].mean() == pytest.approx(planted[code], rel=2 * FOUND)
    raw = actual[codes == 3].sum() / predicted[codes == 3].sum()
    assert abs(factors.factors[3] - 1) < abs(raw - 1) + FOUND
    assert group_factors("channel", codes[:20], predicted[:20], actual[:20]).factors[:1] == (1.0,)


def test_shrunk_factors_err_less_than_raw_ones_over_simulated_groups() -> None:
    """True factors are drawn with a standard deviation of 0.2; groups of 50 rows say little by themselves."""
    rng = np.random.default_rng(7)
    truth = np.exp(rng.normal(0, 0.2, 200))
    codes = np.repeat(np.arange(200), 50)
    predicted = np.ones(codes.size)
    actual = truth[codes] * rng.gamma(0.2, 5.0, codes.size)
    shrunk = np.asarray(group_factors("g", codes, predicted, actual).factors)
    raw = np.bincount(codes, weights=actual) / 50
    assert ((shrunk - truth) ** 2).mean() < 0.5 * ((raw - truth) ** 2).mean()


def test_paired_gain_counts_users_not_rows() -> None:
    rng = np.random.default_rng(8)
    before, after = rng.normal(10, 1, 640), rng.normal(10, 1, 640)
    once = paired_gain(before, after, clusters=np.arange(640) % 64)
    ten = paired_gain(np.tile(before, 10), np.tile(after, 10), clusters=np.tile(np.arange(640) % 64, 10))
    assert ten.share == pytest.approx(once.share)
    assert ten.std_error == pytest.approx(once.std_error)


def test_an_empty_calibration_changes_nothing() -> None:
    x = np.array([0.0, 1.0, 7.0])
    np.testing.assert_array_equal(Calibration().apply(x), x)


def test_rescaled_parts_sum_to_the_change_of_the_function() -> None:
    rng = np.random.default_rng(9)
    parts, start = rng.normal(size=(500, 7)), rng.normal(size=500)
    parts[0] = [1, -1, 0, 0, 0, 0, 0]
    got = rescaled(parts, start=start, through=np.tanh)
    np.testing.assert_allclose(
        got.sum(axis=1), np.tanh(start + parts.sum(axis=1)) - np.tanh(start), rtol=EXACT, atol=EXACT
    )
    assert got[0, 0] == pytest.approx(1 - np.tanh(start[0]) ** 2, rel=1e-5)  # the slope, by a nudge of 1e-6


def test_logarithmic_mean_against_its_integral() -> None:
    """It is the integral of a**t * b**(1 - t) over t from 0 to 1."""
    a, b = np.array([2.0, 5.0, 1.0, 3.0]), np.array([7.0, 5.0, 1.0 + 1e-9, 1e-6])
    t = (np.arange(200_000) + 0.5) / 200_000
    integral = np.array([(x**t * y ** (1 - t)).mean() for x, y in zip(a, b, strict=True)])
    np.testing.assert_allclose(logarithmic_mean(a, b), integral, rtol=1e-8)  # midpoint rule, 200,000 points


def test_a_planted_whale_is_capped_and_clean_lognormal_outcomes_hardly_are() -> None:
    rng = np.random.default_rng(10)
    clean = rng.lognormal(3, 1, 20_000)
    assert whale_cap(clean).n_above <= 15  # one in 4,300 is expected to lie beyond: 4.7, Poisson
    cap = whale_cap(np.append(clean, 1e7))
    assert cap.applied(np.array([1e7]))[0] == cap.at < 2_000
    assert cap.taken_off == pytest.approx(1e7 - cap.at, rel=1e-2)
    few = whale_cap(np.append(rng.lognormal(3, 1, 200), 1e6))
    assert few.n_above == 1
    assert whale_cap(np.zeros(5)).n_above == 0
