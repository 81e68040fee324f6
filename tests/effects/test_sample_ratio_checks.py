"""Sample ratio checks: planted faults are found and named for what they are, clean experiments pass."""

import numpy as np
import pytest

from headwater.core.finding import Severity
from headwater.effects.checks.sample_ratio import SampleRatio
from headwater.effects.checks.sample_ratio_by_day import SampleRatioByDay
from headwater.effects.checks.sample_ratio_by_segment import SampleRatioBySegment
from headwater.effects.facts import N_ASSIGNED, fact_key

CHECKS = (SampleRatio(), SampleRatioByDay(), SampleRatioBySegment())
DAYS = range(20_000, 20_014)
STRATA = ("android", "ios", "web")
MOST_FALSE = 12  # of 1,000 sound experiments: three checks at .001 expect 3, 12 has a chance of 1e-4


def counted(rng, *, lost=lambda arm, stratum, day: 0.0, per_group=400):
    """Users of two even arms by stratum and day; a share ``lost`` of a group is never logged."""
    return {
        (arm, stratum, day): rng.binomial(n, 1 - lost(arm, stratum, day))
        for stratum in STRATA
        for day in DAYS
        for arm, n in _split(rng, per_group)
    }


def _split(rng, per_group):
    whole = rng.poisson(2 * per_group)
    n = rng.binomial(whole, 0.5)
    return ("control", n), ("treatment", whole - n)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def said(check, plan, gathered):
    (finding,) = check.check(plan, gathered).findings
    assert finding.severity is Severity.BLOCK
    return finding


def test_sound_experiments_pass_all_three_simulation_with_known_truth(plan, of_counts, rng):
    false = [
        result
        for _ in range(1000)
        if (data := of_counts(counted(rng, per_group=60)))
        for check in CHECKS
        if (result := check.check(plan, data)).p_value < 0.001
    ]
    assert len(false) <= MOST_FALSE


def test_a_treatment_that_loses_users_from_the_start_planted_fault(plan, of_counts, rng):
    data = of_counts(counted(rng, lost=lambda arm, *_: 0.05 * (arm == "treatment")))
    finding = said(SampleRatio(), plan, data)
    assert finding.code == "srm.mismatch"
    assert "'treatment' is short" in finding.what
    assert "from the first day on" in finding.what
    assert "redirect" in finding.do
    for check in CHECKS[1:]:  # no day and no segment has a fault of its own
        result = check.check(plan, data)
        assert result.findings == ()
        assert result.p_value > 0.001 or "see sample_ratio" in result.about


def test_one_day_that_lost_controls_planted_fault(plan, of_counts, rng):
    data = of_counts(counted(rng, lost=lambda arm, _, day: 0.5 * (arm == "control" and day == 20_005)))
    finding = said(SampleRatio(), plan, data)
    assert "control 'control' is short" in finding.what
    assert "One day carries it: 2024-10-09" in finding.what
    assert said(SampleRatioByDay(), plan, data).numbers["day"] == "2024-10-09"


def test_a_loss_that_began_on_a_day_planted_fault(plan, of_counts, rng):
    data = of_counts(counted(rng, lost=lambda arm, _, day: 0.12 * (arm == "treatment" and day >= 20_008)))
    assert "from 2024-10-1" in said(SampleRatio(), plan, data).what


def test_one_platform_that_loses_the_treatment_planted_fault(plan, of_counts, rng):
    data = of_counts(
        counted(rng, lost=lambda arm, stratum, _: 0.15 * (arm == "treatment" and stratum == "ios"))
    )
    assert "One segment carries it: ios" in said(SampleRatio(), plan, data).what
    assert said(SampleRatioBySegment(), plan, data).numbers["segment"] == "ios"


def test_losses_that_cancel_over_all_are_seen_by_segment_planted_fault(plan, of_counts, rng):
    lose = {("treatment", "ios"), ("control", "web")}
    data = of_counts(counted(rng, lost=lambda arm, stratum, _: 0.12 * ((arm, stratum) in lose)))
    assert SampleRatio().check(plan, data).findings == ()
    assert said(SampleRatioBySegment(), plan, data).numbers["n_segments"] == 2


def test_of_a_triggered_analysis_all_who_were_assigned_are_tested_too_planted_fault(plan, of_counts):
    assigned = {fact_key(N_ASSIGNED, "control"): 50_000, fact_key(N_ASSIGNED, "treatment"): 47_000}
    data = of_counts({("control", "", None): 1000, ("treatment", "", None): 1003}, **assigned)
    assert "of all who were assigned" in said(SampleRatio(), plan, data).what


def test_cookie_cats_is_shown_as_what_it_is_noted_and_not_blocked(plan, of_counts):
    result = SampleRatio().check(
        plan, of_counts({("control", "", None): 44_700, ("treatment", "", None): 45_489})
    )
    (finding,) = result.findings
    assert result.p_value == pytest.approx(0.0086, abs=5e-5)
    assert (finding.code, finding.severity) == ("srm.close", Severity.NOTE)
    assert "One sound experiment in 116" in finding.why


def test_what_cannot_be_tested_says_so(plan, of_counts):
    few = of_counts({("control", "", None): 8, ("treatment", "", None): 3})
    for check in CHECKS:
        result = check.check(plan, few)
        assert (result.ran, result.p_value, result.findings) == (False, None, ())
        assert "few" in result.about


def test_an_arm_nobody_came_to_blocks(plan, of_counts):
    assert said(SampleRatio(), plan, of_counts({("control", "", 20_000): 400})).numbers["n_treatment"] == 0
