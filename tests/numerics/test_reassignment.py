"""Random assignment in bulk against moments of the rows themselves."""

import numpy as np
import pytest
from scipy import stats

from headwater.numerics import reassignment
from headwater.numerics.reassignment import reassigned

ROUNDING = 1e-9


def test_arms_of_a_run_hold_all_users_once(monkeypatch):
    monkeypatch.setattr(reassignment, "_CELLS", 700)  # several blocks
    rng = np.random.default_rng(1)
    values = rng.lognormal(size=(301, 2)) + np.array([1e6, 0.0])
    runs = reassigned(values, together=[[0, 1]], shares=[0.2, 0.5, 0.3], n_runs=7, rng=rng)
    moments = runs.moments([0, 1])
    for run in range(7):
        whole = moments.of(range(3 * run, 3 * run + 3)).pooled()
        assert whole.n[0] == 301
        assert whole.mean[0] == pytest.approx(values.mean(axis=0), rel=ROUNDING)
        assert whole.covariance()[0] == pytest.approx(np.cov(values.T), rel=1e-7)


def test_arms_are_those_of_the_draws():
    values = np.random.default_rng(2).normal(size=(500, 1))
    runs = reassigned(values, together=[[0]], shares=[0.5, 0.5], n_runs=3, rng=np.random.default_rng(3))
    draws = np.random.default_rng(3).integers(0, 1 << 16, size=(3, 500), dtype=np.uint16) < (1 << 15)
    for run in range(3):
        chosen = values[draws[run], 0]
        found = runs.moments([0])
        assert found.n[2 * run] == chosen.size
        assert found.mean[2 * run, 0] == pytest.approx(chosen.mean(), abs=ROUNDING)
        assert found.scatter[2 * run, 0, 0] == pytest.approx(chosen.var() * chosen.size, abs=ROUNDING)


def test_shares_are_met():
    runs = reassigned(
        np.zeros((2000, 1)), together=[[0]], shares=[0.1, 0.9], n_runs=200, rng=np.random.default_rng(4)
    )
    n = int(runs.n[:, 0].sum())
    assert stats.binomtest(n, 400_000, 0.1).pvalue > 1e-4
