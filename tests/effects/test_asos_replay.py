"""ASOS Digital Experiments (Liu et al. 2021), read from summary moments: counts of the data's README."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

DRIVER = Path(__file__).parents[2] / "benchmarks" / "asos_replay.py"


@pytest.fixture(scope="module")
def asos():
    spec = importlib.util.spec_from_file_location("asos_replay", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def series(asos):
    folder = os.environ.get("HEADWATER_REFERENCE_DATA")
    if folder is None:
        pytest.skip("HEADWATER_REFERENCE_DATA names no folder of reference data")
    return asos.series_of(Path(folder))


def test_of_99_comparisons_12_fail_the_sample_ratio_and_105_last_looks_are_beyond_196(asos, series):
    found = asos.summary(series)
    assert (found["comparisons"], found["srm"], found["beyond"]) == (99, 12, 105)


def test_discoveries_against_scipy_and_fewer_wins_lost_by_a_sequential_rule(asos, series):
    found = asos.summary(series)
    p = 2 * stats.norm.sf([abs(s.z[-1]) for s in series])
    assert found["discoveries"] == int((stats.false_discovery_control(p) <= 0.05).sum())
    lost = {rule: found[rule]["lost"] / found[rule]["ever"] for rule in ("naive", "staged", "sequence")}
    assert lost["staged"] < lost["sequence"] < lost["naive"]
    assert np.isfinite([s.z[-1] for s in series]).all()
