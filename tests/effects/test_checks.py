"""Trust checks: each finds the fault that is planted for it. What sound experiments say is in test_trust.py."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from headwater.core.finding import Severity
from headwater.effects.checks.carry_over import CarryOver
from headwater.effects.checks.crossed_exposures import CrossedExposures
from headwater.effects.checks.exposure_delay import ExposureDelay
from headwater.effects.checks.interference_hint import InterferenceHint
from headwater.effects.checks.missing_data import MissingData
from headwater.effects.checks.novelty import Novelty
from headwater.effects.checks.outlier_influence import OutlierInfluence
from headwater.effects.checks.pre_period_balance import PrePeriodBalance
from headwater.effects.checks.small_sample import SmallSample
from headwater.effects.checks.twyman import Twyman
from headwater.effects.checks.weekday_coverage import WeekdayCoverage
from headwater.effects.facts import (
    N_ASSIGNED,
    N_CROSSED,
    N_DELAYED,
    N_ELSEWHERE,
    PRIOR_SD,
    SKEWNESS,
    STRATA_ARE_CLUSTERS,
    fact_key,
)

MONDAY = 20_003  # 2024-10-07
RTOL = 1e-9
MONTE_CARLO = 0.02  # five standard errors of the skewness of 400,000 draws
OF_ARMS = (  # check, the fact it reads, the code it finds
    (CrossedExposures(), N_CROSSED, "exposure.crossed"),
    (ExposureDelay(), N_DELAYED, "exposure.late"),
    (CarryOver(), f"{N_ELSEWHERE}/banner: big", "carry_over.uneven"),
)


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def halves(n):
    return np.arange(n) % 2


def only(check, plan, gathered):
    result = check.check(plan, gathered)
    assert result.ran
    (finding,) = result.findings
    return finding


def facts_of(fact, control, treatment):
    return {fact_key(fact, "control"): control, fact_key(fact, "treatment"): treatment}


@pytest.mark.parametrize(("check", "fact", "code"), OF_ARMS)
def test_facts_that_differ_between_arms_block_planted_fault(plan, of_counts, check, fact, code):
    counts = {("control", "", None): 20_000, ("treatment", "", None): 20_100}
    uneven = of_counts(counts, **facts_of(fact, 60, 110))
    finding = only(check, plan, uneven)
    assert (finding.code, finding.severity) == (code, Severity.BLOCK)
    even = check.check(plan, of_counts(counts, **facts_of(fact, 61, 66)))
    assert (even.ran, even.findings) == (True, ())
    unknown = check.check(plan, of_counts(counts))
    assert (unknown.ran, unknown.findings) == (False, ())


def test_many_crossed_users_block_and_many_late_exposures_warn_planted_fault(plan, of_counts):
    counts = {("control", "", None): 20_000, ("treatment", "", None): 20_000}
    crossed = only(CrossedExposures(), plan, of_counts(counts, **facts_of(N_CROSSED, 400, 402)))
    late = only(ExposureDelay(), plan, of_counts(counts, **facts_of(N_DELAYED, 2000, 2010)))
    assert (crossed.severity, late.severity) == (Severity.BLOCK, Severity.WARN)
    assert "1.97% of users" in crossed.what


def test_a_covariate_that_differed_before_blocks_planted_fault(plan, of_users, rng):
    arm, before = halves(8000), rng.normal(10, 3, 8000)
    data = of_users(arm, {"revenue": before + 1}, covariates={"age": rng.normal(size=8000), "before": before + 0.4 * arm})  # fmt: skip
    finding = only(PrePeriodBalance(), plan, data)
    assert finding.code == "balance.pre_period"
    assert finding.severity is Severity.BLOCK
    assert finding.numbers["covariate"] == "before"


def test_a_difference_that_no_single_covariate_shows_blocks_planted_fault(plan, of_users, rng):
    arm, shared = halves(8000), rng.normal(0, 20, 8000)
    x = shared + rng.normal(0, 1, 8000) + 0.3 * arm
    y = shared + rng.normal(0, 1, 8000) - 0.3 * arm
    data = of_users(arm, {"revenue": shared}, covariates={"x": x, "y": y})
    assert "x and y" in only(PrePeriodBalance(), plan, data).what
    without = PrePeriodBalance().check(plan, of_users(arm, {"revenue": shared}))
    assert not without.ran


def test_outcomes_that_one_arm_loses_block_planted_fault(plan, of_users, rng):
    arm = halves(20_000)
    lost = rng.random(20_000) < 0.01 + 0.02 * arm
    data = of_users(arm, {"revenue": np.where(lost, np.nan, rng.normal(size=20_000))})
    finding = only(MissingData(), plan, data)
    assert (finding.code, finding.severity) == ("missing.differs", Severity.BLOCK)


def test_few_outcomes_lost_unevenly_and_many_lost_evenly_warn_planted_fault(plan, of_users, rng):
    arm, y = halves(60_000), rng.normal(size=60_000)
    few = y.copy()
    few[1:50:2] = np.nan
    uneven = only(MissingData(), plan, of_users(arm, {"revenue": few}))
    assert (uneven.code, uneven.severity) == ("missing.differs", Severity.WARN)
    many = only(MissingData(), plan, of_users(arm, {"revenue": np.where(rng.random(60_000) < 0.3, np.nan, y)}))  # fmt: skip
    assert (many.code, many.severity) == ("missing.many", Severity.WARN)


def test_windows_that_are_not_over_are_not_missing_known_days(plan, of_users, rng):
    arm, day = halves(8000), MONDAY + np.arange(8000) // 2 % 10
    y = np.where(day < MONDAY + 6, rng.normal(size=8000), np.nan)
    result = MissingData().check(plan, of_users(arm, {"revenue": y}, day=day))
    assert (result.ran, result.findings) == (True, ())
    y[(day == MONDAY) & (arm == 1)] = np.nan
    assert only(MissingData(), plan, of_users(arm, {"revenue": y}, day=day)).code == "missing.differs"


def test_of_a_triggered_analysis_shares_are_of_all_who_were_assigned_known_counts(plan, of_counts):
    counts = {("control", "", None): 100, ("treatment", "", None): 100}
    assigned = facts_of(N_ASSIGNED, 20_000, 20_000) | facts_of(N_CROSSED, 100, 100)
    result = CrossedExposures().check(plan, of_counts(counts, **assigned))
    assert result.findings == ()
    assert "100 of 20,100" in result.about


def trending(rng, lift, n_days=28, per_day=400):
    """Revenue of users whose lift depends on the day they came, after the weekday's own mean."""
    day = np.repeat(np.arange(n_days), per_day)
    arm = halves(day.size)
    return arm, day + MONDAY, rng.gamma(2, 5, day.size) * (1 + 0.3 * (day % 7 > 4)) * (1 + arm * lift(day / n_days))  # fmt: skip


@pytest.mark.parametrize(
    ("lift", "window", "word"),
    [
        (lambda t: 0.5 * t, None, "Novelty"),
        (lambda t: 0.5 * (1 - t), None, "Primacy"),
        (lambda t: 0.5 * (1 - t), 7, "fades"),
        (lambda t: 0.5 * t, 7, "grows"),
    ],
)
def test_effects_that_change_with_the_day_of_exposure_planted_trend(plan, of_users, rng, lift, window, word):
    arm, day, y = trending(rng, lift)
    finding = only(Novelty(), replace(plan, window_days=window), of_users(arm, {"revenue": y}, day=day))
    assert (finding.code, finding.severity) == ("effect.trend", Severity.WARN)
    assert word in finding.what


def test_a_steady_lift_of_outcomes_that_pile_up_is_no_novelty_known_truth(plan, of_users, rng):
    arm, day, y = trending(rng, lambda _: 0.3)
    piled = y * (MONDAY + 29 - day)  # who came first was watched longest
    result = Novelty().check(plan, of_users(arm, {"revenue": piled}, day=day))
    assert (result.ran, result.findings) == (True, ())


def test_novelty_needs_days(plan, of_users, rng):
    arm, day, y = trending(rng, lambda _: 0.3, n_days=3)
    assert not Novelty().check(plan, of_users(arm, {"revenue": y}, day=day)).ran


def spilled(rng, spill, n_clusters=60, size=80):
    """Clusters of different treated shares, each with its own level; controls feel ``spill`` of that share."""
    cluster = np.repeat(np.arange(n_clusters), size)
    share = rng.uniform(0.1, 0.9, n_clusters)
    arm = (rng.random(cluster.size) < share[cluster]).astype(int)
    level = rng.normal(10, 0.3, n_clusters)
    return cluster, arm, level[cluster] + (1 - arm) * spill * share[cluster] + rng.normal(0, 2, cluster.size)


def test_controls_that_feel_treated_neighbors_planted_fault(plan, of_users, rng):
    facts = {STRATA_ARE_CLUSTERS: 1.0}
    cluster, arm, y = spilled(rng, -2.0)
    finding = only(InterferenceHint(), plan, of_users(arm, {"revenue": y}, stratum=cluster, facts=facts))
    assert (finding.code, finding.severity) == ("interference.hint", Severity.WARN)
    cluster, arm, y = spilled(rng, 0.0)
    assert InterferenceHint().check(plan, of_users(arm, {"revenue": y}, stratum=cluster, facts=facts)).findings == ()  # fmt: skip
    declared = InterferenceHint().check(plan, of_users(arm, {"revenue": y}, stratum=cluster))
    assert not declared.ran
    assert "cannot tell" in declared.about


def test_one_user_who_makes_the_effect_against_dropping_the_row_brute_force(plan, of_users, rng):
    arm, y = halves(4000), rng.gamma(1, 10, 4000)
    y[7] = 5000.0
    finding = only(OutlierInfluence(), plan, of_users(arm, {"revenue": y}))
    rest = np.delete(np.arange(4000), 7)
    control, treated = y[rest][arm[rest] == 0], y[rest][arm[rest] == 1]
    difference = treated.mean() - control.mean()
    error = np.sqrt(control.var(ddof=1) / control.size + treated.var(ddof=1) / treated.size)
    with_them = y[arm == 1].mean() - y[arm == 0].mean()
    assert finding.code == "outlier.influence"
    assert finding.numbers["standard_errors"] == pytest.approx(abs(with_them - difference) / error, rel=RTOL)
    assert finding.numbers["share"] == pytest.approx(5000 / y[arm == 1].sum(), rel=RTOL)
    assert f"{difference:+.4g}" in finding.what


def test_double_counting_is_too_good_to_be_true_planted_fault(plan, of_users, rng):
    arm, y = halves(4000), rng.gamma(2, 10, 4000)
    finding = only(Twyman(), plan, of_users(arm, {"revenue": y * (1 + arm)}))
    assert (finding.code, finding.severity) == ("effect.too_large", Severity.WARN)
    assert Twyman().check(plan, of_users(arm, {"revenue": y * (1 + 0.1 * arm)})).findings == ()


def test_past_effects_say_what_is_too_large_planted_fault(plan, of_users, rng):
    arm, y = halves(40_000), rng.normal(10, 2, 40_000)
    said = {
        sd: Twyman().check(plan, of_users(arm, {"revenue": y * (1 + 0.1 * arm)}, facts={fact_key(PRIOR_SD, "revenue"): sd}))
        for sd in (0.01, 0.05)
    }  # fmt: skip
    assert [len(result.findings) for result in said.values()] == [1, 0]


@pytest.mark.parametrize(("n_days", "severity"), [(3, Severity.WARN), (10, Severity.NOTE), (14, None)])
def test_weeks_that_are_not_whole_known_days(plan, of_counts, n_days, severity):
    data = of_counts({(arm, "", MONDAY + d): 100 for arm in ("control", "treatment") for d in range(n_days)})
    result = WeekdayCoverage().check(plan, data)
    assert [f.severity for f in result.findings] == ([] if severity is None else [severity])
    assert f"on {n_days} days from 2024-10-07" in result.about


def test_few_events_and_few_users_known_counts(plan, of_users):
    bought = np.zeros(4000)
    bought[:30] = 1
    assert (
        "15 events, below 20" in only(SmallSample(), plan, of_users(halves(4000), {"revenue": bought})).what
    )
    bought[:80] = 1
    assert SmallSample().check(plan, of_users(halves(4000), {"revenue": bought})).findings == ()
    assert (
        "40 users, below 100"
        in only(SmallSample(), plan, of_users(halves(80), {"revenue": np.arange(80.0)})).what
    )


def test_skewness_of_the_difference_of_uneven_arms_against_monte_carlo(plan, of_users, rng):
    arm = (np.arange(2000) < 200).astype(int)
    data = of_users(arm, {"revenue": rng.exponential(1, 2000)}, facts={fact_key(SKEWNESS, "revenue"): 2.0})
    drawn = rng.gamma(200, 1 / 200, 400_000) - rng.gamma(1800, 1 / 1800, 400_000)  # means of exponentials
    finding = only(SmallSample(), plan, data)
    assert (finding.code, finding.severity) == ("sample.skewed", Severity.NOTE)
    assert finding.numbers["of_difference"] == pytest.approx(stats.skew(drawn), abs=MONTE_CARLO)
    low = np.mean(drawn < -1.96 * np.sqrt(1 / 200 + 1 / 1800))
    assert f"{low:.1%} on one" in finding.why


def test_against_few_users_the_rule_of_kohavi_et_al_2014_is_met_exactly(plan, of_users, rng):
    arm = (np.arange(355 * 200) < 355).astype(int)  # against a control that is nearly infinite
    y = rng.normal(10, 2, arm.size)
    for skewness, n_findings in ((0.99, 0), (1.01, 1)):
        told = of_users(arm, {"revenue": y}, facts={fact_key(SKEWNESS, "revenue"): skewness})
        assert len(SmallSample().check(plan, told).findings) == n_findings


def test_one_user_bounds_the_skewness_from_below_computed_on_rows(plan, of_users, rng):
    arm, y = (np.arange(20_000) < 2000).astype(int), rng.normal(10, 2, 20_000)
    y[0] = 400.0
    bounded = only(SmallSample(), plan, of_users(arm, {"revenue": y})).numbers["skewness"]
    assert 0.9 * stats.skew(y) < bounded < 1.1 * stats.skew(y)
    assert SmallSample().check(plan, of_users(halves(20_000), {"revenue": y})).findings == ()
