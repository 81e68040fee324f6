"""A small run of ``benchmarks/experiments_truth.py``: errors, coverage and power in worlds whose truth is known."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

N_RUNS = 60
N_LOOKED_AT = 600
DRIVER = Path(__file__).parents[2] / "benchmarks" / "experiments_truth.py"


@pytest.fixture(scope="module")
def truth():
    spec = importlib.util.spec_from_file_location("experiments_truth", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", ["revenue", "sessions", "conversion", "towns"])
def test_every_estimator_keeps_its_level_in_a_simulated_world(truth, name):
    (world,) = [w for w in truth.worlds() if w.name == name]
    found = truth.estimators(world, n_runs=N_RUNS, rng=np.random.default_rng(7))
    assert {t.method for t in found} >= set(world.methods)
    assert [f"{t.method}: {t.alarms} {t.covered}" for t in found if not t.held] == []


@pytest.mark.parametrize("name", ["revenue", "sessions", "conversion"])
def test_every_stop_rule_keeps_its_level_and_the_naive_peeker_does_not(truth, name):
    (world,) = [w for w in truth.worlds() if w.name == name]
    found = {
        t.rule: t
        for t in truth.stop_rules(world, n_runs=N_LOOKED_AT, rng=np.random.default_rng(8), n_a_day=200)
    }
    naive = found.pop("naive peeker")
    assert [t.rule for t in found.values() if not t.held] == []
    assert naive.alarms.low > 0.1
    lost = found["fixed"].found.share - found["group_sequential"].found.share
    assert lost < truth.LOST_TO_LOOKS + 0.01  # a seventh of the full runs: its own error beside
    assert found["group_sequential"].taken < 0.9
    assert found["confidence_sequence"].found.share < found["group_sequential"].found.share - 0.15
