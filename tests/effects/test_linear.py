"""A metric as one column, against the same done on rows."""

from dataclasses import replace

import numpy as np
import pytest

from headwater.effects.gathered import Gathered, Group, MetricState
from headwater.effects.linear import effects_by, linear
from headwater.effects.metric import Metric
from headwater.numerics.moments import of_rows

RTOL = 1e-9
RATIO = Metric(name="aov", kind="ratio", outcome="gmv", over="orders", covariates=("gmv_before",))


@pytest.fixture
def rows():
    rng = np.random.default_rng(4)
    n = 6000
    before = rng.gamma(2, 10, n)
    orders = rng.poisson(2, n) + 1.0
    arm, part = rng.integers(0, 2, n), rng.integers(0, 3, n)
    return np.c_[orders * 3 + before + rng.normal(0, 5, n) + arm, orders, before], arm, part


@pytest.fixture
def gathered(rows):
    values, arm, part = rows
    groups = tuple(Group(arm=a, stratum=s) for a in ("control", "treatment") for s in "xyz")
    moments = of_rows(values, groups=arm * 3 + part, n_groups=6)
    state = MetricState(
        columns=("gmv", "orders", "gmv_before"), moments=moments, n_missing=np.zeros(6, dtype=int)
    )
    return Gathered(groups=groups, n_users=moments.n.astype(int), metrics={"aov": state})


def test_effects_in_parts_against_linearized_and_adjusted_rows_brute_force(rows, gathered):
    values, arm, part = rows
    control = values[arm == 0].mean(axis=0)
    z = values[:, 0] / control[1] - control[0] / control[1] ** 2 * values[:, 1]
    within = np.concatenate([values[arm == a, 2] - values[arm == a, 2].mean() for a in (0, 1)])
    z_within = np.concatenate([z[arm == a] - z[arm == a].mean() for a in (0, 1)])
    adjusted = z - (within @ z_within) / (within @ within) * values[:, 2]
    column = linear(RATIO, gathered, ("control", "treatment"))
    assert column is not None
    found = effects_by(column, gathered, lambda g: g.stratum, control="control", arm="treatment")
    assert found.parts == ("x", "y", "z")
    for i in range(3):
        a, b = (adjusted[(part == i) & (arm == j)] for j in (0, 1))
        assert found.difference[i] == pytest.approx(b.mean() - a.mean(), rel=RTOL)
        assert found.variance[i] == pytest.approx(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size, rel=RTOL)
    level = np.average(found.value, weights=[((part == i) & (arm == 0)).sum() for i in range(3)])
    assert level == pytest.approx(control[0] / control[1], rel=RTOL)


def test_a_ratio_over_nothing_has_no_column(gathered):
    state = gathered.metrics["aov"]
    empty = MetricState(
        columns=state.columns,
        moments=state.moments.mapped(np.diag([1.0, 0.0, 1.0])),
        n_missing=state.n_missing,
    )
    assert linear(RATIO, replace(gathered, metrics={"aov": empty}), ("control", "treatment")) is None
