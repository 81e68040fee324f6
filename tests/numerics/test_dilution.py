"""Dilution against the formula of the paper and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest

from headwater.numerics.adjusted import adjusted_means
from headwater.numerics.dilution import diluted_means
from headwater.numerics.moments import of_rows

EXACT = 1e-10  # the same sums in another order
MONTE_CARLO = 0.06  # a standard deviation of 1,500 draws is known to 1.8%, three times that


def diluted(rows: np.ndarray, arm: np.ndarray, met: np.ndarray):
    arms = [of_rows(rows[met & (arm == a), None]) for a in (0, 1)]
    triggered = adjusted_means(arms, of_rows(rows[met, None]), n_outcomes=1)
    return diluted_means(triggered, of_rows(rows[~met, None]), n_triggered=float(met.sum()))


def test_a_mean_is_the_papers_share_times_effect_and_its_variance() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    arm, met = rng.random(n) < 0.5, rng.random(n) < 0.2
    y = rng.gamma(2, size=n) + met + 0.3 * (met & arm)
    found = diluted(y, arm.astype(int), met)
    t, c = y[met & arm], y[met & ~arm]
    r, d = met.mean(), t.mean() - c.mean()
    variance = r**2 * (t.var(ddof=1) / t.size + c.var(ddof=1) / c.size) + d**2 * r * (1 - r) / n
    cov = found.covariance[:, :, 0, 0]
    assert found.means[1, 0] - found.means[0, 0] == pytest.approx(r * d, rel=EXACT)
    assert cov[1, 1] + cov[0, 0] - 2 * cov[0, 1] == pytest.approx(variance, rel=EXACT)


def test_standard_errors_are_those_of_repeated_experiments() -> None:
    rng = np.random.default_rng(2)
    effects, values, errors, own = [], [], [], []
    for _ in range(1500):
        n = 600
        arm, met = rng.random(n) < 0.5, rng.random(n) < 0.3
        y = rng.normal(1 + 2 * met + 1.5 * (met & arm), 1.0)
        found = diluted(y, arm.astype(int), met)
        cov = found.covariance[:, :, 0, 0]
        effects.append(found.means[1, 0] - found.means[0, 0])
        errors.append(np.sqrt(cov[1, 1] + cov[0, 0] - 2 * cov[0, 1]))
        values.append(found.means[1, 0])
        own.append(np.sqrt(cov[1, 1]))
    assert np.std(effects) == pytest.approx(np.mean(errors), rel=MONTE_CARLO)
    assert np.std(values) == pytest.approx(np.mean(own), rel=MONTE_CARLO)
    assert np.mean(effects) == pytest.approx(0.3 * 1.5, abs=4 * np.std(effects) / np.sqrt(1500))
