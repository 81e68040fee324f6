"""Quantiles by order statistics, against gbstats, simulations with known quantiles and variances by brute force."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from headwater.core.finding import Finding
from headwater.effects.gathered import Gathered, Group, MetricState, QuantileState
from headwater.effects.metric import Metric
from headwater.effects.randomized.order_statistics import OrderStatistics
from headwater.numerics.effect import effect_of
from headwater.numerics.moments import of_rows
from headwater.numerics.quantile_effect import bound_ranks, quantile_estimate, quantile_inflation

GBSTATS_RTOL = 1e-6  # their z has nine digits, ours seven; t and normal differ in the fifth at 22,000 rows
P90 = Metric(name="m", kind="quantile", outcome="y", share=0.9)


def _gathered(*states: QuantileState) -> Gathered:
    moments = of_rows(np.zeros((2, 1)), groups=np.arange(2))
    state = MetricState(
        columns=("y",), moments=moments, n_missing=np.zeros(2, dtype=np.int64), quantiles=states
    )
    groups = tuple(Group(arm=s.arm) for s in states)
    return Gathered(groups=groups, n_users=np.array([s.n for s in states]), metrics={"m": state})


def _state(arm: str, value: float, low: float, high: float, n: int, **more: float) -> QuantileState:
    return QuantileState(arm=arm, value=value, low=low, high=high, n=n, n_users=n, **more)


GBSTATS = (
    _state("zero", 7.157987489967789, 7.098780136176828, 7.217194843758751, 11054),
    _state("one", 7.694499927525767, 7.64180598628119, 7.747193868770344, 10861),
)


def test_p90_against_gbstats_bayesian_quantile_test():
    """gbstats takes a normal posterior with a flat prior, and the delta method for the relative effect; we take t and Fieller."""
    found = OrderStatistics().compare(P90, _gathered(*GBSTATS), control="zero", arm="one")
    difference = found.arm.value - found.control.value
    error = sqrt(found.control.variance + found.arm.variance)
    z = float(stats.norm.ppf(0.975))
    assert difference == pytest.approx(0.5365124375579775, rel=1e-12)
    assert (difference - z * error, difference + z * error) == pytest.approx(
        (0.4572559589115422, 0.6157689162044128), rel=GBSTATS_RTOL
    )
    lift = difference / found.control.value
    relative = sqrt(found.arm.variance + found.control.variance * (1 + lift) ** 2) / found.control.value
    assert (lift, lift - z * relative, lift + z * relative) == pytest.approx(
        (0.07495297222736319, 0.06341005842481906, 0.08649588602990732), rel=GBSTATS_RTOL
    )
    ours = effect_of(found.control, found.arm)
    assert (ours.rel_low, ours.rel_high) == pytest.approx((0.0634, 0.0865), abs=2e-4)


def test_collapsed_bounds_are_refused():
    states = (_state("zero", 0.0, 0.0, 0.0, 1000), GBSTATS[1])
    found = OrderStatistics().compare(P90, _gathered(*states), control="zero", arm="one")
    assert isinstance(found, Finding)
    assert found.code == "quantile.collapsed"


def test_event_and_user_level_quantiles_of_gbstats_example():
    """(0, 0), (2, 3), (99): the median over events is 2, that over the users' sums 5."""
    events = np.sort([0, 0, 2, 3, 99])
    assert events[bound_ranks(5, 0.5)[1] - 1] == 2
    assert np.sort([0, 5, 99])[bound_ranks(3, 0.5)[1] - 1] == 5


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_error_is_that_of_simulated_quantiles(share: float):
    """1000 samples: a standard deviation is known to 2.2%, a mean of errors better."""
    rng = np.random.default_rng(1)
    found = np.array([_quantile(np.sort(rng.lognormal(size=2000)), share) for _ in range(1000)])
    assert np.sqrt(found[:, 1].mean()) == pytest.approx(found[:, 0].std(), rel=0.07)
    true = float(stats.lognorm(1).ppf(share))
    inside = np.abs(found[:, 0] - true) < 1.96 * np.sqrt(found[:, 1])
    assert inside.mean() == pytest.approx(0.95, abs=0.028)


def _quantile(rows: np.ndarray, share: float, inflation: float = 1.0) -> tuple[float, float]:
    low, middle, high = (rows[r - 1] for r in bound_ranks(rows.size, share))
    made = quantile_estimate(
        value=middle, low=low, high=high, n=rows.size, n_users=rows.size, inflation=inflation
    )
    return made.value, made.variance


def test_clustered_errors_are_those_of_simulated_users_with_several_rows():
    rng, found = np.random.default_rng(2), []
    for _ in range(600):
        sizes = 1 + rng.poisson(4, 400)
        user = np.repeat(np.arange(400), sizes)
        rows = np.exp(rng.normal(size=400)[user] + 0.5 * rng.normal(size=user.size))
        value = np.sort(rows)[bound_ranks(rows.size, 0.9)[1] - 1]
        below = np.bincount(user, weights=rows <= value)
        inflation = quantile_inflation(of_rows(np.column_stack([below, sizes])), share=0.9)[0]
        found.append((*_quantile(np.sort(rows), 0.9, inflation), inflation))
    value, variance, inflation = np.array(found).T
    assert inflation.mean() > 2
    assert np.sqrt(variance.mean()) == pytest.approx(value.std(), rel=0.1)
