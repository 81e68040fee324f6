"""Time to an event through the query and the method: users one by one, and a simulation with known truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import UsageError
from headwater.core.finding import Finding
from headwater.core.table import Kind
from headwater.effects.compared import RANDOMIZED, Compared
from headwater.effects.gather import gather
from headwater.effects.gathered import Gathered, MetricState, SurvivalState
from headwater.effects.kind import METRIC_KINDS
from headwater.effects.metric import Metric
from headwater.effects.units import Units
from headwater.engine.sql import name
from headwater.numerics.effect import effect_of
from headwater.numerics.moments import of_rows

DAYS = 10
METRIC = Metric(name="m", kind="time_to_event", outcome="day", over="observed", days=(0, DAYS - 1))
EXACT = 1e-12  # the same sums in another order
N_RUNS = 300
COVERED = (0.91, 0.985)  # 95% of 300 runs: within 3 standard errors of 1.3 points


def counted(days: np.ndarray, observed: np.ndarray, arm: str) -> SurvivalState:
    """Counts by day, one user at a time; ``days`` may lie beyond what was observed."""
    counts: dict[int, list[int]] = {}
    for day, seen in zip(days, np.minimum(observed, DAYS), strict=True):
        if seen > 0:
            is_seen = day < seen
            counts.setdefault(int(day if is_seen else seen - 1), [0, 0])[0 if is_seen else 1] += 1
    rows = [(d, *counts[d]) for d in sorted(counts)]
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return SurvivalState(arm=arm, days=table[:, 0], events=table[:, 1], censored=table[:, 2], horizon=DAYS)


def gathered_of(states: tuple[SurvivalState, ...]) -> Gathered:
    moments = of_rows(np.zeros((2, 1)))
    state = MetricState(columns=("observed",), moments=moments, n_missing=np.zeros(1, dtype=np.int64), survival=states)  # fmt: skip
    return Gathered(groups=(), n_users=np.zeros(0, dtype=np.int64), metrics={"m": state})


def compare(states: tuple[SurvivalState, ...]) -> Compared | Finding:
    return RANDOMIZED.load("restricted_mean")().compare(METRIC, gathered_of(states), control="a", arm="b")


def test_the_query_counts_what_users_counted_one_by_one_do(bench: Any) -> None:
    rng = np.random.default_rng(1)
    n = 400
    arm, days, observed = rng.random(n) < 0.5, rng.geometric(0.15, n) - 1, rng.integers(0, 15, n)
    known = [
        int(d) if d < o + 3 else None for d, o in zip(days, observed, strict=True)
    ]  # some are known too early
    rows = pa.table(
        {"arm": np.where(arm, "b", "a"), "day": pa.array(known, pa.int64()), "observed": observed}
    )
    bench.engine.register("units", rows)
    columns = {"arm": Kind.TEXT, "day": Kind.INTEGER, "observed": Kind.INTEGER}
    found = gather(bench.engine, Units(rows=name("units"), columns=columns, arm="arm"), metrics=[METRIC])
    for state, is_b in zip(found.metrics["m"].survival, (False, True), strict=True):
        expected = counted(days[arm == is_b], observed[arm == is_b], state.arm)
        assert state.horizon == DAYS
        for one, other in ((state.days, expected.days), (state.events, expected.events), (state.censored, expected.censored)):  # fmt: skip
            assert one.tolist() == other.tolist()


def test_without_censoring_it_is_the_mean_of_the_smaller_of_day_and_window() -> None:
    rng = np.random.default_rng(2)
    days = {"a": rng.geometric(0.1, 300) - 1, "b": rng.geometric(0.2, 250) - 1}
    found = compare(tuple(counted(d, np.full(d.size, DAYS), arm) for arm, d in days.items()))
    assert isinstance(found, Compared)
    for estimate, d in ((found.control, days["a"]), (found.arm, days["b"])):
        cut = np.minimum(d, DAYS)
        assert estimate.value == pytest.approx(cut.mean(), rel=EXACT)
        assert estimate.variance == pytest.approx(cut.var() / d.size, rel=EXACT)


def test_intervals_hold_the_truth_where_half_of_the_users_came_late() -> None:
    """Simulation: days geometric, so that the mean of min(day, 10) is a sum of powers."""
    rng, n_held = np.random.default_rng(3), 0
    truth = sum(0.8**t - 0.9**t for t in range(1, DAYS + 1))
    for _ in range(N_RUNS):
        states = []
        for arm, chance in (("a", 0.1), ("b", 0.2)):
            observed = np.where(rng.random(300) < 0.5, DAYS, rng.integers(0, DAYS, 300))
            states.append(counted(rng.geometric(chance, 300) - 1, observed, arm))
        found = compare(tuple(states))
        assert isinstance(found, Compared)
        effect = effect_of(found.control, found.arm)
        assert effect is not None
        n_held += effect.low <= truth <= effect.high
    assert COVERED[0] <= n_held / N_RUNS <= COVERED[1]


def test_before_any_window_is_over_there_is_no_number() -> None:
    days = np.full(50, 100)
    refused = compare(tuple(counted(days, np.full(50, 6), arm) for arm in "ab"))
    assert isinstance(refused, Finding)
    assert refused.code == "time_to_event.unfollowed"


def test_without_the_days_observed_it_is_refused() -> None:
    with pytest.raises(UsageError, match="observed"):
        METRIC_KINDS.load("time_to_event")().columns(Metric(name="m", kind="time_to_event", outcome="day"))
