"""Many experiments as one, beside metafor's thirteen BCG trials and simulations with known truth."""

import numpy as np
import pytest

from headwater.numerics.between import variance_between
from headwater.numerics.meta_analysis import pooled, reml_variance
from headwater.numerics.winners_curse import drawn, selection_bias, wins_of

METAFOR_ATOL = 6e-5  # four decimals are printed
MONTE_CARLO_RTOL = 0.02  # 400,000 draws

BCG = np.array(  # Colditz et al. 1994, as in metafor's dat.bcg: cases and others, vaccinated and not
    [
        (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
        (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232),
        (17, 1699, 65, 1600), (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
    ],
    dtype=float,
)  # fmt: skip


@pytest.fixture
def bcg() -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d = BCG.T
    return np.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


def test_bcg_vaccine_trials_against_metafor(bcg: tuple[np.ndarray, np.ndarray]):
    found = pooled(*bcg)
    assert found is not None
    assert found.tau2 == pytest.approx(0.3132, abs=METAFOR_ATOL)
    assert found.mean == pytest.approx(-0.7145, abs=METAFOR_ATOL)
    assert found.std_error == pytest.approx(0.1798, abs=METAFOR_ATOL)
    assert (found.low, found.high) == pytest.approx((-1.0669, -0.3622), abs=METAFOR_ATOL)
    assert found.q == pytest.approx(152.2330, abs=METAFOR_ATOL)


def test_dersimonian_laird_of_bcg_trials_against_metafor(bcg: tuple[np.ndarray, np.ndarray]):
    tau2, mean = variance_between(bcg[0], variances=bcg[1])
    assert (tau2, mean) == pytest.approx((0.3088, -0.7141), abs=METAFOR_ATOL)


def test_reml_is_zero_where_effects_differ_less_than_their_noise():
    assert reml_variance(np.array([0.1, 0.11, 0.09]), np.ones(3)) == 0.0
    assert pooled(np.array([0.1, 0.2]), np.ones(2)) is None


def test_the_next_effect_lies_in_its_interval_as_often_as_it_says():
    rng = np.random.default_rng(5)
    n_in, n = 0, 800
    for _ in range(n):
        v = rng.uniform(0.2, 1.5, 20)
        true = rng.normal(0.3, 0.8, 21)
        found = pooled(rng.normal(true[:20], np.sqrt(v)), v)
        assert found is not None
        n_in += found.next_low <= true[20] <= found.next_high
    assert 0.925 <= n_in / n <= 0.975  # three binomial errors


def test_bias_of_summed_wins_against_monte_carlo_of_lee_shen_2018():
    rng = np.random.default_rng(7)
    true, error, critical = np.array([0.0, 0.5, 1.0, -0.3]), np.array([1.0, 0.5, 0.8, 0.4]), 1.96
    x = rng.normal(true, error, (400_000, 4))
    won = x > critical * error
    excess = ((x - true) * won).sum(axis=1).mean()
    assert selection_bias(true, error, critical=critical) == pytest.approx(excess, rel=MONTE_CARLO_RTOL)


def test_corrected_wins_hit_the_truth_where_summed_lifts_miss_it():
    rng = np.random.default_rng(11)
    observed, corrected, biases, covered = [], [], [], 0
    for _ in range(300):
        error = rng.uniform(0.5, 1.5, 80)
        true = rng.normal(0.1, 0.6, 80)
        x = rng.normal(true, error)
        won = x > 1.959964 * error
        found = wins_of(x, error, won, critical=1.959964)
        truth = float(true[won].sum())
        observed.append(found.observed - truth)
        corrected.append(found.corrected - truth)
        biases.append(found.bias)
        covered += found.low <= truth <= found.high
    assert np.mean(observed) > 5 * abs(np.mean(corrected))
    assert np.mean(biases) == pytest.approx(np.mean(observed), rel=0.1)  # the prior is estimated from 80
    assert covered / 300 > 0.92


def test_an_effect_is_drawn_to_the_mean_by_its_noise():
    mean, sd = drawn(np.array([0.0, 1.0, 2.0, 3.0, 5.0, 5.0]), np.array([0.3, 0.3, 0.3, 0.3, 0.01, 10.0]))
    assert mean[4] == pytest.approx(5.0, abs=1e-3)
    assert 1.5 < mean[5] < 3.5
    assert sd[4] < 0.02 < sd[5]
