"""Outlier influence on Cookie Cats: one player of gate_30 with 49,854 rounds."""

import os
from pathlib import Path

import duckdb
import numpy as np
import pytest

from headwater.effects.checks.outlier_influence import OutlierInfluence
from headwater.effects.gathered import Gathered, Group, MetricState
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Arm, Plan
from headwater.numerics.moments import of_rows


def test_the_player_of_cookie_cats_with_49854_rounds_is_found():
    folder = os.environ.get("HEADWATER_REFERENCE_DATA")
    if folder is None:
        pytest.skip("HEADWATER_REFERENCE_DATA names no folder of reference data")
    (path,) = (Path(folder) / "cookie_cats").glob("*.csv*")
    rows = duckdb.execute("SELECT version = 'gate_40', sum_gamerounds FROM read_csv($p)", {"p": str(path)})
    arm, rounds = (np.array(c) for c in zip(*rows.fetchall(), strict=True))
    state = MetricState(
        columns=("rounds",),
        moments=of_rows(rounds[:, None].astype(float), groups=arm.astype(np.intp), n_groups=2),
        n_missing=np.zeros(2, dtype=int),
        largest=np.array([rounds[~arm].max(), rounds[arm].max()], dtype=float),
    )
    groups = (Group(arm="gate_30"), Group(arm="gate_40"))
    data = Gathered(groups=groups, n_users=np.bincount(arm), metrics={"rounds": state})
    plan = Plan(
        name="gate",
        question="?",
        arms=(Arm(name="gate_30", share=0.5), Arm(name="gate_40", share=0.5)),
        metrics=(Metric(name="rounds", outcome="rounds", part=Part.PRIMARY),),
    )
    (finding,) = OutlierInfluence().check(plan, data).findings
    assert finding.numbers["arm"] == "gate_30"
    assert finding.numbers["largest"] == 49_854
