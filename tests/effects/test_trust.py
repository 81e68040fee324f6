"""All checks together: how often they cry wolf over sound experiments, and that a fault withholds the verdict."""

from dataclasses import replace

import numpy as np
import pytest

from headwater.core.finding import Severity
from headwater.effects.checks import CHECKS
from headwater.effects.facts import N_CROSSED, N_DELAYED, N_ELSEWHERE, fact_key
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Arm
from headwater.effects.trust import blocking, trust

MONDAY = 20_003
SOUND = 200  # experiments
MOST_FALSE = (
    6  # at a rate of 1 in 100 more than 3 of 100 have a chance of 1.8%; measured over 1,500 it is 0.5%
)
USERS = 4000


@pytest.fixture
def declared(plan):
    revenue = Metric(name="revenue", outcome="revenue", covariates=("before", "visits"), part=Part.PRIMARY)
    bought = Metric(name="bought", kind="proportion", outcome="bought", covariates=("before", "visits"))
    return replace(plan, metrics=(revenue, bought))


def sound(rng, of_users, *, lift=0.0):
    """Users of two arms over two weeks: revenue of those who buy, who are the keener ones; nothing is wrong."""
    arm = (rng.random(USERS) < 0.5).astype(int)
    keen = rng.gamma(2, 1, USERS)
    bought = rng.random(USERS) < np.minimum(0.1 * keen, 0.9)
    revenue = bought * rng.gamma(2, 10, USERS) * (1 + lift * arm)
    missing = rng.random(USERS) < 0.002
    facts = {
        fact_key(fact, name): float(rng.binomial((arm == a).sum(), rate))
        for fact, rate in ((N_CROSSED, 0.002), (N_DELAYED, 0.01), (f"{N_ELSEWHERE}/banner: big", 0.2))
        for a, name in enumerate(("control", "treatment"))
    }
    return of_users(
        arm,
        {name: np.where(missing, np.nan, y) for name, y in (("revenue", revenue), ("bought", bought))},
        stratum=rng.integers(0, 3, USERS),
        day=MONDAY + rng.integers(0, 14, USERS),
        covariates={"before": keen * 10 + rng.normal(0, 5, USERS), "visits": rng.poisson(keen).astype(float)},
        facts=facts,
    )


@pytest.mark.parametrize("lift", [0.0, 0.1])
def test_all_checks_together_cry_wolf_at_most_in_one_of_100_simulation_with_known_truth(
    declared, of_users, lift
):
    rng = np.random.default_rng(21)
    false = 0
    for _ in range(SOUND // 2):
        results = trust(declared, sound(rng, of_users, lift=lift))
        false += any(f.severity is not Severity.NOTE for r in results for f in r.findings)
    assert false <= MOST_FALSE / 2


def test_every_check_of_the_shelf_answers_whatever_it_is_given(declared, of_counts):
    results = trust(declared, of_counts({("control", "", None): 0}))
    assert sorted(r.name for r in results) == list(CHECKS.names())
    assert all(r.about for r in results)
    assert [r.name for r in results if r.ran] == []


def test_what_blocks_comes_first_and_withholds_the_verdict_planted_fault(declared, of_users):
    data = sound(np.random.default_rng(1), of_users)
    fewer = [0.8 if group.arm == "treatment" else 1.0 for group in data.groups]
    short = replace(data, n_users=(data.n_users * np.array(fewer)).astype(int))
    results = trust(declared, short)
    order = [any(f.severity is Severity.BLOCK for f in r.findings) for r in results]
    assert order == sorted(order, reverse=True)
    assert "srm.mismatch" in {f.code for f in blocking(results)}
    assert blocking(trust(declared, data)) == ()


def test_three_arms_of_which_one_loses_users_planted_fault(plan, of_users):
    arms = tuple(Arm(name=name, share=1.0) for name in ("control", "treatment", "other"))
    three = replace(plan, arms=arms)
    rng = np.random.default_rng(4)
    arm = rng.integers(0, 3, 9000)
    y, day = rng.gamma(2, 10, 9000), MONDAY + rng.integers(0, 14, 9000)
    kept = (arm < 2) | (rng.random(9000) < 0.8)
    names = ["control", "treatment", "other"]
    whole, lossy = (
        replace(data, groups=tuple(replace(g, arm=names[i]) for g, i in zip(data.groups, order, strict=True)))
        for a, rows in ((arm, slice(None)), (arm[kept], kept))
        for data, order in [_in_three(of_users, a, y[rows], day[rows])]
    )
    assert blocking(trust(three, whole)) == ()
    finding = blocking(trust(three, lossy))[0]
    assert "'other' is short" in finding.what


def _in_three(of_users, arm, y, day):
    """Users of three arms, gathered by a fixture of two: the third arm as a stratum of the second."""
    data = of_users((arm > 0).astype(int), {"revenue": y}, stratum=arm, day=day)
    order = [int(g.stratum[1:]) for g in data.groups]
    return replace(data, groups=tuple(replace(g, stratum="") for g in data.groups)), order
