"""A/A and power on users at hand: the counts against binomial bounds and closed forms."""

import numpy as np
import pytest
from scipy import stats

from headwater.core.errors import DataError
from headwater.effects.metric import Metric
from headwater.effects.plan import Arm
from headwater.effects.simulate_on_history import simulate_on_history, tally_of

N, RUNS = 4000, 250
REVENUE = Metric(name="revenue", outcome="revenue", covariates=("past",))
BOUGHT = Metric(name="bought", kind="proportion", outcome="bought")
BASKET = Metric(name="basket", kind="ratio", outcome="revenue", over="orders")


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(1)
    past = rng.gamma(2, 2, N)
    orders = 1 + rng.poisson(past / 2).astype(float)
    return {
        "past": past,
        "orders": orders,
        "revenue": orders * rng.gamma(3, 4, N),
        "bought": (rng.random(N) < 0.2).astype(float),
    }


def _inside(tally, share):
    return stats.binomtest(tally.count, tally.n, share).pvalue > 1e-3


def test_false_alarms_coverage_and_power_are_as_stated(columns):
    rng = np.random.default_rng(2)
    found = simulate_on_history([REVENUE, BOUGHT, BASKET], columns, rng=rng, n_runs=RUNS, rel_effect=0.05)
    assert [(r.metric.name, r.method) for r in found.rows] == [
        ("revenue", "cuped"),
        ("bought", "welch"),
        ("basket", "welch"),
    ]
    for row in found.rows:
        assert _inside(row.false_alarms, 0.05), row.metric.name
        assert _inside(row.covered, 0.95), row.metric.name
        assert _inside(row.found, row.expected_power), row.metric.name
        assert row.spread == pytest.approx(row.std_error, rel=4 / np.sqrt(2 * RUNS))
    by = {r.metric.name: r for r in found.rows}
    plain = 2 * columns["revenue"].std(ddof=1) / np.sqrt(N)
    r_squared = np.corrcoef(columns["past"], columns["revenue"])[0, 1] ** 2
    assert by["revenue"].std_error == pytest.approx(plain * np.sqrt(1 - r_squared), rel=0.01)
    assert "bought" in str(found)
    assert found.findings == ()


def test_one_whale_never_alarms_and_a_cap_restores_the_level():
    """One user of 400 holds nearly all."""
    rng = np.random.default_rng(3)
    whale = np.append(rng.normal(1, 0.1, 399), 1000.0)
    metric = Metric(name="revenue", outcome="revenue")
    found = simulate_on_history([metric], {"revenue": whale}, rng=rng, n_runs=RUNS)
    assert found.rows[0].false_alarms.count == 0  # |t| is about 1, whichever arm has the whale
    capped = Metric(name="revenue", outcome="revenue", winsorize=0.99)
    again = simulate_on_history([capped], {"revenue": whale}, rng=rng, n_runs=RUNS)
    assert _inside(again.rows[0].false_alarms, 0.05)


def test_a_small_arm_of_skewed_users_is_said_to_break_the_level():
    rng = np.random.default_rng(4)
    metric = Metric(name="revenue", outcome="revenue")
    arms = [Arm(name="control", share=0.97), Arm(name="new", share=0.03)]
    skewed = {"revenue": rng.lognormal(0, 2, 1000)}
    found = simulate_on_history([metric], skewed, rng=rng, arms=arms, n_runs=RUNS)
    assert found.rows[0].false_alarms.low > 0.05
    assert [f.code for f in found.findings] == ["simulation.level"]


def test_the_same_seed_gives_the_same_runs_and_every_arm_its_row(columns):
    arms = [Arm(name="a", share=0.5), Arm(name="b", share=0.3), Arm(name="c", share=0.2)]
    one, two = (
        simulate_on_history([BOUGHT], columns, rng=np.random.default_rng(5), arms=arms, n_runs=40)
        for _ in range(2)
    )
    assert one.rows == two.rows
    assert [r.arm for r in one.rows] == ["b", "c"]
    assert one.rows[0].std_error < one.rows[1].std_error


def test_what_cannot_be_simulated_is_refused(columns):
    with pytest.raises(DataError, match=r"simulation.not_finite"):
        simulate_on_history([BOUGHT], {"bought": np.array([1.0, np.nan])}, rng=np.random.default_rng(1))


def test_binomial_bounds_against_scipy():
    for count, n in ((0, 20), (3, 100), (100, 100)):
        found = tally_of([True] * count + [False] * (n - count))
        bounds = stats.binomtest(count, n).proportion_ci(0.99, method="exact")
        assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), abs=1e-9)
