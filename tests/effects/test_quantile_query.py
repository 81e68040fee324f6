"""Order statistics and caps by query, beside sorting in NumPy."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.table import Kind
from headwater.effects import quantile_query
from headwater.effects.gather import gather
from headwater.effects.metric import Metric
from headwater.effects.units import Units
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name

ROUNDING = 1e-10  # sums of doubles in another order
Z = 1.959964


def units_of(engine: DuckDB, rows: pa.Table) -> Units:
    engine.register("rows", rows)
    return Units(rows=name("rows"), columns={"arm": Kind.TEXT, "y": Kind.NUMBER, "t": Kind.NUMBER}, arm="arm")


def drawn(n: int) -> pa.Table:
    """Waiting times, and a total that most users have none of; the arms differ in size and place."""
    rng = np.random.default_rng(4)
    is_b = rng.random(n) < 0.3
    y = rng.lognormal(3, 0.6, n) * np.where(is_b, 1.1, 1)
    y[::101] = np.nan
    t = np.where(rng.random(n) < 0.8, 0.0, np.round(rng.lognormal(2, 2, n), 0))
    return pa.table({"arm": np.where(is_b, "b", "a"), "y": y, "t": t})


@pytest.mark.parametrize("is_sampled", [False, True])
@pytest.mark.parametrize(("column", "share"), [("y", 0.5), ("y", 0.99), ("y", 0.001), ("t", 0.5), ("t", 0.9)])
def test_order_statistics_against_sorting(
    engine: DuckDB, monkeypatch: pytest.MonkeyPatch, column: str, share: float, is_sampled: bool
) -> None:
    if is_sampled:
        monkeypatch.setattr(quantile_query, "_ALL_BELOW", 100)
        monkeypatch.setattr(quantile_query, "_SAMPLED", 3_000)
    rows = drawn(20_000)
    metric = Metric(name="q", kind="quantile", outcome=column, share=share)
    states = gather(engine, units_of(engine, rows), metrics=[metric]).metrics["q"].quantiles
    assert [s.arm for s in states] == ["a", "b"]
    for state in states:
        own = rows.column(column).to_numpy()[rows.column("arm").to_numpy() == state.arm]
        own = np.sort(own[~np.isnan(own)])
        n, reach = own.size, Z * sqrt(own.size * share * (1 - share))
        ranks = [ceil(n * share - reach), ceil(n * share), ceil(n * share + reach)]
        assert (state.n, state.n_users, state.inflation) == (n, n, 1.0)
        assert [state.low, state.value, state.high] == [own[min(max(r, 1), n) - 1] for r in ranks]


def test_a_sample_that_misleads_costs_a_scan_not_the_answer(
    engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantile_query, "_ALL_BELOW", 100)
    monkeypatch.setattr(quantile_query, "_brackets", lambda *_, **__: [(1e6, 2e6)])
    rows = drawn(5_000)
    metric = Metric(name="q", kind="quantile", outcome="y", share=0.5)
    (state, _) = gather(engine, units_of(engine, rows), metrics=[metric]).metrics["q"].quantiles
    own = rows.column("y").to_numpy()[rows.column("arm").to_numpy() == "a"]
    assert state.value == np.quantile(own[~np.isnan(own)], 0.5, method="inverted_cdf")


def test_winsorized_moments_against_numpy(engine: DuckDB) -> None:
    rows = drawn(20_000)
    metrics = [
        Metric(name="plain", outcome="t"),
        Metric(name="cut", outcome="t", winsorize=0.99, covariates=("t",)),
    ]
    found = gather(engine, units_of(engine, rows), metrics=metrics)
    t, arm = rows.column("t").to_numpy(), rows.column("arm").to_numpy()
    cap = np.quantile(t, 0.99, method="inverted_cdf")
    state = found.metrics["cut"]
    assert state.cap == cap
    assert found.metrics["plain"].cap is None
    assert state.n_capped is not None
    assert state.largest is not None
    for g, group in enumerate(found.groups):
        raw = t[arm == group.arm]
        cut = np.minimum(raw, cap)
        assert state.n_capped[g] == (raw > cap).sum()
        assert state.largest[g] == cap
        assert state.moments.mean[g] == pytest.approx([cut.mean(), raw.mean()], rel=ROUNDING)
        assert state.moments.covariance()[g] == pytest.approx(np.cov(cut, raw), rel=ROUNDING)
        assert found.facts[f"raw_total/cut/{group.arm}"] == pytest.approx(raw.sum(), rel=ROUNDING)
