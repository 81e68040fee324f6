"""The robust baseline: its tail on simulated series whose truth is known, and small cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headwater.numerics.robust import mad_scale, seasonal_baseline, zero_probability
from headwater.numerics.silence import expected_slots, silences, slot_dispersion

TAIL = 2.0  # a nominal p may come up to twice as often: the spread is estimated from at most 48 free days
SEED = 20261123


def simulated(rng, *, n, mean, dispersion, drift=0.0, n_days=100):
    """Negative binomial series with a weekday pattern, a trend and a level that walks at random."""
    weekday = np.arange(n_days) % 7
    pattern = np.exp(rng.normal(0, 0.2, (n, 7)))[:, weekday]
    walk = np.exp(
        np.cumsum(rng.normal(0, drift, (n, n_days)), axis=1)
        + rng.uniform(-0.003, 0.006, (n, 1)) * np.arange(n_days)
    )
    counts = rng.poisson(mean * pattern * walk * rng.gamma(1 / dispersion, dispersion, (n, n_days)))
    return counts.astype(float), weekday


def judged(counts, weekday, level):
    every = np.ones(counts.shape, dtype=bool)
    return seasonal_baseline(
        np.log(counts + 0.5),
        1 / (counts + 0.5),
        weekday=weekday,
        usable=every,
        judged=every,
        level=level,
        counts=counts,
    )


@pytest.mark.parametrize(
    ("mean", "dispersion", "drift"),
    [(30, 0.01, 0), (1_000, 0.003, 0), (1_000, 0.05, 0), (20_000, 0.002, 0.02)],
)
def test_tail_probability_against_simulated_negative_binomial_series(mean, dispersion, drift):
    counts, weekday = simulated(
        np.random.default_rng(SEED), n=1_500, mean=mean, dispersion=dispersion, drift=drift
    )
    p = judged(counts, weekday, 1e-12).p
    p = p[np.isfinite(p)]
    assert p.size == 1_500 * (100 - 28)
    for nominal in (0.1, 0.01, 1e-3, 1e-4):
        assert (p < nominal).mean() <= TAIL * nominal + 3 * np.sqrt(nominal / p.size)


def test_the_day_itself_is_never_in_its_baseline_elementary_1560():
    """What elementary-data issue 1560 tells: a spike that widens its own bounds is not seen."""
    counts, weekday = simulated(np.random.default_rng(SEED), n=50, mean=1_000, dispersion=0.003, n_days=60)
    spiked = counts.copy()
    spiked[:, 50] *= 20
    before, after = judged(counts, weekday, 1e-6), judged(spiked, weekday, 1e-6)
    np.testing.assert_array_equal(before.expected[:, 50], after.expected[:, 50])
    assert after.flagged[:, 50].all()


def test_flagged_days_do_not_poison_the_days_after_elementary_1589():
    counts, weekday = simulated(np.random.default_rng(SEED), n=50, mean=1_000, dispersion=0.003, n_days=60)
    spiked = counts.copy()
    spiked[:, 45] *= 20
    spiked[:, 52] = counts[:, 52] / 2
    assert judged(spiked, weekday, 1e-6).flagged[:, 52].mean() > 0.9


def test_nothing_is_judged_before_four_weeks():
    counts, weekday = simulated(np.random.default_rng(SEED), n=3, mean=1_000, dispersion=0.003, n_days=40)
    base = judged(counts, weekday, 0.5)
    assert np.isnan(base.p[:, :28]).all()
    assert np.isfinite(base.p[:, 28:]).all()


@pytest.mark.parametrize(("mean", "dispersion"), [(2.0, 0.5), (30.0, 0.1), (5.0, 3.0)])
def test_zero_probability_against_scipy_negative_binomial(mean, dispersion):
    size = 1 / dispersion
    truth = stats.nbinom.pmf(0, size, size / (size + mean))
    assert zero_probability(np.array([mean]), dispersion)[0] == pytest.approx(truth, rel=1e-9)


def test_mad_scale_against_scipy():
    x = np.random.default_rng(SEED).normal(3, 2, 1_001)
    assert mad_scale(x) == pytest.approx(stats.median_abs_deviation(x, scale="normal"), rel=1e-6)


def test_silence_against_scipy_negative_binomial_tail():
    expected = np.full(168 * 9, 50.0)
    counts = np.full(168 * 9, 50.0)
    counts[700:703] = 0
    (found,) = silences(counts, expected, dispersion=0.2, level=1e-3)
    assert (found.first, found.end, found.expected) == (700, 703, 150.0)
    assert found.p == pytest.approx(stats.nbinom.cdf(0, 5, 1 / (1 + 0.2 * 150)), rel=1e-9)


def test_hours_that_are_always_empty_are_never_silent():
    week = np.zeros(168)
    week[8:20] = 40
    counts = np.tile(week, 9)
    assert silences(counts, expected_slots(counts, per_week=168), dispersion=0.01, level=0.5) == []


def test_two_lost_weeks_do_not_hide_a_third():
    counts = np.full(168 * 9, 40.0)
    for week in (3, 5, 6):
        counts[168 * week + 10 : 168 * week + 12] = 0
    found = silences(counts, expected_slots(counts, per_week=168), dispersion=0.01, level=1e-6)
    assert [f.first for f in found] == [168 * w + 10 for w in (3, 5, 6)]


def test_slot_dispersion_of_simulated_hours():
    rng = np.random.default_rng(SEED)
    mean = np.full(168 * 10, 200.0)
    counts = rng.poisson(mean * rng.gamma(1 / 0.05, 0.05, len(mean)))
    assert slot_dispersion(counts.astype(float), mean) == pytest.approx(0.05, rel=0.2)
