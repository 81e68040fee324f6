"""Methods that draw users again, from a query to a comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.finding import Finding
from headwater.core.table import Kind
from headwater.effects import user_rows
from headwater.effects.choose_method import method_for
from headwater.effects.gather import gather
from headwater.effects.metric import Metric
from headwater.effects.units import Units
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name
from headwater.numerics.effect import effect_of

SE_RTOL = 0.09  # 1000 resamples: 4 x 2.2%
MEAN = Metric(name="m", outcome="spent")
RATIO = Metric(name="m", kind="ratio", outcome="spent", over="orders")


def _units(engine: DuckDB, n: int, *, seed: int = 1) -> Units:
    rng = np.random.default_rng(seed)
    orders = 1 + rng.poisson(2.0, n)
    spent = orders * rng.gamma(2.0, size=n)
    rows = pa.table({
        "arm": rng.choice(["a", "b"], n), "orders": orders,
        "spent": [None if i % 50 == 0 else s for i, s in enumerate(spent.tolist())],
    })  # fmt: skip
    engine.register("rows", rows)
    kinds = {"arm": Kind.TEXT, "orders": Kind.INTEGER, "spent": Kind.NUMBER}
    return Units(rows=name("rows"), columns=kinds, arm="arm")


def _compared(engine: DuckDB, metric: Metric, method: str | None, n: int = 2000):
    metric = replace(metric, method=method)
    gathered = gather(engine, _units(engine, n), metrics=[metric], arms=["a", "b"])
    return method_for(metric, gathered).compare(metric, gathered, control="a", arm="b")


@pytest.mark.parametrize("metric", [MEAN, RATIO], ids=["mean", "ratio"])
@pytest.mark.parametrize("method", ["bootstrap", "permutation"])
def test_of_many_users_it_agrees_with_the_formula(engine: DuckDB, metric: Metric, method: str):
    plain, found = _compared(engine, metric, None), _compared(engine, metric, method)
    for one, other in ((plain.control, found.control), (plain.arm, found.arm)):
        assert other.value == pytest.approx(one.value, rel=1e-9)
        assert other.n == one.n
        assert np.sqrt(other.variance) == pytest.approx(np.sqrt(one.variance), rel=SE_RTOL)
    assert found.method.startswith(method)


def test_a_permutation_says_its_p_value_and_the_interval_agrees_with_it(engine: DuckDB):
    for seed in range(5):
        metric = replace(MEAN, method="permutation")
        gathered = gather(engine, _units(engine, 60, seed=seed), metrics=[metric], arms=["a", "b"])
        found = method_for(metric, gathered).compare(metric, gathered, control="a", arm="b")
        (note,) = found.findings
        effect = effect_of(found.control, found.arm)
        assert note.code == "permutation.p_value"
        assert (note.numbers["p_value"] <= 0.05) == (effect.low > 0 or effect.high < 0)


def test_users_who_are_too_many_are_not_taken_into_memory(engine: DuckDB, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(user_rows, "MOST_USERS", 100)
    for method in ("bootstrap", "permutation"):
        found = _compared(engine, MEAN, method)
        assert isinstance(found, Finding)
        assert found.code == "method.no_rows"


def test_a_bootstrap_refuses_a_denominator_of_zero(engine: DuckDB):
    found = _compared(engine, replace(RATIO, over="orders - orders"), "bootstrap")
    assert found.code == "ratio.denominator"
