"""Sample ratio mismatch, against published examples and scipy."""

import numpy as np
import pytest
from scipy import integrate, stats

from headwater.numerics.sample_ratio import homogeneity, sequential_srm, srm, srm_of_groups

PRINTED = 5e-7  # relative: the research file prints eight digits
SCIPY_RTOL = 1e-12
QUADRATURE_RTOL = 1e-8


@pytest.mark.parametrize(
    ("counts", "chi2", "p"),
    [
        ([821588, 815482], 22.7743688, 1.8217929e-06),  # Kohavi, Tang and Xu (2020): 1.8e-6
        ([600, 400], 40.0, 2.5396e-10),
        ([502, 498], 0.016, 0.899343),  # Vermeer's FAQ on sample ratio mismatch
        ([10000, 10200], 1.98020, 0.159370),
    ],
)
def test_chi_square_against_kohavi_tang_xu_2020_and_vermeer(counts, chi2, p):
    found = srm(counts, [0.5, 0.5])
    assert found[0] == pytest.approx(chi2, rel=2e-6)
    assert found[1] == pytest.approx(p, rel=2e-5)


def test_three_equal_arms_against_statsig_documentation():
    chi2, p = srm([166_080, 171_180, 166_300], [1, 1, 1])
    assert chi2 == pytest.approx(99.0404, abs=5e-5)
    assert p == pytest.approx(3.116e-22, rel=5e-4)


def test_kohavi_tang_xu_2020_to_eight_digits():
    chi2, p = srm([821588, 815482], [0.5, 0.5])
    assert (chi2, p) == pytest.approx((22.7743688, 1.8217929e-06), rel=PRINTED)


def test_groups_and_unequal_shares_against_scipy():
    counts = np.array([[120.0, 30, 55], [10, 90, 400]])
    shares = np.array([0.2, 0.3, 0.1])
    chi2, p = srm_of_groups(counts, shares)
    for row, c, q in zip(counts, chi2, p, strict=True):
        peer = stats.chisquare(row, row.sum() * shares / shares.sum())
        assert (c, q) == pytest.approx((peer.statistic, peer.pvalue), rel=SCIPY_RTOL)


def test_shares_alike_in_all_parts_against_scipy_chi2_contingency():
    table = np.array([[120, 130, 0], [300, 280, 0], [55, 90, 0]])
    peer = stats.chi2_contingency(table[:, :2], correction=False)
    assert homogeneity(table) == pytest.approx((peer.statistic, peer.pvalue), rel=SCIPY_RTOL)
    assert homogeneity(table[:1]) == (0.0, 1.0)


def test_the_sequential_p_value_is_the_likelihood_by_quadrature():
    """Two arms: the mixture over a Beta distribution, integrated."""
    counts, concentration = np.array([[15, 60]]), 40.0
    share = np.array([0.5, 0.5])

    def mixed(p: float) -> float:
        return float(stats.beta(20, 20).pdf(p) * p**15 * (1 - p) ** 60)

    likelihood = integrate.quad(mixed, 0, 1, epsabs=0)[0] / 0.5**75
    found = sequential_srm(counts, share, concentration=concentration)
    assert found[0] == pytest.approx(min(1.0, 1 / likelihood), rel=QUADRATURE_RTOL)


def test_sequential_p_values_of_sound_experiments_watched_by_the_day_cry_wolf_less_than_five_in_a_hundred():
    """1000 experiments, 30 looks each; a chi-square at every look would cry wolf in about a quarter."""
    rng = np.random.default_rng(12)
    daily = rng.multinomial(2000, [0.5, 0.3, 0.2], size=(1000, 30))
    low = [sequential_srm(days.cumsum(axis=0), [5, 3, 2], concentration=1000.0)[-1] < 0.05 for days in daily]
    assert np.mean(low) < 0.05


def test_a_broken_assignment_is_found_before_its_end_and_stays_found():
    rng = np.random.default_rng(13)
    days = rng.multinomial(2000, [0.47, 0.53], size=30)
    p = sequential_srm(days.cumsum(axis=0), [1, 1])
    assert p[-1] < 1e-6
    assert (np.diff(p) <= 0).all()
