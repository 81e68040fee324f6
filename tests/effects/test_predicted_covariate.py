"""Predictions as covariates: what they save of a known model, that they do no harm, and that none saw its own user."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import DataError, UsageError
from headwater.core.table import Kind
from headwater.effects.choose_method import method_for, method_name
from headwater.effects.gather import gather
from headwater.effects.metric import Metric
from headwater.effects.predicted_covariate import with_predictions
from headwater.effects.units import Units
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name, sql
from headwater.learners.boosting import Settings
from headwater.numerics.effect import effect_of

QUICK = Settings(rounds=60, learning_rate=0.1)
REVENUE = Metric(name="m", outcome="revenue")
KINDS = {
    "uid": Kind.TEXT, "arm": Kind.TEXT, "revenue": Kind.NUMBER, "orders": Kind.INTEGER,
    "before": Kind.NUMBER, "country": Kind.TEXT,
}  # fmt: skip


def _users(n: int, *, seed: int, explained: float, effect: float = 0.0) -> pa.Table:
    """Revenue is a step and a country, neither linear in what is known, and noise of variance one."""
    rng = np.random.default_rng(seed)
    before, country = rng.random(n), rng.integers(0, 3, n)
    expected = explained * (2.0 * (np.abs(before - 0.5) < 0.25) + 2.0 * (country == 1))
    treated = rng.random(n) < 0.5
    return pa.table({
        "uid": [f"u{i}" for i in range(n)],
        "arm": np.where(treated, "new", "control"),
        "revenue": expected + effect * treated + rng.normal(size=n),
        "orders": 1 + rng.poisson(1.0, n),
        "before": before,
        "country": np.array(["de", "fr", "it"])[country],
    })  # fmt: skip


def _units(engine: DuckDB, rows: pa.Table) -> Units:
    engine.register("rows", rows)
    return Units(rows=name("rows"), columns=KINDS, arm="arm", unit="uid")


def _compared(engine: DuckDB, rows: pa.Table, metric: Metric = REVENUE):
    units, metrics = with_predictions(
        engine,
        _units(engine, rows),
        metrics=[metric],
        known_before=["before", "country"],
        seed=1,
        settings=QUICK,
    )
    gathered = gather(engine, units, metrics=metrics, arms=["control", "new"])
    assert method_name(metrics[0], gathered) == "ml_covariate"
    return method_for(metrics[0], gathered).compare(metrics[0], gathered, control="control", arm="new")


def test_what_is_explained_goes_though_no_line_would_explain_it(engine: DuckDB):
    """Variance explained: 4 x 1/4 + 4 x 2/9 of the whole with 1 more: 65%; trees of few rounds find most of it."""
    found = _compared(engine, _users(8000, seed=1, explained=1.0, effect=0.2))
    assert 0.55 < found.variance_removed < 0.67
    effect = effect_of(found.control, found.arm, covariance=found.covariance)
    assert abs(effect.difference - 0.2) < 4 * effect.std_error
    assert found.method == "CUPED on a prediction"


def test_a_prediction_of_nothing_does_no_harm(engine: DuckDB):
    found = _compared(engine, _users(3000, seed=2, explained=0.0))
    assert abs(found.variance_removed) < 0.01


def test_a_ratio_gets_a_prediction_of_both_its_totals(engine: DuckDB):
    ratio = Metric(name="m", kind="ratio", outcome="revenue", over="orders")
    found = _compared(engine, _users(4000, seed=3, explained=1.0), ratio)
    assert found.method == "CUPED on a prediction and 1 more"
    assert found.variance_removed > 0.2


def test_no_prediction_moves_with_its_own_users_outcome(engine: DuckDB):
    """An outcome made enormous moves predictions of other folds only."""
    rows = _users(1000, seed=4, explained=1.0)
    there = _predictions(engine, rows)
    at = 17
    changed = rows.column("revenue").to_numpy().copy()
    changed[at] += 1e6
    moved = _predictions(engine, rows.set_column(2, "revenue", pa.array(changed)))
    assert moved[at] == there[at] or abs(moved[at] - there[at]) < 1.0
    assert np.abs(moved - there).max() > 100


def _predictions(engine: DuckDB, rows: pa.Table) -> np.ndarray:
    units, _ = with_predictions(
        engine, _units(engine, rows), metrics=[REVENUE], known_before=["before", "country"], seed=1,
        settings=Settings(rounds=5),
    )  # fmt: skip
    found = engine.rows(sql("SELECT uid, predicted_0 FROM {r} x", r=units.rows))
    return np.array([p for _, p in sorted(found, key=lambda one: int(one[0][1:]))])


def test_users_without_an_id_or_too_few_are_refused(engine: DuckDB):
    few = _users(100, seed=5, explained=1.0)
    with pytest.raises(DataError, match=r"covariate\.too_few_users"):
        _compared(engine, few)
    units = _units(engine, few)
    with pytest.raises(UsageError, match=r"covariate\.no_unit"):
        with_predictions(
            engine,
            Units(rows=units.rows, columns=KINDS, arm="arm"),
            metrics=[REVENUE],
            known_before=["before"],
            seed=1,
        )
