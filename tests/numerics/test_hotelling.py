"""Hotelling's T-squared, against the regression F test it is equal to, and simulation."""

import numpy as np
import pytest
from scipy import stats

from headwater.numerics.hotelling import t_squared
from headwater.numerics.moments import of_rows

RTOL = 1e-8


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_p_against_the_f_test_of_regressing_the_arm_on_all_columns_brute_force(rng):
    x = rng.normal(size=(300, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 2]]) + 1e3
    arm = (rng.random(300) < 0.4).astype(int)
    x[arm == 1, 0] += 0.2
    centered = x - x.mean(axis=0)
    residual = arm - arm.mean() - centered @ np.linalg.lstsq(centered, arm - arm.mean(), rcond=None)[0]
    whole = ((arm - arm.mean()) ** 2).sum()
    f = ((whole - (residual**2).sum()) / 3) / ((residual**2).sum() / (300 - 4))
    found = t_squared(of_rows(x, groups=arm, n_groups=2))
    assert found is not None
    assert found[1] == 3
    assert found[2] == pytest.approx(stats.f.sf(f, 3, 296), rel=RTOL)


def test_one_column_against_scipy_pooled_t_test(rng):
    a, b = rng.normal(size=40), rng.normal(0.3, 1, size=60)
    found = t_squared(of_rows(np.r_[a, b][:, None], groups=np.repeat([0, 1], [40, 60]), n_groups=2))
    assert found is not None
    peer = stats.ttest_ind(a, b)
    assert found[0] == pytest.approx(peer.statistic**2, rel=RTOL)
    assert found[2] == pytest.approx(peer.pvalue, rel=RTOL)


def test_a_column_that_others_determine_changes_nothing(rng):
    x = rng.normal(size=(200, 2))
    arm = np.arange(200) % 2
    twice = np.c_[x, x[:, 0] * 1000 + x[:, 1], np.ones(200)]
    plain, more = (t_squared(of_rows(columns, groups=arm, n_groups=2)) for columns in (x, twice))
    assert plain is not None
    assert more == pytest.approx(plain, rel=1e-6)


def test_nobody_differs_from_anybody():
    assert t_squared(of_rows(np.ones((10, 2)), groups=np.arange(10) % 2, n_groups=2)) is None
