"""Welch and Fieller, against gbstats, scipy and R's own textbook numbers."""

from math import inf

import pytest
from scipy import stats

from headwater.numerics.effect import ArmEstimate, effect_of, fieller

GBSTATS_ATOL = 5e-8  # gbstats' tests print seven or eight digits
SCIPY_RTOL = 1e-10


def _arm(total: float, squares: float, n: int) -> ArmEstimate:
    mean = total / n
    return ArmEstimate(value=mean, variance=(squares - total * mean) / (n - 1) / n, df=n - 1, n=n)


def test_welch_and_fieller_against_gbstats_two_sided_t_test():
    found = effect_of(_arm(1396.87, 52377.9767, 3407), _arm(2422.7, 134698.29, 3461))
    assert found is not None
    assert found.difference == pytest.approx(0.29, abs=1e-12)
    assert found.std_error == pytest.approx(0.12478363, abs=GBSTATS_ATOL)
    assert found.df == pytest.approx(5841.742, abs=5e-4)
    assert (found.low, found.high) == pytest.approx((0.0453779, 0.5346221), abs=1e-7)
    assert found.p_value == pytest.approx(0.0201584, abs=GBSTATS_ATOL)
    assert (found.rel_low, found.rel_high) == pytest.approx((0.0940620, 1.7086899), abs=1e-6)


def test_one_sided_against_gbstats_one_sided_greater():
    found = effect_of(_arm(1396.87, 52377.9767, 3000), _arm(2422.7, 134698.29, 3461), side="greater")
    assert found is not None
    assert found.difference == pytest.approx(0.2343767, abs=GBSTATS_ATOL)
    assert found.std_error == pytest.approx(0.1298308, abs=1e-7)
    assert found.p_value == pytest.approx(0.0355427, abs=1e-7)
    assert found.low == pytest.approx(0.0207915, abs=1e-7)
    assert found.high == inf


def test_welch_against_scipy():
    a = [27.5, 21, 19, 23.6, 17, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19, 21.7, 21.4]
    b = [27.1, 22, 20.8, 23.4, 23.4, 23.5, 25.8, 22, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 23]
    found = effect_of(*(_arm(sum(x), sum(v * v for v in x), len(x)) for x in (b, a)))
    theirs = stats.ttest_ind(a, b, equal_var=False)
    assert found is not None
    assert found.statistic == pytest.approx(theirs.statistic, rel=SCIPY_RTOL)
    assert (found.statistic, found.df, found.p_value) == pytest.approx(
        (-2.7607174, 27.8825098, 0.0100814), abs=1e-7
    )
    assert (found.low, found.high) == pytest.approx((-4.7734212, -0.7065788), abs=1e-7)


@pytest.mark.parametrize("treatment", [0.5, 0.9, 1.0, 1.2, 1.4, 3.0])
@pytest.mark.parametrize("control", [1.0, -1.0])
def test_the_relative_interval_leaves_out_zero_exactly_where_the_absolute_one_does(
    control: float, treatment: float
):
    one = ArmEstimate(value=control, variance=0.01, df=500, n=501)
    other = ArmEstimate(value=treatment * control, variance=0.02, df=500, n=501)
    found = effect_of(one, other, covariance=0.004)
    assert found is not None
    assert found.rel_low is not None
    assert found.rel_high is not None
    assert (found.low > 0) == (found.rel_low > 0)
    assert (found.high < 0) == (found.rel_high < 0)
    assert (found.low > 0 or found.high < 0) == (found.p_value < 0.05)


def test_a_control_not_clear_of_zero_has_no_relative_effect():
    noisy = ArmEstimate(value=0.1, variance=0.01, df=100, n=101)
    assert fieller(noisy, noisy, covariance=0.0, reach=1.96) is None
    found = effect_of(noisy, noisy)
    assert found is not None
    assert found.relative is None


def test_arms_without_any_spread_have_no_effect_to_test():
    flat = ArmEstimate(value=1.0, variance=0.0, df=10, n=11)
    assert effect_of(flat, flat) is None
