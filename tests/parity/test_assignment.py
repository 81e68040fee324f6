"""The assignment expression on both engines: the arms of the arrays, id by id."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from headwater.effects.allocation import Allocation
from headwater.effects.assignment import assign, assignment_sql
from headwater.effects.plan import Arm
from headwater.effects.slices import Holdout, Slice, namespace
from headwater.engine.sql import name, sql

ARMS = (Arm(name="champion", share=0.5), Arm(name="it's \\ other", share=0.5))
CASES = {
    "plain": Allocation(experiment="ltv_v2", arms=ARMS),
    "part": Allocation(experiment="ltv_v2", arms=ARMS, coverage=0.37, seed="it's 🙂"),
    "version 1": Allocation(experiment="ltv_v2", arms=ARMS, version=1),
    "nobody": Allocation(experiment="ltv_v2", arms=ARMS, coverage=0),
    "layer, namespace, holdouts": Allocation(
        experiment="ltv_v2",
        arms=ARMS,
        slices=(namespace("pricing", 0.1, 0.9), Slice(seed="layer", ranges=((0, 0.2), (0.5, 1)))),
        holdouts=(Holdout(name="global", seed="global", share=0.05),),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_arms_by_sql_are_those_of_the_arrays(on_both, case):
    rng = random.Random(3)
    ids = [f"user_{rng.randrange(10**12)}" for _ in range(2000)]
    ids += ["", None, "é", "🙂", "日本語" * 200, *map(str, range(-5, 100))]

    def ask(engine):
        engine.register("people", pa.table({"i": range(len(ids)), "id": pa.array(ids)}))
        arm = assignment_sql(CASES[case], name("id"))
        return [arm for (arm,) in engine.rows(sql("SELECT {arm} FROM people ORDER BY i", arm=arm))]

    duck, spark = on_both(ask)
    assert duck == spark == assign(CASES[case], pa.array(ids)).arms.to_pylist()
