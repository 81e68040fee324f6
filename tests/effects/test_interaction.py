"""Interaction of two experiments: cells worked out on rows, planted interactions, and sound pairs."""

import numpy as np
import pytest

from headwater.effects.interaction import interactions

N = 12_000


@pytest.fixture
def rng():
    return np.random.default_rng(9)


def crossed(rng, *, together=0.0, n=N):
    """Two treatments that each add 1 (the second 0.5), and ``together`` beyond that where both are."""
    arm, other = rng.integers(0, 2, n), rng.integers(0, 2, n)
    return arm, other, rng.normal(10, 3, n) + arm + 0.5 * other + together * arm * other


def test_cells_against_rows_brute_force(plan, of_users, rng):
    arm, other, y = crossed(rng, together=-1.5)
    (row,) = interactions(plan, of_users(arm, {"revenue": y}, stratum=other), other_control="s000").rows
    cell = [[y[(arm == a) & (other == b)] for b in (0, 1)] for a in (0, 1)]
    mean = [[c.mean() for c in cells] for cells in cell]
    contrast = mean[1][1] - mean[0][1] - mean[1][0] + mean[0][0]
    assert row.contrast == pytest.approx(contrast, rel=1e-9)
    assert row.std_error == pytest.approx(
        np.sqrt(sum(c.var(ddof=1) / c.size for cs in cell for c in cs)), rel=1e-9
    )
    assert row.alone == pytest.approx(mean[1][0] - mean[0][0], rel=1e-9)
    assert row.n_users == N


def test_treatments_that_undo_each_other_are_found_planted_interaction(plan, of_users, rng):
    arm, other, y = crossed(rng, together=-1.5)
    found = interactions(plan, of_users(arm, {"revenue": y}, stratum=other), other_control="s000")
    assert [f.code for f in found.findings] == ["experiments.interact"]
    assert found.rows[0].low < -1.5 < found.rows[0].high


def test_treatments_that_add_up_are_no_interaction_simulation_with_known_truth(plan, of_users, rng):
    runs = []
    for _ in range(200):
        arm, other, y = crossed(rng, n=2000)
        runs.append(interactions(plan, of_users(arm, {"revenue": y}, stratum=other), other_control="s000"))
    assert sum(bool(run.findings) for run in runs) <= 2
    assert 0.01 < np.mean([run.rows[0].p_value < 0.05 for run in runs]) < 0.1


def test_experiments_that_share_a_hash_are_found_planted_fault(plan, of_users, rng):
    arm, other, y = crossed(rng)
    other = np.where(rng.random(N) < 0.1, arm, other)
    found = interactions(plan, of_users(arm, {"revenue": y}, stratum=other), other_control="s000")
    assert [f.code for f in found.findings] == ["experiments.dependent"]
