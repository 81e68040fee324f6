"""Sample sizes and power against R's help pages, G*Power (through spotify-confidence), gbstats and rules of thumb."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from headwater.numerics.always_valid import mixture_reach, tuned_ratio
from headwater.numerics.group_sequential import fixed_drift
from headwater.numerics.moments import of_rows
from headwater.numerics.power import (
    alpha_each,
    design_effect,
    detectable,
    intraclass,
    power_of,
    share_power,
    share_users,
    std_error_of,
    users_needed,
)

R_RTOL = 1e-6  # R prints seven digits
GPOWER_RTOL = 0.005  # spotify-confidence's own tolerance
GBSTATS_ATOL = 1e-5  # gbstats halves its bracket until the power is this near
ONE = (1.0, 1.0)


def test_sample_size_of_means_against_r_power_t_test():
    # power.t.test(delta = 1, sd = 1, power = .90): n = 22.02110, both tails 22.0210884
    assert users_needed(1.0, variances=ONE, power=0.9) / 2 == pytest.approx(22.0210884, rel=1e-7)


def test_power_of_means_against_r_power_t_test():
    # power.t.test(n = 20, delta = 1, sd = 1): power = 0.8689528, with both tails 0.8689530
    assert power_of(1.0, sqrt(2 / 20), alpha=0.05, df=38) == pytest.approx(0.8689530, rel=R_RTOL)


@pytest.mark.parametrize(
    ("shares", "power", "test", "n"),
    [
        ((0.5, 0.75), 0.9, "pooled", 76.7069),
        ((0.5, 0.75), 0.9, "arcsine", 76.652940),
        ((0.20, 0.25), 0.8, "pooled", 1093.739),
        ((0.10, 0.11), 0.8, "pooled", 14750.790),
    ],
)
def test_sample_size_of_shares_against_r_power_prop_test(shares, power, test, n):
    assert share_users(shares, power=power, test=test) == pytest.approx(n, rel=R_RTOL)


def test_power_of_shares_against_r_power_prop_test():
    assert share_power(50, 50, shares=(0.5, 0.75)) == pytest.approx(0.7401659, rel=R_RTOL)


@pytest.mark.parametrize(
    ("shares", "total"),
    [((0.5, 0.5), 39_906), ((0.5, 0.25), 29_929 + 2 * 14_965), ((1 / 3, 1 / 3), 19_953 * 3)],
)
def test_means_against_gpower_in_spotify_confidence(shares, total):
    # average_absolute_mde 0.3, baseline_variance 100, its default power 0.85; two and three arms
    found = users_needed(0.3, variances=(100.0, 100.0), power=0.85, shares=shares)
    assert found == pytest.approx(total, rel=GPOWER_RTOL)


@pytest.mark.parametrize(
    ("alpha", "power", "total"), [(0.05, 0.85, 897_348), (0.14, 0.85, 630_710), (0.14, 0.67, 366_424)]
)
def test_shares_against_gpower_in_spotify_confidence(alpha, power, total):
    # baseline_proportion 0.34, absolute_percentage_mde 0.003
    found = 2 * share_users((0.34, 0.343), alpha=alpha, power=power)
    assert found == pytest.approx(total, rel=GPOWER_RTOL)


def test_shares_of_three_arms_against_gpower_in_spotify_confidence():
    control = share_users((0.34, 0.343), power=0.85, arm_to_control=0.5)
    assert 2 * control == pytest.approx(673_157 + 2 * 336_578, rel=GPOWER_RTOL)
    each = share_users((0.34, 0.343), power=0.85)
    assert 3 * each == pytest.approx(448_674 * 3, rel=GPOWER_RTOL)


def test_rule_of_sixteen_against_kohavi_et_al_2009():
    assert 2 * fixed_drift(alpha=0.05, power=0.8) ** 2 == pytest.approx(15.6977595, abs=6e-8)
    exact = 15.6977595 / 16  # the rule rounds the constant up
    for spread, difference, n in ((30.0, 0.1875, 409_600), (sqrt(0.05 * 0.95), 0.0025, 121_600)):
        found = users_needed(difference, variances=(spread**2, spread**2)) / 2
        assert found == pytest.approx(n * exact, rel=1e-4)


@pytest.mark.parametrize(("rule", "scaling"), [("fixed", 25.45703125), ("sequential", 55.66796875)])
def test_users_still_needed_against_gbstats_mid_experiment_power(rule, scaling):
    # 500 + 500 users, sums 500 and 525, squares 1500 and 1551.25; relative effect 5%, delta method; N* = 5000
    means = (1.0, 1.05)
    variances = ((1500 - 500) / 499, (1551.25 - 525 * 1.05) / 499)
    error = sqrt(variances[1] / 500 / means[0] ** 2 + variances[0] / 500 * means[1] ** 2 / means[0] ** 4)
    ratio = tuned_ratio(0.05) * 1000 * (1 + scaling) / 5000
    reach = mixture_reach(ratio, 0.05) if rule == "sequential" else None
    found = power_of(0.05, error / sqrt(1 + scaling), alpha=0.05, reach=reach)
    assert found == pytest.approx(0.8, abs=GBSTATS_ATOL)


def test_unequal_shares_and_clusters_against_simulation():
    """Clusters of ten with an intraclass correlation of .05 in a 20/80 split: power of Welch on cluster means."""
    rng = np.random.default_rng(1)
    inflation, shares = design_effect(10, intraclass=0.05), (0.2, 0.8)
    n = users_needed(0.25, variances=ONE, shares=shares, inflation=inflation)
    clusters = [round(n * s / 10) for s in shares]
    runs, spread = 4000, sqrt(0.05 + 0.95 / 10)
    control = rng.normal(0, spread, size=(runs, clusters[0]))
    arm = rng.normal(0.25, spread, size=(runs, clusters[1]))
    found = (stats.ttest_ind(arm, control, axis=1, equal_var=False).pvalue < 0.05).mean()
    assert found == pytest.approx(
        0.8, abs=0.03
    )  # users there count as independent: a few clusters cost a point or two


@pytest.mark.parametrize("sides", ["two_sided", "one_sided"])
def test_what_is_detectable_needs_the_users_it_has(sides):
    kw = {"variances": (3.0, 5.0), "shares": (0.3, 0.2), "sides": sides, "inflation": 0.7}
    assert users_needed(detectable(5000, **kw), **kw) == pytest.approx(5000, rel=1e-6)


def test_non_inferiority_against_the_closed_form():
    # n = (z_.95 + z_.80)^2 2 sigma^2 / margin^2 in each arm (Chow, Shao and Wang 2008, 3.2.2), plus what t costs
    closed = (1.6448536 + 0.8416212) ** 2 * 2 / 0.05**2
    found = users_needed(0.0, variances=ONE, sides="one_sided", margin=0.05) / 2
    assert found == pytest.approx(closed, rel=1e-3)
    assert detectable(2 * found, variances=ONE, sides="one_sided", margin=0.05) == pytest.approx(0, abs=1e-7)


def test_intraclass_correlation_of_simulated_clusters():
    rng = np.random.default_rng(2)
    sizes = rng.integers(2, 30, size=2000)
    cluster = np.repeat(np.arange(2000), sizes)
    values = rng.normal(0, sqrt(0.1), size=2000)[cluster] + rng.normal(0, sqrt(0.9), size=cluster.size)
    assert intraclass(of_rows(values[:, None], groups=cluster)) == pytest.approx(0.1, abs=0.01)
    alone = of_rows(rng.normal(size=(cluster.size, 1)), groups=cluster)
    assert intraclass(alone) == pytest.approx(0, abs=0.01)


def test_small_pieces():
    assert design_effect(20, intraclass=0.05) == pytest.approx(1.95)  # 1 + 19 * .05, Donner and Klar
    assert alpha_each(0.05, n_comparisons=4) == 0.0125
    assert alpha_each(0.05, n_comparisons=4, correction="none") == 0.05
    assert alpha_each(0.05, n_comparisons=4, correction="sidak") == pytest.approx(1 - 0.95**0.25)
    assert std_error_of(200, variances=ONE) == pytest.approx(sqrt(2 / 100))
    assert users_needed(100.0, variances=ONE) < 6
