"""Sample ratio of real experiments: ASOS (Liu, Cardoso, Couturier and McCoy 2021), 99 comparisons."""

import os
from pathlib import Path

import duckdb
import numpy as np
import pytest

from headwater.effects.checks.sample_ratio import SampleRatio
from headwater.effects.gathered import Gathered, Group
from headwater.effects.plan import Arm, Plan

PLAN = Plan(
    name="asos", question="?", arms=(Arm(name="control", share=0.5), Arm(name="arm", share=0.5)), metrics=()
)
GROUPS = (Group(arm="control"), Group(arm="arm"))
LAST_LOOKS = """
    SELECT arg_max(count_c, time_since_start), arg_max(count_t, time_since_start)
    FROM read_parquet($path) GROUP BY experiment_id, variant_id ORDER BY ALL
"""


@pytest.fixture
def asos_counts():
    folder = os.environ.get("HEADWATER_REFERENCE_DATA")
    if folder is None:
        pytest.skip("HEADWATER_REFERENCE_DATA names no folder of reference data")
    path = Path(folder) / "asos" / "asos_digital_experiments_dataset.parquet"
    return duckdb.execute(LAST_LOOKS, {"path": str(path)}).fetchall()


def test_twelve_of_99_asos_comparisons_fail_at_one_in_a_thousand(asos_counts):
    assert len(asos_counts) == 99
    results = [
        SampleRatio().check(PLAN, Gathered(groups=GROUPS, n_users=np.array([c, t], dtype=int), metrics={}))
        for c, t in asos_counts
    ]
    assert sum(any(f.code == "srm.mismatch" for f in r.findings) for r in results) == 12
