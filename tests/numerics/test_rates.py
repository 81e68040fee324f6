"""Rates of arms, against scipy's exact and asymptotic tests."""

import numpy as np
import pytest
from scipy import stats

from headwater.numerics.rates import rates_differ

RTOL = 1e-9


def test_few_events_against_scipy_fisher_exact_one_sided_doubled():
    tails = [
        stats.fisher_exact([[3, 997], [14, 2986]], alternative=side).pvalue for side in ("less", "greater")
    ]
    assert rates_differ([3, 14], [1000, 3000]) == pytest.approx(min(1.0, 2 * min(tails)), rel=RTOL)


def test_many_events_against_scipy_chi_square_of_the_table():
    table = [[5100, 44_900], [4900, 45_100]]
    peer = stats.chi2_contingency(table, correction=False).pvalue
    assert rates_differ([5100, 4900], [50_000, 50_000]) == pytest.approx(peer, rel=RTOL)


def test_several_arms_are_each_compared_with_the_control_by_bonferroni():
    one = rates_differ([10, 40], [1000, 1000])
    assert rates_differ([10, 12, 40], [1000] * 3) == pytest.approx(2 * one, rel=RTOL)


@pytest.mark.parametrize("events", [(0, 0), (10, 10)])
def test_nobody_or_everybody_is_no_difference(events):
    assert rates_differ(events, (10, 10)) == 1.0


def test_one_event_in_a_small_arm_is_no_news_simulation_with_known_truth():
    rng = np.random.default_rng(3)
    false = [
        rates_differ((int(rng.binomial(9900, 2e-4)), int(rng.binomial(100, 2e-4))), (9900, 100)) < 0.05
        for _ in range(2000)
    ]
    assert np.mean(false) < 0.05
