"""Triggered analysis: simulations with known truth, and triggers that are not what they should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headwater.core.finding import Finding
from headwater.effects.checks.untriggered_alike import UntriggeredAlike
from headwater.effects.compared import RANDOMIZED, Compared
from headwater.effects.facts import N_ASSIGNED, fact_key
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Arm, Plan
from headwater.effects.triggered import triggered_part
from headwater.numerics.effect import effect_of

MEAN = Metric(name="m", outcome="y", part=Part.PRIMARY)
RATIO = Metric(name="m", kind="ratio", outcome="y", over="d", part=Part.PRIMARY)
N_RUNS, N_USERS, SHARE = 300, 2000, 0.1
COVERED = (0.91, 0.985)  # 95% of 300 runs: within 3 standard errors of 1.3 points
A_TENTH = (0.07, 0.13)  # the variance at a share of a tenth, where spreads are nearly equal


def plan_of(metric: Metric) -> Plan:
    arms = (Arm(name="a", share=0.5), Arm(name="b", share=0.5))
    return Plan(name="x", question="?", arms=arms, metrics=(metric,))


def users(rng: np.random.Generator, *, lift: float = 1.0, n: int = N_USERS) -> tuple[np.ndarray, ...]:
    """Arm, whether triggered, outcome and denominator; triggered users differ from others in both."""
    arm, met = rng.random(n) < 0.5, rng.random(n) < SHARE
    over = 1 + rng.poisson(2 + met)
    return arm, met, rng.normal(over + lift * (arm & met), 1.0), over


def rows_of(arm: np.ndarray, met: np.ndarray, *columns: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    table = np.column_stack(columns).astype(float)
    return {
        (name, mark): table[(arm == is_b) & (met == is_met)]
        for name, is_b in (("a", False), ("b", True))
        for mark, is_met in (("triggered", True), ("untriggered", False))
    }


def effect_by(method: str, metric: Metric, gathered: Any) -> Any:
    found = RANDOMIZED.load(method)().compare(metric, gathered, control="a", arm="b")
    assert isinstance(found, Compared)
    return effect_of(found.control, found.arm, covariance=found.covariance)


@pytest.mark.parametrize(
    ("metric", "truth"),
    [(MEAN, SHARE), (RATIO, SHARE / (3 + SHARE))],  # users have 3 in the denominator, triggered ones 4
    ids=["mean", "ratio"],
)
def test_diluted_intervals_hold_the_effect_on_everyone(
    gathered_of: Any, metric: Metric, truth: float
) -> None:
    rng, n_held, narrower = np.random.default_rng(1), 0, []
    for _ in range(N_RUNS):
        arm, met, y, over = users(rng)
        columns = (y, over) if metric.kind == "ratio" else (y,)
        gathered = gathered_of(rows_of(arm, met, *columns))
        diluted, all_users = (effect_by(m, metric, gathered) for m in ("diluted", "welch"))
        n_held += diluted.low <= truth <= diluted.high
        narrower.append((diluted.std_error / all_users.std_error) ** 2)
    assert COVERED[0] <= n_held / N_RUNS <= COVERED[1]
    assert A_TENTH[0] < np.mean(narrower) < A_TENTH[1]


def test_the_triggered_part_is_those_users_with_the_count_of_all(gathered_of: Any) -> None:
    arm, met, y, _ = users(np.random.default_rng(2))
    part = triggered_part(gathered_of(rows_of(arm, met, y)))
    assert part.users_of("b") == int((arm & met).sum())
    assert {g.stratum for g in part.groups} == {""}
    assert part.facts[fact_key(N_ASSIGNED, "b")] == int(arm.sum())
    effect = effect_by("welch", MEAN, part)
    assert effect.difference == pytest.approx(y[arm & met].mean() - y[~arm & met].mean())


def test_a_sound_trigger_passes_and_wrong_ones_are_found(gathered_of: Any) -> None:
    rng, check = np.random.default_rng(3), UntriggeredAlike()
    n_false = 0
    for _ in range(100):
        arm, met, y, _ = users(rng, n=1000)
        n_false += bool(check.check(plan_of(MEAN), gathered_of(rows_of(arm, met, y))).findings)
    assert n_false <= 1  # at p < .001 two of 100 have a chance of 1 in 200
    arm, met, y, _ = users(rng, n=20_000)
    moved = met | (arm & (rng.random(arm.size) < 0.03))  # the treatment triggers users of its own
    missed = met & (rng.random(arm.size) < 0.5)  # half of the touched are not marked
    for wrong in (moved, missed):
        lifted = y + 2 * (arm & met)
        result = check.check(plan_of(MEAN), gathered_of(rows_of(arm, wrong, lifted)))
        assert [f.code for f in result.findings] == ["trigger.untriggered_differ"]


def test_without_a_trigger_nothing_is_diluted_and_the_check_does_not_run(gathered_of: Any) -> None:
    rng = np.random.default_rng(4)
    gathered = gathered_of({name: rng.normal(size=(50, 1)) for name in "ab"})
    refused = RANDOMIZED.load("diluted")().compare(MEAN, gathered, control="a", arm="b")
    assert isinstance(refused, Finding)
    assert refused.code == "trigger.unmarked"
    assert not UntriggeredAlike().check(plan_of(MEAN), gathered).ran
