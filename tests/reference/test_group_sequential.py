"""Bounds and conditional power of group sequential tests, against published tables and other programs."""

import time

import numpy as np
import pytest

from headwater.numerics.group_sequential import (
    conditional_power,
    constant_bounds,
    crossing,
    spending_bounds,
)

TABLE_ATOL = 6e-6  # the vectors print five decimals
SAS_ATOL = 3e-4  # SAS integrates on a coarser grid
SPOTIFY_ATOL = 7e-5  # spotify-confidence follows the older program ld98
SPOTIFY_MANY_ATOL = 6e-3  # what is left of its lost second look, and of its coarse grid where looks are close
EAST_ATOL = 1e-3  # as in gsDesign's own test against East
SIMULATION_ATOL = 0.01  # the research's 21.4% and 27.0% are simulated shares

MANY_DAYS = [
    0.0016169976338740648,
    0.0057857955498163615,
    0.012200379088315757,
    0.020199591701142824,
    0.02956441064038571,
    0.04047102718841871,
    0.052929825413405296,
    0.06580092295219643,
    0.07878439818310792,
    0.09148496950057272,
    0.1028893343050959,
    0.1128434997940756,
    0.12298934256730025,
    0.13280979910049193,
    0.14267997977787195,
    0.15281963941289514,
    0.16293176212095561,
    0.17198778455162406,
    0.17996747917082068,
    0.18786110540725684,
    0.1955669737257397,
    0.20335013690301407,
    0.21277055903588274,
    0.22148328777708232,
    0.2295912740670489,
    0.23640586948077766,
    0.2431234831038822,
    0.24987292468428604,
    0.2568336065927525,
    0.2649271880853427,
]
MANY_BOUNDS = [
    5.75400023,
    8.0,
    5.14701605,
    4.91478643,
    4.80691346,
    4.69004328,
    4.57921075,
    4.49683943,
    4.44452939,
    4.38899083,
    4.35683792,
    4.33289847,
    4.301461,
    4.27383028,
    4.24513591,
    4.21444005,
    4.18809224,
    4.17037988,
    4.15702106,
    4.13796352,
    4.12345883,
    4.10808648,
    4.07898394,
    4.06169498,
    4.04985422,
    4.04453139,
    4.03288177,
    4.02205301,
    4.00664024,
    3.98770613,
]


def _equal(k: int) -> np.ndarray:
    return np.arange(1, k + 1) / k


@pytest.mark.parametrize(
    "bounds",
    [
        [2.79651, 1.97743],
        [3.47109, 2.45443, 2.00404],
        [4.04859, 2.86279, 2.33746, 2.02430],
        [4.56174, 3.22564, 2.63372, 2.28087, 2.04007],
    ],
)
def test_obrien_fleming_constants_against_jennison_turnbull_table_2_3(bounds):
    assert constant_bounds(_equal(len(bounds)), alpha=0.05) == pytest.approx(bounds, abs=TABLE_ATOL)


@pytest.mark.parametrize(
    ("k", "constant"), [(2, 2.17827), (3, 2.28948), (4, 2.36130), (5, 2.41318), (10, 2.55501)]
)
def test_pocock_constants_against_jennison_turnbull_table_2_1(k, constant):
    assert constant_bounds(_equal(k), alpha=0.05, kind="pocock") == pytest.approx(
        [constant] * k, abs=TABLE_ATOL
    )


@pytest.mark.parametrize(
    ("shares", "bounds"),
    [
        (_equal(3), [3.71030, 2.51143, 1.99305]),
        (_equal(4), [4.33263, 2.96313, 2.35904, 2.01409]),
        (_equal(5), [4.87688, 3.35701, 2.68028, 2.28982, 2.03103]),
    ],
)
def test_lan_demets_obrien_fleming_against_the_research_vectors(shares, bounds):
    assert spending_bounds(shares, alpha=0.05) == pytest.approx(bounds, abs=TABLE_ATOL)


def test_lan_demets_obrien_fleming_at_unequal_looks_against_the_research_vector():
    found = spending_bounds([0.1, 0.35, 0.6, 1.0], alpha=0.05)
    assert found == pytest.approx([6.9913, 3.6128, 2.6732, 1.9812], abs=6e-5)  # printed with four decimals


def test_lan_demets_obrien_fleming_against_sas_seqdesign():
    found = spending_bounds(_equal(4), alpha=0.05)
    assert found == pytest.approx([4.33263, 2.96333, 2.35902, 2.01409], abs=SAS_ATOL)


def test_lan_demets_pocock_against_the_research_vector():
    found = spending_bounds(_equal(5), alpha=0.05, spending="pocock")
    assert found == pytest.approx([2.43798, 2.42681, 2.41019, 2.39665, 2.38598], abs=TABLE_ATOL)


@pytest.mark.parametrize(
    "bounds",
    [
        [2.77292, 2.34723, 2.06186],
        [2.95517, 2.55932, 2.30081, 2.09191],
        [3.09023, 2.71408, 2.47274, 2.27981, 2.11397],
    ],
)
def test_power_family_against_spotify_confidence(bounds):
    found = spending_bounds(_equal(len(bounds)), alpha=0.05, spending="power")
    assert found == pytest.approx(bounds, abs=SPOTIFY_ATOL)


def test_conditional_power_against_east_6_5_as_in_gsdesign():
    # gsDesign(k = 2, n.fix = 800): one-sided 0.025, Hwang-Shih-DeCani(-4), looks at a half and at all
    z1 = 1.151764990571
    bounds = spending_bounds([0.5, 1.0], alpha=0.025, spending="hwang_shih_decani", sides=1)
    found = conditional_power(
        z1, 0.5, later=[1.0], upper=bounds[1:], lower=[-np.inf], drift=z1 / np.sqrt(0.5)
    )
    assert found.up[0] == pytest.approx(0.308644, abs=EAST_ATOL)


def test_power_family_at_many_looks_against_spotify_confidence():
    """The first 30 looks of ``test_many_days``; at its second look spotify-confidence gives up and caps the bound at 8."""
    found = spending_bounds(MANY_DAYS, alpha=0.003333333, spending="power")
    assert found[0] == pytest.approx(MANY_BOUNDS[0], abs=SPOTIFY_ATOL)
    assert found[9:] == pytest.approx(MANY_BOUNDS[9:], abs=SPOTIFY_MANY_ATOL)


def test_hundred_and_sixty_three_looks_take_no_time_and_spend_the_error():
    looks, alpha = _equal(163), 0.0033333
    began = time.process_time()
    bounds = spending_bounds(looks, alpha=alpha, spending="power")
    assert time.process_time() - began < 5  # spotify-confidence allows itself 30 s; ours takes 0.1
    assert crossing(looks, bounds).either == pytest.approx(alpha, rel=1e-6)


def test_many_close_looks_take_no_time():
    looks = np.concatenate([np.linspace(0.01, 0.45, 50), np.linspace(0.451, 0.5, 100), [1.0]])
    began = time.process_time()
    bounds = spending_bounds(looks, alpha=0.0033333, spending="power")
    assert time.process_time() - began < 10
    assert crossing(looks, bounds).either == pytest.approx(0.0033333, rel=1e-4)


@pytest.mark.parametrize(("looks", "error"), [(14, 0.214), (28, 0.270)])
def test_error_of_the_naive_peeker_against_the_research_simulation(looks, error):
    found = crossing(_equal(looks), [1.959964] * looks).either
    assert found == pytest.approx(error, abs=SIMULATION_ATOL)
