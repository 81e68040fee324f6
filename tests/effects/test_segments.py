"""Segments: simulations with known truth and planted paradoxes."""

from dataclasses import replace

import numpy as np
import pytest

from headwater.core.finding import Finding
from headwater.effects.metric import Metric, Part
from headwater.effects.segments import segments

N = 24_000
REVENUE = Metric(name="revenue", outcome="revenue", part=Part.PRIMARY)


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def found_in(plan, of_users, rng, effects, *, n=N, **settings):
    """Effects by segment of users whose truth in each segment is known."""
    arm, segment = rng.integers(0, 2, n), rng.integers(0, len(effects), n)
    y = rng.normal(10 + segment, 3) + arm * np.asarray(effects)[segment]
    return segments(
        plan, of_users(arm, {"revenue": y}, stratum=segment), REVENUE, arm="treatment", **settings
    )


def test_own_figures_against_rows_brute_force(plan, of_users, rng):
    arm, segment = rng.integers(0, 2, N), rng.integers(0, 3, N)
    y = rng.gamma(2, 3, N) + arm
    found = segments(plan, of_users(arm, {"revenue": y}, stratum=segment), REVENUE, arm="treatment")
    for i, row in enumerate(found.rows):
        a, b = (y[(segment == i) & (arm == j)] for j in (0, 1))
        assert row.difference == pytest.approx(b.mean() - a.mean(), rel=1e-9)
        assert row.std_error == pytest.approx(
            np.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size), rel=1e-9
        )
        assert row.n_users == a.size + b.size


def test_fishing_in_twenty_segments_without_an_effect_simulation_with_known_truth(plan, of_users, rng):
    runs = [found_in(plan, of_users, rng, [0.0] * 20, n=6000) for _ in range(100)]
    naive = np.mean([min(r.p_value for r in f.rows) < 0.05 for f in runs])
    held = np.mean([min(r.p_adjusted for r in f.rows) < 0.05 for f in runs])
    drawn = np.mean([abs(r.value) > (r.high - r.low) / 2 for f in runs for r in f.rows])
    assert naive > 0.4  # 64% in expectation
    assert held < 0.12  # 5% in expectation; 12 of 100 have a chance of 0.4%
    assert drawn < 0.05
    assert all("fishing" in f.findings[0].why for f in runs)


def test_shrunken_effects_are_nearer_to_the_truth_simulation_with_known_truth(plan, of_users, rng):
    truth = rng.normal(0.3, 0.1, 20)
    found = found_in(plan, of_users, rng, truth)
    own = np.mean([(r.difference - t) ** 2 for r, t in zip(found.rows, truth, strict=True)])
    drawn = np.mean([(r.value - t) ** 2 for r, t in zip(found.rows, truth, strict=True)])
    assert drawn < own


def test_segments_that_differ_are_told_planted_difference(plan, of_users, rng):
    found = found_in(plan, of_users, rng, [0.0, 0.1, 0.8, 0.0], is_planned=True)
    assert [f.code for f in found.findings] == ["segments.differ"]
    assert "'s002'" in found.findings[0].what
    assert not found.is_exploratory
    assert found.spread > 0.1


def test_without_a_plan_all_segments_are_exploratory(plan, of_users, rng):
    found = found_in(replace(plan, registered_on=None), of_users, rng, [0.0, 0.0], is_planned=True)
    assert found.is_exploratory
    assert found.spread is None
    assert found.rows[0].value == found.rows[0].difference


def test_simpsons_paradox_is_told_planted_mix(plan, of_users, rng):
    segment = rng.integers(0, 2, N)
    arm = (rng.random(N) < np.where(segment == 1, 0.8, 0.3)).astype(int)
    y = rng.normal(10 + 5 * segment, 3, N) - 0.5 * arm
    found = segments(plan, of_users(arm, {"revenue": y}, stratum=segment), REVENUE, arm="treatment")
    assert found.overall > 0
    assert all(row.difference < 0 for row in found.rows)
    assert "segments.simpson" in [f.code for f in found.findings]


def test_one_segment_is_refused(plan, of_users, rng):
    refused = found_in(plan, of_users, rng, [0.0])
    assert isinstance(refused, Finding)
    assert refused.code == "segments.nothing"
