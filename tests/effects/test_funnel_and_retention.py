"""Funnel steps against the binomial and a simulation; retention against a proportion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headwater.core.errors import UsageError
from headwater.core.finding import Finding
from headwater.effects.compared import RANDOMIZED
from headwater.effects.kind import METRIC_KINDS
from headwater.effects.metric import Metric
from headwater.numerics.effect import effect_of

EXACT = 1e-9  # the same sums in another order
STEP = Metric(name="m", kind="funnel_step", outcome="paid", over="opened")
N_RUNS = 400
COVERED = (0.92, 0.98)  # 95% of 400 runs: within 3 standard errors of 1.1 points, rounded outwards


def users(rng: np.random.Generator, n: int, *, opened: float, paid: float) -> np.ndarray:
    before = rng.random(n) < opened
    return np.column_stack([before & (rng.random(n) < paid), before]).astype(float)


def compare(metric: Metric, gathered: Any) -> Any:
    return RANDOMIZED.load("welch")().compare(metric, gathered, control="a", arm="b")


def test_a_funnel_step_has_the_binomial_variance_of_those_at_the_step_before(gathered_of: Any) -> None:
    rng = np.random.default_rng(1)
    rows = {arm: users(rng, n, opened=0.4, paid=0.3) for arm, n in (("a", 500), ("b", 700))}
    found = compare(STEP, gathered_of(rows))
    for estimate, arm in ((found.control, rows["a"]), (found.arm, rows["b"])):
        n, n_before, n_both = len(arm), arm[:, 1].sum(), arm[:, 0].sum()
        share = n_both / n_before
        assert estimate.value == pytest.approx(share, rel=EXACT)
        assert estimate.variance == pytest.approx(share * (1 - share) / n_before * n / (n - 1), rel=EXACT)


def test_intervals_of_a_funnel_step_hold_the_truth_where_both_steps_move(gathered_of: Any) -> None:
    """Simulation with known truth: the step before from 30% to 45%, the step itself from 20% to 26%."""
    rng, n_held = np.random.default_rng(2), 0
    for _ in range(N_RUNS):
        rows = {"a": users(rng, 600, opened=0.3, paid=0.2), "b": users(rng, 600, opened=0.45, paid=0.26)}
        found = compare(STEP, gathered_of(rows))
        effect = effect_of(found.control, found.arm, covariance=found.covariance)
        assert effect is not None
        n_held += effect.low <= 0.06 <= effect.high
    assert COVERED[0] <= n_held / N_RUNS <= COVERED[1]


def test_a_step_that_nobody_reached_is_refused_and_a_rare_one_says_so(gathered_of: Any) -> None:
    rng = np.random.default_rng(3)
    nobody = {"a": np.zeros((50, 2)), "b": users(rng, 50, opened=0.5, paid=0.5)}
    refused = compare(STEP, gathered_of(nobody))
    assert isinstance(refused, Finding)
    assert refused.code == "funnel_step.nobody"
    few = {arm: users(rng, 50, opened=0.3, paid=0.1) for arm in "ab"}
    assert {f.code for f in compare(STEP, gathered_of(few)).findings} == {"funnel_step.rare"}


def test_a_funnel_step_without_the_step_before_is_refused() -> None:
    with pytest.raises(UsageError, match="says no 'over'"):
        METRIC_KINDS.load("funnel_step")().columns(replace(STEP, over=None))


def test_retention_is_the_proportion_of_users_who_were_back(gathered_of: Any) -> None:
    rng = np.random.default_rng(4)
    rows = {arm: (rng.random((n, 1)) < 0.4).astype(float) for arm, n in (("a", 300), ("b", 400))}
    retention = Metric(name="m", kind="retention", outcome="active_days", days=(7, 7))
    proportion = Metric(name="m", kind="proportion", outcome="active_days > 0")
    assert compare(retention, gathered_of(rows)) == compare(proportion, gathered_of(rows))
    assert METRIC_KINDS.load("retention")().columns(retention) == ("(active_days) > 0",)
