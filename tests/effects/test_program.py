"""A program of experiments with known true effects."""

from datetime import date
from typing import Any

import numpy as np

from headwater.effects.program import program


def record(n: int, *, seed: int, correlation: float) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Experiments on two metrics whose true relative effects are known; noise of 1% correlates by a half."""
    rng = np.random.default_rng(seed)
    true = rng.multivariate_normal([0.005, 0.0], 0.02**2 * np.array([[1, correlation], [correlation, 1]]), n)
    seen = true + rng.multivariate_normal([0, 0], 0.01**2 * np.array([[1, 0.5], [0.5, 1]]), n)
    rows = [
        {
            "experiment": f"e{i}", "arm": "B", "metric": metric, "looked_on": date(2026, 1, 1), "n_users": 1000,
            "trusted": True, "better": better, "relative": sign * seen[i, j], "std_error": 0.02, "value_control": 2.0,
        }
        for i in range(n)
        for j, (metric, better, sign) in enumerate((("revenue", "higher", 1), ("crashes", "lower", -1)))
    ]  # fmt: skip
    return rows, true


def test_program_of_known_effects_is_worth_what_it_is_not_what_wins_add_up_to():
    rows, true = record(200, seed=3, correlation=0.8)
    found = program(rows)
    revenue = next(m for m in found.metrics if m.metric == "revenue")
    won = np.array([r["relative"] for r in rows[::2]]) > 1.96 * 0.01
    truth = true[won, 0].sum()
    assert revenue.n_better == won.sum()
    assert revenue.wins.low <= truth <= revenue.wins.high
    assert abs(revenue.wins.corrected - truth) < abs(revenue.wins.observed - truth)
    assert revenue.effects.low <= 0.005 <= revenue.effects.high
    assert abs(revenue.effects.tau2**0.5 - 0.02) < 0.004


def test_bounds_of_a_correlation_hold_the_true_one_whatever_the_noise_shares():
    for correlation in (-0.6, 0.0, 0.8):
        pair = program(record(2000, seed=5, correlation=correlation)[0]).pairs[0]
        assert pair.low <= correlation <= pair.high
        assert pair.high - pair.low < 0.6


def test_only_the_last_trusted_look_of_each_experiment_counts():
    rows, _ = record(5, seed=1, correlation=0.0)
    early = [dict(r, n_users=500, relative=9.0) for r in rows]
    bad = [dict(rows[0], experiment="broken", trusted=False, relative=9.0)]
    found = program([*rows, *early, *bad])
    assert found.n_left_out == 1
    assert found.n_experiments == 6
    assert [m.n for m in found.metrics] == [5, 5]
    assert max(m.effects.mean for m in found.metrics) < 0.1
    assert "likely true" in str(found)
