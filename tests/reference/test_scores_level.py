"""Level scores against NumPy, pandas and examples worked by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from headwater.evaluation.scored import ScoredUsers
from headwater.evaluation.scores import SCORES

EXACT = 1e-10  # the same sums in another order
SLOPE_ATOL = 0.05  # 200,000 simulated users; the slope's standard error is about 0.012


def _score(name, sample):
    score = SCORES.load(name)()
    assert score.refuse(sample) is None
    (value,) = score.value(sample)
    return value


def _sample(n=1_000, seed=31):
    rng = np.random.default_rng(seed)
    predicted = rng.gamma(1, 4, size=n)
    actual = np.where(rng.random(n) < 0.4, rng.gamma(1, 9, size=n), 0.0)
    return ScoredUsers(actual=actual, predicted=predicted, low=0.5 * predicted, high=3 * predicted, level=0.9)


def test_deciles_against_pandas_qcut_where_predictions_have_no_ties():
    s = _sample()
    sums = (
        pd.DataFrame({"a": s.actual, "p": s.predicted}).groupby(pd.qcut(s.predicted, 10, labels=False)).sum()
    )
    assert _score("decile_wape", s) == pytest.approx((sums.p - sums.a).abs().sum() / sums.a.sum(), abs=EXACT)
    assert _score("top_decile_capture", s) == pytest.approx(sums.a.iloc[-1] / sums.a.sum(), abs=EXACT)


def test_decile_slope_against_scipy_linregress():
    s = _sample()
    means = (
        pd.DataFrame({"a": s.actual, "p": s.predicted}).groupby(pd.qcut(s.predicted, 10, labels=False)).mean()
    )
    assert _score("decile_calibration", s) == pytest.approx(
        stats.linregress(means.p, means.a).slope, abs=EXACT
    )


def test_decile_slope_is_one_for_true_means_and_below_one_for_means_spread_too_far():
    rng = np.random.default_rng(32)
    mean = rng.gamma(2, 3, size=200_000)
    actual = rng.exponential(mean)
    assert _score("decile_calibration", ScoredUsers(actual=actual, predicted=mean)) == pytest.approx(
        1, abs=SLOPE_ATOL
    )
    spread = ScoredUsers(actual=actual, predicted=2 * mean - mean.mean())
    assert _score("decile_calibration", spread) == pytest.approx(0.5, abs=SLOPE_ATOL)


def test_tied_users_at_a_decile_border_count_with_the_fraction_above_it():
    # 20 users, top tenth is 2 users; the block of four tied at the top brought 40 of 56: half of it is 20.
    actual = np.array([1.0] * 16 + [10.0] * 4)
    predicted = np.array([1.0] * 16 + [2.0] * 4)
    sample = ScoredUsers(actual=actual, predicted=predicted)
    assert _score("top_decile_capture", sample) == pytest.approx(20 / 56, abs=EXACT)
    # a constant prediction spreads everybody evenly: each tenth holds a tenth
    flat = ScoredUsers(actual=actual, predicted=np.full(20, 2.8))
    assert _score("top_decile_capture", flat) == pytest.approx(0.1, abs=EXACT)
    assert _score("decile_wape", flat) == pytest.approx(0, abs=EXACT)


def test_error_and_interval_scores_against_plain_numpy():
    s = _sample()
    apart = s.predicted - s.actual
    assert _score("mae", s) == pytest.approx(np.abs(apart).mean(), abs=EXACT)
    assert _score("rmse", s) == pytest.approx(np.sqrt(np.square(apart).mean()), abs=EXACT)
    assert _score("total_bias", s) == pytest.approx(s.predicted.sum() / s.actual.sum() - 1, abs=EXACT)
    inside = np.mean([low <= a <= high for low, a, high in zip(s.low, s.actual, s.high, strict=True)])
    assert _score("interval_coverage", s) == pytest.approx(inside, abs=EXACT)
    assert _score("interval_width", s) == pytest.approx(np.mean(s.high - s.low) / s.actual.mean(), abs=EXACT)
