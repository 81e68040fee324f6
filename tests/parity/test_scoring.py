"""Scoring on Spark against the local forecast of the same model, for all models of the shelf."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import headwater
from headwater.app.plan import task_of
from headwater.contracts.check import check
from headwater.core.contract import Aggregate, App, Contract, Measure, Source
from headwater.core.errors import UsageError
from headwater.core.table import Kind
from headwater.engine.engine import Engine
from headwater.ledgers.build import build_ledger
from headwater.models.forecasting import fit_model
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Training
from headwater.snapshots.build import build_snapshot
from headwater.snapshots.rows import rows_at

SAME = 1e-12  # the same arithmetic on the same rows; only the length of a vector differs
FIRST = date(2024, 1, 1)
N_DAYS = 200


def shop(rng: np.random.Generator, n_users: int = 500) -> pa.Table:
    """Users who buy each day with their own chance at their own price."""
    chance, price = rng.beta(2, 40, n_users), rng.lognormal(3, 0.6, n_users)
    bought = rng.random((n_users, N_DAYS)) < chance[:, None]
    bought &= np.arange(N_DAYS) >= rng.integers(0, 100, n_users)[:, None]
    who, when = np.nonzero(bought)
    spent = price[who] * rng.gamma(4, 0.25, who.size) + 0.01
    return pa.table(
        {
            "user": [f"u{w:05d}" for w in who],
            "at": [(FIRST + timedelta(days=int(d))).isoformat() for d in when],
            "number": [f"o{i}" for i in range(who.size)],
            "amount": [f"{a:.4f}" for a in spent],
            "channel": [("organic", "ads", "friends")[w % 3] for w in who],
        }
    )


@pytest.fixture(scope="module")
def training(duck: Engine, tmp_path_factory: pytest.TempPathFactory) -> Training:
    root = tmp_path_factory.mktemp("scored")
    pq.write_table(shop(np.random.default_rng(5)), root / "log.parquet")
    measures = (
        Measure(name="revenue", aggregate=Aggregate.SUM, expression="amount", unit="USD"),
        Measure(
            name="purchases", aggregate=Aggregate.COUNT_DISTINCT, expression="number", where="amount > 0"
        ),
    )
    log = Contract(
        app=App(name="t", time_zone="UTC", currency="USD", launched_on=None, left_edge_days=0),
        source=Source(
            path="log.parquet",
            user="user",
            at="at",
            event_is="buy",
            types={"amount": Kind.MONEY},
            keep=("channel",),
        ),
        measures=measures,
        rules=(),
        max_share=1.0,
    )
    events = check(duck, log, root=root, folder=root / "check", source_fingerprint="none")
    ledger = build_ledger(duck, events, folder=root / "ledger")
    end = ledger.end_day
    snapshot = build_snapshot(
        duck, ledger, cutoffs=[end - 58, end - 44, end - 30, end], horizons=(30,), folder=root / "snapshot"
    )
    return Training(
        snapshot=snapshot, task=task_of(ledger, "revenue", 30), engine=duck, rng=np.random.default_rng(7)
    )


@pytest.mark.parametrize("name", LTV_MODELS.names())
def test_scores_and_intervals_equal_the_local_forecast(name: str, training: Training, spark: Any) -> None:
    model = fit_model(name, training)
    local = model.forecast(training.snapshot, cutoff=training.now, rng=np.random.default_rng(3))
    users = rows_at(training.snapshot, training.now, ("user_id",))["user_id"].to_pylist()
    rows = spark.session.read.parquet(*training.snapshot.rows.files).where(f"cutoff = {training.now}")
    scored = headwater.score_on_spark(model, rows.repartition(5)).toArrow().sort_by("user_id")
    assert scored["user_id"].to_pylist() == users
    # a variance is read off past errors by the mean, steeply: by the mean that was made there, not by its twin here
    read_off = model.errors.variance(scored["forecast"].to_numpy()) if model.errors else local.variance
    for column, values in {
        "forecast": local.mean,
        "low": local.low,
        "high": local.high,
        "variance": read_off,
    }.items():
        np.testing.assert_allclose(scored[column].to_numpy(), values, rtol=SAME, atol=SAME, err_msg=column)


def test_a_frame_without_the_models_columns_is_refused(training: Training, spark: Any) -> None:
    model = fit_model("rate_so_far", training)
    with pytest.raises(UsageError, match=r"score\.columns"):
        headwater.score_on_spark(model, spark.session.createDataFrame(pa.table({"user_id": ["a"]})))
