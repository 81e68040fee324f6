"""An effect that fades, fitted where the truth is known."""

import numpy as np
from scipy import stats

from headwater.numerics.fading import fit_fading

LASTING, PASSING, RATE = 0.5, 2.0, 0.25
BINOMIAL = 1e-3  # chance that a sound method leaves these bounds


def test_intervals_of_the_total_hold_the_truth():
    rng = np.random.default_rng(3)
    age = np.concatenate([np.arange(n) for n in (14, 12, 10, 8)]).astype(float)
    error = rng.uniform(0.1, 0.4, age.size)
    truth = 60 * LASTING + PASSING * np.exp(-RATE * np.arange(60)).sum()
    held, runs = 0, 500
    for _ in range(runs):
        effect = LASTING + PASSING * np.exp(-RATE * age) + rng.normal(size=age.size) * error
        found = fit_fading(age, effect, error)
        assert found is not None
        value, std_error = found.total(60)
        held += abs(value - truth) <= 1.959964 * std_error
    low, high = stats.binom.ppf([BINOMIAL / 2, 1 - BINOMIAL / 2], runs, 0.95)
    assert low <= held <= high


def test_what_cannot_be_told_is_none():
    assert fit_fading(np.array([0.0, 1.0, 2.0]), np.ones(3), np.ones(3)) is None
    assert fit_fading(np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4), np.ones(4)) is None
