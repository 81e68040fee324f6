"""Credibility against Hachemeister's data as published (Buehlmann-Straub by R's actuar), and known truth.

Tolerances: printed figures to the printed digit; simulated variances within 5% of 20,000 users (seed fixed).
"""

import numpy as np
import pytest

from headwater.numerics.credibility import Credibility, of_users, straub

# Hachemeister (1975): mean claim of five states in twelve quarters, and the number of claims
CLAIMS = np.array([
    [1738, 1642, 1794, 2051, 2079, 2234, 2032, 2035, 2115, 2262, 2267, 2517],
    [1364, 1408, 1597, 1444, 1342, 1675, 1470, 1448, 1464, 1831, 1612, 1471],
    [1759, 1685, 1479, 1763, 1674, 2103, 1502, 1622, 1828, 2155, 2233, 2059],
    [1223, 1146, 1010, 1257, 1426, 1532, 1953, 1123, 1343, 1243, 1762, 1306],
    [1456, 1499, 1609, 1741, 1482, 1572, 1606, 1735, 1607, 1573, 1613, 1690],
], dtype=float)  # fmt: skip
COUNTS = np.array([
    [7861, 9251, 8706, 8575, 7917, 8263, 9456, 8003, 7365, 7832, 7849, 9077],
    [1622, 1742, 1523, 1515, 1622, 1602, 1964, 1515, 1527, 1748, 1654, 1861],
    [1147, 1357, 1329, 1204, 998, 1077, 1277, 1218, 896, 1003, 1108, 1121],
    [407, 396, 348, 341, 315, 328, 352, 331, 287, 384, 321, 342],
    [2902, 3172, 3046, 3068, 2693, 2910, 3275, 2697, 2663, 3017, 3242, 3425],
], dtype=float)  # fmt: skip
CLOSE = 0.05


@pytest.fixture(scope="module")
def hachemeister():
    which = np.repeat(np.arange(5), 12)
    return straub(CLAIMS.ravel(), weight=COUNTS.ravel(), which=which)


def test_structure_of_hachemeister_data_against_actuar(hachemeister):
    assert hachemeister.within == pytest.approx(139_120_026, rel=1e-7)
    assert hachemeister.between == pytest.approx(89_638.73, rel=1e-6)
    assert hachemeister.mean == pytest.approx(1683.713, abs=5e-4)


def test_premiums_of_hachemeister_data_against_actuar(hachemeister):
    weight = COUNTS.sum(axis=1)
    own = (COUNTS * CLAIMS).sum(axis=1) / weight
    assert weight.tolist() == [100_155, 19_895, 13_735, 4_152, 36_110]
    assert hachemeister.factor(weight) == pytest.approx([0.9847, 0.9276, 0.8985, 0.7279, 0.9588], abs=5e-5)
    premiums = hachemeister.expected(weight, value=own)
    assert premiums == pytest.approx([2055.165, 1523.706, 1793.444, 1442.967, 1603.285], abs=5e-4)


def shoppers(*, n=20_000, between=400.0, within=2500.0, slope=0.0, first=7.0, seed=1):
    """Users whose true means differ and whose purchases are skewed; first ones cost a little more."""
    rng = np.random.default_rng(seed)
    x = 1.0 + rng.geometric(0.3, n)
    truth = 60 + slope * np.log1p(x) + np.sqrt(between) * (rng.gamma(4, 0.5, n) - 2)
    noise = np.sqrt(within) * (rng.gamma(4, 0.5, (2, n)) - 2)
    total = np.sqrt(within / x) * (rng.gamma(4 * x, 0.5 / np.sqrt(x)) - 2 * np.sqrt(x))
    return x, truth, truth + total, truth + first + noise[0], truth + noise[1]


def test_variances_are_those_simulated():
    x, _, repeat, first, _ = shoppers()
    found = of_users(x, repeat=repeat, first=first)
    assert found.within == pytest.approx(2500, rel=CLOSE)
    assert found.between == pytest.approx(400, rel=CLOSE)
    assert found.mean == pytest.approx(60, rel=0.01)
    assert not found.positive


def test_no_other_share_of_the_own_mean_foretells_the_next_purchase_better():
    """Against a scan: the factor is scaled up and down, and the squared error of the next purchase only grows."""
    x, _, repeat, first, later = shoppers(n=100_000, seed=2)
    found = of_users(x, repeat=repeat, first=first)
    own = found.factor(x)
    errors = {
        scale: np.mean((later - (scale * own * repeat + (1 - scale * own) * found.peers(x))) ** 2)
        for scale in (0.0, 0.7, 1.0, 1.3)
    }
    assert min(errors, key=lambda scale: errors[scale]) == 1.0


def test_peers_by_frequency_are_found_where_spend_grows_with_it():
    x, _, repeat, first, _ = shoppers(slope=20.0, seed=3)
    found = of_users(x, repeat=repeat, first=first, by_frequency=True)
    assert found.slope == pytest.approx(20, rel=CLOSE)
    assert found.between == pytest.approx(400, rel=2 * CLOSE)
    assert found.peers(np.array([4.0, 8.0])) == pytest.approx(60 + 20 * np.log([5.0, 9.0]), rel=0.02)
    new = found.expected(np.zeros(1), value=np.zeros(1))
    assert new == pytest.approx([60 + 20 * np.log(3.0)], rel=0.02)  # nobody was seen with fewer than two


def convex(x, rng):
    """Positive amounts that grow ever faster with how often a user comes."""
    own = 2 * x**1.5 * rng.gamma(20, 1 / 20, x.size)
    return own * rng.gamma(20 * x, 1 / (20 * x)), own * rng.gamma(20, 1 / 20, x.size)


@pytest.mark.parametrize("turned", [False, True])
def test_a_line_is_not_drawn_out_beyond_positive_spend_seen(turned):
    """Convex relations, growing and falling: what users of few purchases spent is worked out from them alone."""
    rng = np.random.default_rng(6)
    x = rng.geometric(0.2, 5_000).astype(float)
    repeat, first = convex(x.max() + 1 - x if turned else x, rng)
    assert abs(np.corrcoef(x, repeat)[0, 1]) >= 0.3
    found = of_users(x, repeat=repeat, first=first, by_frequency=True)
    if not turned:
        line = found.mean + found.slope * (np.log1p(np.zeros(1)) - found.center)
        assert line < 0  # what the bound is for
    new = found.expected(np.zeros(1), value=np.zeros(1))
    assert new == pytest.approx([repeat[x == 1].mean()], rel=CLOSE)
    assert (found.expected(x, value=repeat) > 0).all()
    assert (found.peers(np.array([0.0, 1.0, 2.0, 100.0, 1e6])) >= repeat.min()).all()


def test_draws_have_the_mean_and_variance_they_are_made_for():
    x, value = np.array([0.0, 3.0]), np.array([0.0, 90.0])
    for positive in (True, False):
        known = Credibility(mean=60.0, slope=0.0, center=0.0, between=400.0, within=2500.0, positive=positive)
        days = np.tile(np.array([2, 5]), (200_000, 1))
        drawn = known.draw_total(x, value=value, n_purchases=days, rng=np.random.default_rng(4))
        spread = np.array([2, 5]) * 2500 + np.array([4, 25]) * 400 * (1 - known.factor(x))
        assert drawn.mean(axis=0) == pytest.approx(
            np.array([2, 5]) * known.expected(x, value=value), rel=0.01
        )
        assert drawn.var(axis=0) == pytest.approx(spread, rel=0.03)
        assert (drawn.min() >= 0) == positive
    nothing = known.draw_total(
        x, value=value, n_purchases=np.zeros((3, 2), int), rng=np.random.default_rng(5)
    )
    assert (nothing == 0).all()


@pytest.mark.parametrize("same", [0.0, 12.5, -3.0])
def test_users_who_do_not_differ_take_the_mean_of_all(same):
    found = of_users(np.array([1.0, 4.0]), repeat=np.full(2, same), first=np.full(2, same))
    assert found.expected(np.array([0.0, 9.0]), value=np.array([0.0, same])) == pytest.approx([same, same])
