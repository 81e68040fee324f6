"""Permutation of arms, against SciPy's on the same data, and users drawn again, against formulas."""

import numpy as np
import pytest
from scipy import stats

from headwater.effects.metrics.mean import Mean
from headwater.effects.metrics.ratio import Ratio
from headwater.numerics.permutation import permutation_test
from headwater.numerics.quantile_effect import bound_ranks, quantile_estimate
from headwater.numerics.redrawn import redrawn, weighted_quantiles

SCIPY_ATOL = 1e-12
DRAWS_ATOL = 0.03  # 4 standard errors of a share near 0.1 of 2 x 4999 draws, and some more
SE_RTOL = 0.09  # a standard deviation of 1000 resamples is known to 2.2%: 4 of these

A = np.array([27.5, 21, 19, 23.6, 17, 17.9, 16.9])
B = np.array([27.1, 22, 20.8, 23.4, 23.4, 29.5])


def _tested(control: np.ndarray, treatment: np.ndarray, kind: Mean | Ratio | None = None, **more: int):
    kind = kind or Mean()
    rows = [x.reshape(len(x), -1) for x in (control, treatment)]
    return permutation_test(
        *rows, value=kind.value, gradient=kind.gradient, rng=np.random.default_rng(1), **more
    )


def test_all_assignments_against_scipy_permutations_of_welchs_t():
    found = _tested(A, B)
    theirs = stats.permutation_test(
        (B, A),
        lambda x, y: stats.ttest_ind(x, y, equal_var=False).statistic,
        n_resamples=np.inf,
        vectorized=False,
    )
    sizes = np.abs(theirs.null_distribution)
    assert found.is_exact
    assert found.n_assignments == 1716
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-10)
    assert found.p_value == pytest.approx(
        np.mean(sizes >= abs(theirs.statistic) * (1 - 1e-9)), abs=SCIPY_ATOL
    )


def test_random_assignments_come_close_to_all():
    assert _tested(A, B, draws=1500).p_value == pytest.approx(_tested(A, B).p_value, abs=DRAWS_ATOL)


def test_rare_conversions_hold_their_level_simulation_with_known_truth():
    """Two in a hundred convert, arms differ in size: 5% of 300 experiments, less where ties are."""
    rng = np.random.default_rng(2)
    low = [
        _tested((rng.random(80) < 0.02) * 1.0, (rng.random(240) < 0.02) * 1.0, draws=499) for _ in range(300)
    ]
    assert np.mean([found is not None and found.p_value <= 0.05 for found in low]) < 0.05 + 4 * 0.0126


def test_the_p_value_is_at_most_5_percent_exactly_where_the_statistic_reaches_the_critical_value():
    rng = np.random.default_rng(3)
    for _ in range(30):
        found = _tested(rng.normal(size=9), rng.normal(size=30) * 3 + 1.5, draws=999)
        assert (found.p_value <= 0.05) == (abs(found.statistic) > found.critical * (1 - 1e-12))


def test_nobody_differs_and_nothing_is_said():
    assert _tested(np.ones(5), np.ones(7)) is None


def test_redrawn_means_and_ratios_spread_as_the_delta_method_says():
    rng = np.random.default_rng(4)
    over = 1 + rng.poisson(3.0, 2000)
    rows = np.column_stack([over * rng.gamma(2.0, size=2000), over]).astype(float)
    for kind, columns in ((Mean(), rows[:, :1]), (Ratio(), rows)):
        values = redrawn(columns, resamples=1000, rng=rng, value=kind.value)
        slope = np.atleast_1d(kind.gradient(columns.mean(axis=0)))
        variance = slope @ np.atleast_2d(np.cov(columns, rowvar=False)) @ slope / 2000
        assert values.std(ddof=1) == pytest.approx(np.sqrt(variance), rel=SE_RTOL)


def test_redrawn_quantiles_spread_as_order_statistics_say():
    """One sample of 20,000: the width between order statistics is itself known to about 10%."""
    rng = np.random.default_rng(5)
    rows = np.sort(rng.lognormal(size=20_000))
    low, middle, high = (rows[r - 1] for r in bound_ranks(rows.size, 0.9))
    made = quantile_estimate(value=middle, low=low, high=high, n=rows.size, n_users=rows.size)
    values = redrawn(rows[:, None], resamples=500, rng=rng, share=0.9)
    assert values.std(ddof=1) == pytest.approx(np.sqrt(made.variance), rel=0.2)


def test_weighted_quantiles_are_those_of_repeated_users():
    rng = np.random.default_rng(6)
    rows, counts = np.sort(rng.normal(size=31)), rng.poisson(1.0, (20, 31)).astype(float)
    for count, found in zip(counts, weighted_quantiles(rows, counts, share=0.3), strict=True):
        repeated = np.repeat(rows, count.astype(int))
        assert found == repeated[int(np.ceil(0.3 * repeated.size)) - 1]
