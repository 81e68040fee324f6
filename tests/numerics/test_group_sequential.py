"""Group sequential arithmetic against multivariate normal integrals, simulation, and its own identities."""

import numpy as np
import pytest
from scipy import optimize, stats

from headwater.numerics.group_sequential import (
    FARTHEST,
    conditional_power,
    crossing,
    drift_for,
    fixed_drift,
    naive_bound,
    repeated_p,
    spending_bounds,
    spent,
    stagewise,
)

QUADRATURE_ATOL = 2e-5  # scipy integrates the multivariate normal by quasi-Monte Carlo
EXACT = 1e-9
N_RUNS = 200_000
RATIO_RTOL = 0.004  # interpolated p against its root, where it decides nothing
CORRECTED_RTOL = 1e-6


def _walks(shares: np.ndarray, drift: float, rng: np.random.Generator) -> np.ndarray:
    steps = np.diff(shares, prepend=0.0)
    score = np.cumsum(rng.normal(drift * steps, np.sqrt(steps), size=(N_RUNS, shares.size)), axis=1)
    return score / np.sqrt(shares)


@pytest.mark.parametrize("drift", [0.0, 2.0])
def test_staying_inside_against_the_multivariate_normal_of_scipy(drift):
    shares, upper = np.array([0.2, 0.45, 1.0]), np.array([2.9, 2.5, 2.0])
    covariance = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    law = stats.multivariate_normal(
        mean=drift * np.sqrt(shares), cov=covariance, abseps=1e-7, releps=1e-7, maxpts=2_000_000, seed=1
    )
    inside = law.cdf(upper, lower_limit=-upper)
    assert 1 - crossing(shares, upper, drift=drift).either == pytest.approx(inside, abs=QUADRATURE_ATOL)


def test_where_walks_stop_against_simulation():
    shares, drift = np.array([0.1, 0.3, 0.35, 0.8, 1.3]), 1.7
    upper, lower = np.array([2.5, 2.4, 2.2, 2.1, 2.0]), np.array([-2.0, -1.0, -0.5, 0.0, 0.5])
    z = _walks(shares, drift, np.random.default_rng(1))
    out_up, out_down = z >= upper, z <= lower
    first = np.argmax(out_up | out_down, axis=1)
    stopped = (out_up | out_down).any(axis=1)
    up = np.array([(stopped & (first == k) & out_up[np.arange(N_RUNS), k]).mean() for k in range(5)])
    found = crossing(shares, upper, lower=lower, drift=drift)
    bound = 4 * np.sqrt(0.25 / N_RUNS)
    assert found.up == pytest.approx(up, abs=bound)
    assert found.either == pytest.approx(stopped.mean(), abs=bound)
    ends = np.where(stopped, shares[first], shares[-1]).mean()
    assert found.expected_share == pytest.approx(ends, abs=4 * 0.5 / np.sqrt(N_RUNS))


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock", "power", "hwang_shih_decani"])
@pytest.mark.parametrize("sides", [1, 2])
def test_bounds_spend_what_was_declared(spending, sides):
    shares = np.array([0.15, 0.2, 0.55, 0.9, 1.0])
    bounds = spending_bounds(shares, alpha=0.05, spending=spending, sides=sides)
    lower = None if sides == 2 else np.full(5, -np.inf)
    found = crossing(shares, bounds, lower=lower)
    assert np.cumsum(found.up + found.down) == pytest.approx(
        spent(shares, alpha=0.05, spending=spending, sides=sides), abs=EXACT
    )


def test_one_look_is_the_fixed_test():
    assert spending_bounds([1.0], alpha=0.05)[0] == pytest.approx(stats.norm.ppf(0.975), abs=EXACT)
    drift = drift_for([1.0], [naive_bound(0.05)], power=0.8)
    assert drift == pytest.approx(fixed_drift(alpha=0.05, power=0.8), abs=1e-6)


def test_information_beyond_the_plan_and_an_early_end_keep_the_level():
    over = spending_bounds([0.5, 1.2], alpha=0.05)
    assert crossing([0.5, 1.2], over).either == pytest.approx(0.05, abs=EXACT)
    under = spending_bounds([0.5, 0.7], alpha=0.05, is_last=True)
    assert crossing([0.5, 0.7], under).either == pytest.approx(0.05, abs=EXACT)


def test_a_look_at_next_to_nothing_cannot_be_won():
    assert spending_bounds([0.001, 1.0], alpha=0.05)[0] == FARTHEST


def test_shares_must_increase():
    with pytest.raises(ValueError, match="increase"):
        crossing([0.5, 0.5], [2.0, 2.0])


def test_conditional_power_against_simulation():
    later, upper, z, share, drift = np.array([0.7, 1.0]), np.array([2.4, 2.0]), 1.2, 0.4, 2.8
    steps = np.diff(later, prepend=share)
    rng = np.random.default_rng(2)
    score = z * np.sqrt(share) + np.cumsum(
        rng.normal(drift * steps, np.sqrt(steps), size=(N_RUNS, 2)), axis=1
    )
    crossed = (score / np.sqrt(later) >= upper).any(axis=1).mean()
    found = conditional_power(z, share, later=later, upper=upper, drift=drift)
    assert found.up.sum() == pytest.approx(crossed, abs=4 * np.sqrt(0.25 / N_RUNS))


def test_repeated_p_against_the_root_it_stands_for():
    shares, alpha = (0.2, 0.5, 0.6), 0.05
    p = repeated_p(shares, alpha=alpha)
    bound = spending_bounds(shares, alpha=alpha)[-1]
    assert p(bound + 1e-9) < alpha < p(bound - 1e-9)
    for z in (0.8, 1.5, 2.3, 3.7, 5.1):
        exact = optimize.brentq(lambda a, z=z: spending_bounds(shares, alpha=a)[-1] - z, 1e-10, 0.9999)
        assert p(z) == pytest.approx(exact, rel=RATIO_RTOL if z in {0.8, 1.5, 5.1} else CORRECTED_RTOL)
    assert p(-2.3) == p(2.3)
    assert p(0.0) == 1.0


def test_stagewise_intervals_hold_where_the_test_stopped_by_simulation():
    """200 stops of a design with an effect: the share of 90% intervals over it, and the medians on its two sides."""
    shares, drift = np.array([0.3, 0.6, 1.0]), 2.0
    bounds = spending_bounds(shares, alpha=0.1, spending="pocock")
    z = _walks(shares, drift, np.random.default_rng(3))[:200]
    out = np.abs(z) >= bounds
    last = np.where(out.any(axis=1), np.argmax(out, axis=1), 2)
    held, above = 0, 0
    for row, k in zip(z, last, strict=True):
        found = stagewise(shares[: k + 1], bounds[: k + 1], float(row[k]), level=0.9)
        truth = drift * np.sqrt(shares[k])
        held += found.low <= truth <= found.high
        above += found.estimate > truth
    assert stats.binomtest(held, 200, 0.9).pvalue > 0.001
    assert stats.binomtest(above, 200, 0.5).pvalue > 0.001


def test_stagewise_of_a_single_look_is_the_plain_interval():
    found = stagewise([1.0], [1.96], 2.3)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(2.3), abs=EXACT)
    assert (found.low, found.estimate, found.high) == pytest.approx(
        (2.3 - 1.959964, 2.3, 2.3 + 1.959964), abs=1e-6
    )
