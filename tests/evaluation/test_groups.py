"""Groups, ranks and error budgets against examples worked by hand, brute force and simulation with known truth."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from headwater.core.errors import UsageError
from headwater.evaluation.budget import error_budget
from headwater.evaluation.grouping import Grouping, by_decile
from headwater.evaluation.groups import check_groups, fits_of
from headwater.evaluation.scored import ScoredUsers
from headwater.evaluation.stability import followed, matched, rank_stability

ORIGINS = (19_900, 19_872, 19_844)


def _fits(rng, *, factors, covered=0.9, n=8_000, season=1.0):
    """Users of one model at three origins, in equal groups; each group's outcomes are its factor times the forecast."""
    found = []
    for origin in ORIGINS:
        grouping = Grouping.of([f"g{i:02d}" for i in range(len(factors)) for _ in range(n // len(factors))])
        predicted = rng.gamma(2, 5, grouping.codes.size)
        actual = rng.exponential(predicted * season * np.array(factors)[grouping.codes])
        inside = rng.random(actual.size) < np.broadcast_to(covered, len(factors))[grouping.codes]
        low, high = np.where(inside, 0.0, actual + 1), np.where(inside, actual, actual + 2)
        users = ScoredUsers(actual=actual, predicted=predicted, low=low, high=high, level=0.9)
        found += fits_of(
            users, {"decile": by_decile(predicted), "channel": grouping}, model="m", origin=origin
        )
    return found


def test_a_group_fit_by_hand():
    users = ScoredUsers(
        actual=np.array([1.0, 3.0, 10.0]), predicted=np.array([2.0, 2.0, 5.0]),
        low=np.zeros(3), high=np.array([2.0, 2.0, 20.0]), level=0.9,
    )  # fmt: skip
    first, second = fits_of(users, {"channel": Grouping.of(["a", "a", "b"])}, model="m", origin=1)
    assert (first.group, first.n_users, first.predicted, first.actual) == ("a", 2, 4.0, 4.0)
    assert first.high - first.actual == pytest.approx(1.96 * np.sqrt(2 * np.var([1, 3], ddof=1)))
    assert first.std_error == pytest.approx(np.sqrt(2 * np.var([-1, 1], ddof=1)))
    assert (first.covered, second.covered) == (0.5, 1.0)
    exact = stats.binomtest(1, 2).proportion_ci(0.95, method="exact")
    assert (first.covered_low, first.covered_high) == pytest.approx((exact.low, exact.high))


def test_groups_that_are_right_raise_no_finding_in_38_of_40_simulations():
    rng = np.random.default_rng(71)
    found = sum(bool(check_groups(_fits(rng, factors=[1.0] * 10, season=0.6, n=4_000))) for _ in range(40))
    assert found <= 2


def test_a_group_that_is_off_is_named_and_what_all_share_is_not():
    rng = np.random.default_rng(72)
    (finding,) = check_groups(_fits(rng, factors=[1.0] * 9 + [1.6], season=0.5))
    assert finding.code == "calibration.group_off"
    assert "channel g09 (+" in finding.what
    assert finding.numbers["n_off"] == 1


def test_a_group_whose_intervals_hold_too_few_is_named():
    rng = np.random.default_rng(73)
    (finding,) = check_groups(_fits(rng, factors=[1.0] * 10, covered=[0.8] + [0.91] * 9))
    assert finding.code == "coverage.group_short"
    assert "channel g00 (8" in finding.what or "channel g00 (7" in finding.what


def test_a_group_off_at_one_origin_only_is_no_finding():
    rng = np.random.default_rng(74)
    once = _fits(rng, factors=[1.0] * 9 + [1.9])[: 3 * 20][:20]
    others = [f for f in _fits(rng, factors=[1.0] * 9 + [0.99]) if f.origin != once[0].origin]
    assert check_groups([*once, *others]) == ()


def test_users_of_two_origins_are_matched_by_id():
    before, after = matched(pa.array(["a", "b", "c", "d"]), pa.array(["d", "x", "b"]))
    assert before.tolist() == [1, 3]
    assert after.tolist() == [2, 0]


def test_of_many_users_the_same_are_followed_at_every_origin():
    rng = np.random.default_rng(8)
    rows = pa.table({"user_id": [f"u{i}" for i in range(6_400)], "bucket": rng.integers(0, 64, 6_400)})
    assert followed(rows).null_count == 0
    some, fewer = (set(followed(rows, most=most).drop_null().to_pylist()) for most in (1_600, 800))
    assert fewer < some
    assert some == {u for u, b in zip(*rows.to_pydict().values(), strict=True) if b < 16}
    later = pa.table(
        {
            "user_id": rows["user_id"].take(np.arange(6_400)[::-1]),
            "bucket": rows["bucket"].take(np.arange(6_400)[::-1]),
        }
    )
    assert set(followed(later, most=1_600).drop_null().to_pylist()) == some


def test_rank_stability_against_scipy_and_by_hand():
    rng = np.random.default_rng(75)
    one = np.round(rng.gamma(1, 3, 200))
    two = one + np.round(rng.normal(0, 2, 200))
    found = rank_stability(one, two, model="m", earlier=1, later=2)
    assert found is not None
    assert found.spearman == pytest.approx(stats.spearmanr(one, two).statistic)
    up = np.arange(100.0)
    same = rank_stability(up, up, model="m", earlier=1, later=2)
    turned = rank_stability(up, -up, model="m", earlier=1, later=2)
    assert same is not None
    assert turned is not None
    assert (same.spearman, same.top_overlap) == pytest.approx((1.0, 1.0))
    assert (turned.spearman, turned.top_overlap) == pytest.approx((-1.0, 0.0))


def test_a_constant_forecast_has_no_order_and_overlaps_by_chance():
    found = rank_stability(np.ones(50), np.arange(50.0), model="m", earlier=1, later=2)
    assert found is not None
    assert found.spearman is None
    assert found.top_overlap == pytest.approx(0.1)
    assert rank_stability(np.ones(9), np.ones(9), model="m", earlier=1, later=2) is None


def test_the_error_budget_finds_the_parts_that_were_put_in_by_simulation():
    """Truth m; the forecast is the half of it that features know, squeezed by 0.5 and moved by 3."""
    rng = np.random.default_rng(76)
    n = 200_000
    known, unknown = rng.normal(20, 4, n), rng.normal(0, 2, n)
    truth = known + unknown
    actual = truth + rng.normal(0, 6, n)
    predicted = 20 + 0.5 * (known - 20) + 3
    found = error_budget(predicted, actual, model="m", origin=1, truth=truth)
    parts = (found.level, found.shape, found.order, found.noise)
    assert parts == pytest.approx((9, 4, 4, 36), rel=0.03)
    assert sum(p for p in parts if p is not None) == pytest.approx(found.total, rel=1e-9)
    blind = error_budget(predicted, actual, model="m", origin=1)
    assert (blind.level, blind.shape, blind.rest) == pytest.approx((9, 4, 40), rel=0.03)
    assert (blind.order, blind.noise) == (None, None)


def test_the_rest_is_what_the_best_rising_curve_leaves_by_brute_force():
    """Ten users, every way to cut them into neighbors with rising means: the best is isotonic regression."""
    rng = np.random.default_rng(77)
    predicted, actual = np.arange(9.0), rng.normal(np.arange(9) / 3, 1)
    best = np.inf
    for cuts in range(2**8):
        borders = [0, *(i + 1 for i in range(8) if cuts >> i & 1), 9]
        means = [actual[a:b].mean() for a, b in itertools.pairwise(borders)]
        if np.all(np.diff(means) >= 0):
            fitted = np.repeat(means, np.diff(borders))
            best = min(best, np.mean((actual - fitted) ** 2))
    assert error_budget(predicted, actual, model="m", origin=1).rest == pytest.approx(best)


def test_budgets_of_a_perfect_and_of_a_constant_forecast():
    actual = np.array([0.0, 0.0, 4.0, 8.0])
    perfect = error_budget(actual, actual, model="m", origin=1)
    assert (perfect.total, perfect.level, perfect.shape, perfect.rest) == (0, 0, 0, 0)
    flat = error_budget(np.full(4, 5.0), actual, model="m", origin=1)
    assert (flat.level, flat.shape, flat.rest) == pytest.approx((4, 0, actual.var()))
    with pytest.raises(UsageError, match=r"budget\.shapes"):
        error_budget(actual, actual[:2], model="m", origin=1)
