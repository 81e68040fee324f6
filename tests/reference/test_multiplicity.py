"""Adjusted p-values, against Benjamini and Hochberg's fifteen, SciPy, and all intersections tried."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from headwater.core.errors import UsageError
from headwater.numerics.multiplicity import PROCEDURES, adjusted, gated, rates

PRINTED = 5e-7  # digits of the research file
SAME = 1e-12

BH_1995 = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip


@pytest.mark.parametrize(
    ("how", "rejected"), [("bh", 4), ("bonferroni", 3), ("holm", 3), ("by", 3), ("none", 9)]
)
def test_rejections_against_benjamini_hochberg_1995(how: str, rejected: int):
    assert int((adjusted(BH_1995, how=how) <= 0.05).sum()) == rejected


def test_adjusted_p_values_against_benjamini_hochberg_1995():
    bh = [.0015, .003, .0095, .035625, .0603, .063857, .063857, .0645, .0765, .486, .581182, .714875, .753231, .813214, 1]  # fmt: skip
    assert adjusted(BH_1995, how="bh").tolist() == pytest.approx(bh, abs=PRINTED)
    holm = [0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.278]
    assert adjusted(BH_1995, how="holm")[:6].tolist() == pytest.approx(holm, abs=PRINTED)
    assert adjusted(BH_1995, how="hommel")[3] == pytest.approx(0.095, abs=PRINTED)
    assert adjusted(BH_1995, how="hochberg")[5] == pytest.approx(0.2682, abs=PRINTED)


@pytest.mark.parametrize("how", ["bh", "by"])
def test_false_discovery_rates_against_scipy(how: str):
    p = np.random.default_rng(1).random(40) ** 3
    np.testing.assert_allclose(adjusted(p, how=how), stats.false_discovery_control(p, method=how), rtol=SAME)


def test_hommel_against_simes_tests_of_all_intersections():
    p = np.random.default_rng(2).random(7) ** 2

    def simes(those: tuple[int, ...]) -> float:
        some = np.sort(p[list(those)])
        return float((some * some.size / np.arange(1, some.size + 1)).min())

    closed = [
        max(simes(s) for k in range(1, 8) for s in combinations(range(7), k) if i in s) for i in range(7)
    ]
    np.testing.assert_allclose(adjusted(p, how="hommel"), closed, rtol=SAME)


@pytest.mark.parametrize("how", sorted(PROCEDURES))
def test_a_hypothesis_is_rejected_exactly_where_its_p_is_at_most_its_rate(how: str):
    rng = np.random.default_rng(3)
    for _ in range(20):
        p = rng.random(5) ** 4
        found = rates(p, alpha=0.05, how=how)
        assert ((adjusted(p, how=how) <= 0.05) == (p <= found + 1e-15)).all()


def test_holms_rates_by_hand():
    assert rates([0.001, 0.03, 0.04], alpha=0.05).tolist() == pytest.approx([0.05 / 3, 0.025, 0.025])


def test_a_family_behind_a_gate_is_rejected_only_where_all_before_it_are():
    first, second = gated([[0.01, 0.04], [0.001, 0.3]])
    assert first.tolist() == pytest.approx([0.02, 0.04])
    assert second.tolist() == pytest.approx([0.04, 0.3])
    assert gated([[0.2], [1e-9]])[1].tolist() == pytest.approx([0.2])


def test_no_hypotheses_have_no_p_values():
    assert adjusted([], how="hommel").size == 0


def test_an_unknown_procedure_is_refused_with_the_near_miss():
    with pytest.raises(UsageError, match="holm"):
        adjusted([0.1], how="holmes")
