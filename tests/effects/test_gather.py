"""Moments of an experiment by one query, beside NumPy on the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.core.errors import ConfigError, DataError
from headwater.core.table import Kind
from headwater.effects.gather import gather
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric
from headwater.effects.units import Units
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name, shim, sql

ROUNDING = 1e-10  # sums of at most a million doubles in another order
DAY = 20_000


def units_of(engine: DuckDB, rows: pa.Table, **roles: object) -> Units:
    """An Arrow table as the units of an experiment."""
    engine.register("rows", rows)
    kinds = {
        "double": Kind.NUMBER,
        "int64": Kind.INTEGER,
        "int32": Kind.DAY,
        "bool": Kind.BOOLEAN,
        "string": Kind.TEXT,
    }
    columns = {f.name: kinds[str(f.type)] for f in rows.schema}
    return Units(rows=name("rows"), columns=columns, arm="arm", **roles)  # pyright: ignore[reportArgumentType]


def users(n: int, *, seed: int = 1) -> pa.Table:
    """Users with an outcome in money, a count, a switch and two covariates."""
    rng = np.random.default_rng(seed)
    before = rng.lognormal(2, 1, n)
    orders = rng.poisson(1.5, n)
    return pa.table({
        "arm": rng.choice(["control", "new"], n), "country": rng.choice(["de", "fr", "it"], n),
        "day": pa.array(DAY + rng.integers(0, 5, n), pa.int32()),
        "revenue": orders * before * rng.lognormal(0, 0.3, n), "orders": orders, "is_active": rng.random(n) < 0.4,
        "before": before, "visits_before": rng.poisson(5, n).astype(float),
    })  # fmt: skip


METRICS = (
    Metric(name="revenue", outcome="revenue", covariates=("before", "visits_before")),
    Metric(name="active", kind="proportion", outcome="is_active"),
    Metric(name="basket", kind="ratio", outcome="revenue", over="orders", covariates=("before",)),
    Metric(name="buyers", kind="proportion", outcome="orders > 0"),
)


def column(rows: pa.Table, expression: str) -> np.ndarray:
    if expression == "orders > 0":
        return (column(rows, "orders") > 0).astype(float)
    values = rows.column(expression).to_numpy(zero_copy_only=False)
    return np.array([np.nan if v is None else float(v) for v in values])


def assert_as_numpy(found: Gathered, rows: pa.Table, metrics: tuple[Metric, ...] = METRICS) -> None:
    for metric in metrics:
        state = found.metrics[metric.name]
        values = np.stack([column(rows, c) for c in state.columns], axis=1)
        for g, group in enumerate(found.groups):
            inside = column_is(rows, "arm", group.arm)
            if group.stratum:
                inside &= column_is(rows, "country", group.stratum)
            if group.day is not None:
                inside &= np.asarray(rows.column("day")) == group.day
            some = values[inside]
            assert found.n_users[g] == len(some)
            assert state.moments.n[g] == len(some)
            np.testing.assert_allclose(state.moments.mean[g], some.mean(axis=0), rtol=ROUNDING)
            centered = some - some.mean(axis=0)
            np.testing.assert_allclose(
                state.moments.scatter[g], centered.T @ centered, rtol=ROUNDING, atol=ROUNDING
            )


def column_is(rows: pa.Table, which: str, value: str) -> np.ndarray:
    return np.array([v == value for v in rows.column(which).to_pylist()])


@pytest.mark.parametrize("roles", [{}, {"strata": ("country",)}, {"strata": ("country",), "exposed": "day"}])
def test_moments_against_numpy_by_arm_stratum_and_day(engine: DuckDB, roles: dict[str, object]) -> None:
    rows = users(4_000)
    found = gather(engine, units_of(engine, rows, **roles), metrics=METRICS)
    assert len(found.groups) == 2 * (3 if "strata" in roles else 1) * (5 if "exposed" in roles else 1)
    assert {g.arm for g in found.groups} == {"control", "new"}
    assert_as_numpy(found, rows)


def test_variance_of_a_million_users_around_a_billion_against_numpy(engine: DuckDB) -> None:
    """Sums of squares give -268 here (research, part 1.2), where NumPy gives 0.998."""
    rng = np.random.default_rng(7)
    n = 1_000_000
    rows = pa.table({"arm": np.where(np.arange(n) % 2, "a", "b"), "y": 1e9 + rng.standard_normal(n)})
    found = gather(engine, units_of(engine, rows), metrics=[Metric(name="y", outcome="y")])
    for g, group in enumerate(found.groups):
        own = rows.column("y").to_numpy()[column_is(rows, "arm", group.arm)]
        assert found.metrics["y"].moments.covariance()[g, 0, 0] == pytest.approx(own.var(ddof=1), rel=1e-9)


def test_a_first_stretch_unlike_the_rest_costs_a_second_pass_not_digits(engine: DuckDB) -> None:
    rng = np.random.default_rng(8)
    y = np.concatenate([np.full(20_000, np.nan), 1e9 + rng.standard_normal(30_000)])
    rows = pa.table({"arm": np.where(np.arange(y.size) % 2, "a", "b"), "y": y})
    found = gather(engine, units_of(engine, rows), metrics=[Metric(name="y", outcome="y")])
    own = y[20_001::2]
    assert found.metrics["y"].moments.covariance()[0, 0, 0] == pytest.approx(own.var(ddof=1), rel=1e-9)
    assert found.metrics["y"].n_missing.tolist() == [10_000, 10_000]


def test_missing_outcomes_are_left_out_of_their_metric_alone(engine: DuckDB) -> None:
    rows = users(3_000, seed=3)
    y = rows.column("revenue").to_numpy().copy()
    y[::7], y[1::50], y[2::50] = np.nan, np.inf, -np.inf
    holed = rows.set_column(3, "revenue", pa.array(y))
    found = gather(engine, units_of(engine, holed), metrics=METRICS)
    missing = ~np.isfinite(y)
    arms = [column_is(rows, "arm", g.arm) for g in found.groups]
    assert found.metrics["revenue"].n_missing.tolist() == [int((missing & a).sum()) for a in arms]
    assert found.metrics["basket"].n_missing.tolist() == [int((missing & a).sum()) for a in arms]
    assert found.metrics["active"].n_missing.tolist() == [0, 0]
    kept = rows.filter(pa.array(~missing))
    for metric in METRICS[:1] + METRICS[2:3]:
        state = found.metrics[metric.name]
        values = np.stack([column(kept, c) for c in state.columns], axis=1)
        for g, group in enumerate(found.groups):
            some = values[column_is(kept, "arm", group.arm)]
            centered = some - some.mean(axis=0)
            np.testing.assert_allclose(state.moments.mean[g], some.mean(axis=0), rtol=ROUNDING)
            np.testing.assert_allclose(state.moments.scatter[g], centered.T @ centered, rtol=ROUNDING)


def test_rows_without_an_arm_or_of_another_are_counted_and_told(engine: DuckDB) -> None:
    rows = pa.table({"arm": ["a"] * 50 + ["b"] * 40 + ["c"] * 7 + [None] * 3, "y": np.arange(100.0)})
    found = gather(engine, units_of(engine, rows), metrics=[Metric(name="y", outcome="y")], arms=("a", "b"))
    assert {g.arm: int(n) for g, n in zip(found.groups, found.n_users, strict=True)} == {"a": 50, "b": 40}
    assert {f.code: f.numbers for f in found.findings} == {
        "exposures.no_arm": {"n_without_arm": 3},
        "exposures.unknown_arm": {"n_other_arm": 7},
    }


@pytest.mark.parametrize(
    ("arm", "arms", "code"),
    [
        (["a"] * 60, (), "arms.one"),
        (["a"] * 30 + ["b"] * 30, ("a", "B"), "arms.missing"),
        ([str(i) for i in range(60)], (), "arms.many"),
    ],
)
def test_what_is_no_set_of_arms_is_refused(
    engine: DuckDB, arm: list[str], arms: tuple[str, ...], code: str
) -> None:
    rows = pa.table({"arm": arm, "y": np.arange(60.0)})
    with pytest.raises(DataError) as refused:
        gather(engine, units_of(engine, rows), metrics=[Metric(name="y", outcome="y")], arms=arms)
    assert refused.value.finding.code == code


def test_a_metric_of_text_is_refused(engine: DuckDB) -> None:
    with pytest.raises(ConfigError) as refused:
        gather(engine, units_of(engine, users(100)), metrics=[Metric(name="c", outcome="country")])
    assert refused.value.finding.code == "metric.not_a_number"


def test_parquet_is_read_as_it_is(engine: DuckDB, tmp_path: Path) -> None:
    rows = users(2_000)
    pq.write_table(rows, tmp_path / "rows.parquet")
    in_memory = units_of(engine, rows)
    on_disk = in_memory.within(sql("{s}", s=shim("scan", str(tmp_path / "rows.parquet"))))
    assert_as_numpy(gather(engine, on_disk, metrics=METRICS), rows)


def test_a_missing_covariate_counts_as_the_mean_of_the_others(engine: DuckDB) -> None:
    rows = users(3_000, seed=5)
    before = rows.column("before").to_numpy().copy()
    is_missing = np.arange(3_000) % 6 == 0
    before[is_missing] = np.nan
    holed = rows.set_column(6, "before", pa.array(before))
    found = gather(engine, units_of(engine, holed), metrics=METRICS[:1])
    before[is_missing] = before[~is_missing].mean()
    assert_as_numpy(found, holed.set_column(6, "before", pa.array(before)), METRICS[:1])
    assert found.facts["n_imputed/revenue/before"] == 500
