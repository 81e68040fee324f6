"""Several rows of a unit, and clusters, beside the same rows added up by NumPy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import UsageError
from headwater.core.table import Kind
from headwater.effects.choose_method import method_for, method_name
from headwater.effects.gather import gather
from headwater.effects.metric import Metric
from headwater.effects.units import Units
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name
from headwater.numerics.effect import effect_of

ROUNDING = 1e-9  # the same sums in another order
METRICS = (
    Metric(name="spent", outcome="spent", covariates=("before",)),
    Metric(name="bought", kind="proportion", outcome="spent > 5"),
    Metric(name="basket", kind="ratio", outcome="spent", over="orders"),
)
KINDS = {
    "arm": Kind.TEXT, "uid": Kind.INTEGER, "city": Kind.INTEGER, "spent": Kind.NUMBER, "orders": Kind.INTEGER,
    "before": Kind.NUMBER,
}  # fmt: skip


def _rows(n_units: int, *, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    uid = np.repeat(np.arange(n_units), 1 + rng.poisson(2.0, n_units))
    city = uid % 40
    return {
        "arm": np.array(["a", "b"])[(city * 7919 % 40 < 20).astype(int)],
        "uid": uid,
        "city": city,
        "spent": rng.gamma(2.0, size=uid.size) * 3 + rng.normal(size=40)[city],
        "orders": 1 + rng.poisson(1.0, uid.size),
        "before": rng.normal(size=n_units)[uid],
    }


def _gathered(engine: DuckDB, rows: dict[str, np.ndarray], **roles: object):
    engine.register("rows", pa.table({k: pa.array(v) for k, v in rows.items()}))
    units = Units(rows=name("rows"), columns=KINDS, arm="arm", **roles)  # pyright: ignore[reportArgumentType]
    return gather(engine, units, metrics=METRICS, arms=["a", "b"])


def test_users_with_several_rows_against_numpy(engine: DuckDB):
    rows = _rows(300)
    found = _gathered(engine, rows, unit="uid", is_long=True)
    sums = {c: np.bincount(rows["uid"], weights=rows[c]) for c in ("spent", "orders")}
    ever = np.bincount(rows["uid"], weights=rows["spent"] > 5) > 0
    arm = np.array([rows["arm"][rows["uid"] == u][0] for u in range(300)])
    assert found.users_of("a") == (arm == "a").sum()
    for g, group in enumerate(found.groups):
        inside = arm == group.arm
        spent, bought, basket = (found.metrics[m.name].moments for m in METRICS)
        assert spent.mean[g, 0] == pytest.approx(sums["spent"][inside].mean(), rel=ROUNDING)
        assert spent.covariance()[g, 0, 0] == pytest.approx(sums["spent"][inside].var(ddof=1), rel=ROUNDING)
        assert bought.mean[g, 0] == pytest.approx(ever[inside].mean(), rel=ROUNDING)
        assert basket.mean[g, 1] == pytest.approx(sums["orders"][inside].mean(), rel=ROUNDING)
    assert found.metrics["spent"].columns == ("spent", "before")


def test_clusters_are_means_of_rows_with_the_error_of_clusters(engine: DuckDB):
    rows = _rows(2000)
    found = _gathered(engine, rows, unit="uid", cluster="city")
    for metric in METRICS[:2]:
        assert method_name(metric, found) == "cluster_robust"
        compared = method_for(metric, found).compare(metric, found, control="a", arm="b")
        outcome = rows["spent"] if metric.name == "spent" else (rows["spent"] > 5) * 1.0
        for side, arm in ((compared.control, "a"), (compared.arm, "b")):
            assert side.n == 20
            if not metric.covariates:
                inside = rows["arm"] == arm
                assert side.value == pytest.approx(outcome[inside].mean(), rel=ROUNDING)
                left = outcome[inside] - side.value
                parts = np.bincount(rows["city"][inside], weights=left, minlength=40)
                assert side.variance == pytest.approx(
                    (parts**2).sum() / inside.sum() ** 2 * 20 / 19, rel=1e-6
                )
    assert effect_of(compared.control, compared.arm).df < 40


def test_rows_that_nobody_says_belong_together_are_refused(engine: DuckDB):
    with pytest.raises(UsageError, match=r"units\.no_id"):
        _gathered(engine, _rows(20), is_long=True)


def test_a_quantile_of_clusters_is_refused(engine: DuckDB):
    rows = _rows(50)
    engine.register("rows", pa.table({k: pa.array(v) for k, v in rows.items()}))
    units = Units(rows=name("rows"), columns=KINDS, arm="arm", cluster="city")
    metric = Metric(name="m", kind="quantile", outcome="spent", share=0.5)
    with pytest.raises(UsageError, match=r"units\.cluster_metric"):
        gather(engine, units, metrics=[metric])
