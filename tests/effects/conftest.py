"""Experiments made of known users, gathered by hand: what checks and analyses see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from headwater.effects.gathered import Gathered, Group
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Arm, Plan

Gather = Callable[..., Gathered]


@pytest.fixture
def plan() -> Plan:
    return Plan(
        name="checkout",
        question="Does the new checkout sell more?",
        arms=(Arm(name="control", share=0.5), Arm(name="treatment", share=0.5)),
        metrics=(Metric(name="revenue", outcome="revenue", part=Part.PRIMARY),),
        registered_on=20_000,
    )


@pytest.fixture
def of_counts() -> Gather:
    """Groups by (arm, stratum, day) and how many users each has, without a metric."""

    def gathered(counts: dict[tuple[str, str, int | None], int], **facts: float) -> Gathered:
        groups = tuple(Group(arm=arm, stratum=stratum, day=day) for arm, stratum, day in counts)
        return Gathered(groups=groups, n_users=np.array(list(counts.values())), metrics={}, facts=facts)

    return gathered
