"""The moments of an experiment on DuckDB and on Spark: the same groups, counts and figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.core.table import Kind
from headwater.effects.gather import gather
from headwater.effects.gathered import Gathered
from headwater.effects.infer_units import read_units
from headwater.effects.metric import Metric
from headwater.effects.units import Units
from headwater.engine.engine import Engine
from headwater.engine.sql import shim

DOUBLES = 1e-9  # sums of doubles in another order
OnBoth = Callable[[Callable[[Engine], Any]], tuple[Any, Any]]
KINDS = {
    "user_id": Kind.TEXT, "arm": Kind.TEXT, "country": Kind.TEXT, "exposed_day": Kind.DAY, "revenue": Kind.NUMBER,
    "orders": Kind.INTEGER, "is_active": Kind.BOOLEAN, "before": Kind.NUMBER,
}  # fmt: skip
METRICS = (
    Metric(name="revenue", outcome="revenue", covariates=("before",)),
    Metric(name="active", kind="proportion", outcome="is_active"),
    Metric(name="basket", kind="ratio", outcome="revenue", over="orders"),
    Metric(name="top", kind="quantile", outcome="revenue", share=0.9),
    Metric(name="capped", outcome="revenue", winsorize=0.99),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Users with missing, infinite and far-off values, rows of no arm and of one that is not planned."""
    rng = np.random.default_rng(11)
    n = 20_000
    revenue = 1e6 + rng.lognormal(2, 1.5, n)
    revenue[:40] = np.nan
    revenue[40:60] = np.inf
    rows = pa.table({
        "user_id": [f"u{i % (n - 50)}" for i in range(n)], "arm": [None if i % 997 == 0 else a for i, a in enumerate(rng.choice(["a", "b", "x"], n, p=[0.45, 0.45, 0.1]).tolist())],
        "country": [None if i % 31 == 0 else c for i, c in enumerate(rng.choice(["de", "fr"], n).tolist())],
        "exposed_day": pa.array(20_000 + rng.integers(0, 4, n), pa.int32()), "revenue": revenue, "orders": rng.poisson(2, n),
        "is_active": rng.random(n) < 0.3, "before": [None if i % 13 == 0 else b for i, b in enumerate(rng.lognormal(1, 1, n).tolist())],
    })  # fmt: skip
    at = tmp_path_factory.mktemp("experiment") / "users.parquet"
    pq.write_table(rows, at)
    return (str(Path(at)),)


def assert_same(one: Gathered, other: Gathered) -> None:
    assert one.groups == other.groups
    assert one.n_users.tolist() == other.n_users.tolist()
    assert [f.what for f in one.findings] == [f.what for f in other.findings]
    assert one.facts == pytest.approx(other.facts, rel=DOUBLES)
    for name, state in one.metrics.items():
        twin = other.metrics[name]
        assert state.n_missing.tolist() == twin.n_missing.tolist()
        assert state.cap == twin.cap
        assert [(q.arm, q.low, q.value, q.high, q.n) for q in state.quantiles] == [
            (q.arm, q.low, q.value, q.high, q.n) for q in twin.quantiles
        ]
        np.testing.assert_array_equal(state.moments.n, twin.moments.n)
        np.testing.assert_allclose(state.moments.mean, twin.moments.mean, rtol=DOUBLES)
        spread = np.sqrt(np.einsum("gii,gjj->gij", state.moments.scatter, state.moments.scatter))
        assert (np.abs(state.moments.scatter - twin.moments.scatter) <= DOUBLES * spread).all()


def test_moments_are_the_same_on_both_engines(files: tuple[str, ...], on_both: OnBoth) -> None:
    units = Units(
        rows=shim("scan", *files), columns=KINDS, arm="arm", strata=("country",), exposed="exposed_day"
    )
    assert_same(*on_both(lambda engine: gather(engine, units, metrics=METRICS, arms=("a", "b"))))


def test_users_of_several_rows_and_of_several_arms_are_the_same_on_both_engines(
    files: tuple[str, ...], on_both: OnBoth
) -> None:
    units = Units(rows=shim("scan", *files), columns=KINDS, arm="arm", unit="user_id", is_long=True)
    able = tuple(m for m in METRICS if m.kind != "quantile")
    one, other = on_both(lambda engine: gather(engine, units, metrics=able, arms=("a", "b")))
    assert "exposures.crossed" in {f.code for f in one.findings}
    assert_same(one, other)


def test_a_file_of_text_is_read_alike_on_both_engines(tmp_path: Path, on_both: OnBoth) -> None:
    lines = [
        f"{i},{'ab'[i % 2]},{i * 1.25 if i % 7 else ''},{'true' if i % 3 else 'false'}" for i in range(400)
    ]
    (tmp_path / "test.csv").write_text("\n".join(["user_id,arm,spend,came_back", *lines]) + "\n")

    def gathered(engine: Engine) -> Gathered:
        read = read_units(engine, tmp_path / "test.csv")
        return gather(engine, read.units, metrics=read.metrics, arms=read.arms)

    one, other = on_both(gathered)
    assert one.metrics["spend"].n_missing.sum() == 58
    assert_same(one, other)
