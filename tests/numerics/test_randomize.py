"""Balanced allocations against brute force, exact chances and simulations with known truth."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import integrate, stats

from headwater.numerics.randomize import (
    accepted_draw,
    distance_limit,
    imbalance,
    matched_groups,
    stratified_draw,
    variance_left,
    whitened,
)

EXACT = 1e-10  # two ways to the same double
QUADRATURE = 1e-7  # of scipy's quad
P_TOO_SMALL = 1e-4  # a right allocation fails one of these fixed draws with about this chance
SIMULATED = 0.05  # four standard errors of a variance from 4,000 draws are 0.09 of it; of these seeds it is within 0.05


def one_stratum(n):
    return np.zeros(n, dtype=np.intp)


def test_each_stratum_gives_each_arm_its_share_to_the_next_whole_unit():
    rng = np.random.default_rng(1)
    strata = rng.integers(0, 40, 1000).astype(np.intp)
    shares = [0.2, 0.3, 0.5]
    for _ in range(20):
        arms = stratified_draw(strata, shares, rng=rng)
        counts = np.histogram2d(strata, arms, bins=[np.arange(41), np.arange(4)])[0]
        wanted = counts.sum(axis=1, keepdims=True) * shares
        assert (np.abs(counts - wanted) < 1 + 1e-9).all()


def test_every_unit_comes_to_an_arm_with_its_share_as_chance_by_simulation():
    rng = np.random.default_rng(2)
    strata = np.array([0, 0, 0, 1, 2, 2, 2, 2, 2], dtype=np.intp)
    shares = [0.2, 0.3, 0.5]
    draws = np.array([stratified_draw(strata, shares, rng=rng) for _ in range(20_000)])
    for unit in range(strata.size):
        counts = np.bincount(draws[:, unit], minlength=3)
        assert stats.chisquare(counts, np.array(shares) * len(draws)).pvalue > P_TOO_SMALL


def test_of_two_arms_it_is_morgan_and_rubins_distance_written_out():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)) + 100
    arms = stratified_draw(one_stratum(40), [0.3, 0.7], rng=rng)
    n_1, n_0 = (arms == 1).sum(), (arms == 0).sum()
    apart = x[arms == 1].mean(axis=0) - x[arms == 0].mean(axis=0)
    written = apart @ np.linalg.inv(np.cov(x.T) * (1 / n_1 + 1 / n_0)) @ apart
    assert imbalance(whitened(x, one_stratum(40)), arms, 2) == pytest.approx(written, rel=EXACT)


def test_columns_that_others_add_up_to_do_not_count_twice():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 2))
    more = np.column_stack([x, x.sum(axis=1), np.full(60, 7.0), 3 * x[:, 0]])
    arms = stratified_draw(one_stratum(60), [1, 1, 1], rng=rng)
    assert whitened(more, one_stratum(60)).shape == (60, 2)
    plain, wide = (imbalance(whitened(m, one_stratum(60)), arms, 3) for m in (x, more))
    assert wide == pytest.approx(plain, rel=1e-8)


@pytest.mark.parametrize("n_arms", [2, 3])
def test_distances_of_random_allocations_are_chi_square_by_simulation(n_arms):
    rng = np.random.default_rng(5)
    strata = np.repeat(np.arange(4), 100).astype(np.intp)
    white = whitened(rng.normal(size=(400, 3)) + strata[:, None], strata)
    found = [imbalance(white, stratified_draw(strata, [1] * n_arms, rng=rng), n_arms) for _ in range(3000)]
    assert stats.kstest(found, stats.chi2(3 * (n_arms - 1)).cdf).pvalue > P_TOO_SMALL


@pytest.mark.parametrize(
    ("accept", "n_columns", "n_arms"), [(0.001, 1, 2), (0.01, 5, 2), (0.1, 10, 2), (0.01, 2, 3)]
)
def test_variance_left_by_quadrature_of_the_definition(accept, n_columns, n_arms):
    """E[Z1^2 | |Z|^2 <= a] for a standard normal Z, by integrating over its squared length."""
    d = n_columns * (n_arms - 1)
    limit = distance_limit(accept, n_columns=n_columns, n_arms=n_arms)
    inside = integrate.quad(lambda q: q / d * stats.chi2.pdf(q, d), 0, limit, epsabs=1e-14, epsrel=1e-12)[0]
    assert variance_left(accept, n_columns=n_columns, n_arms=n_arms) == pytest.approx(
        inside / accept, rel=QUADRATURE
    )


def test_rerandomization_removes_the_variance_that_morgan_and_rubin_say_by_simulation():
    """Their theorem 3.2 and 4.1: the covariates' by 1 - v, an outcome's by (1 - v) R squared."""
    rng = np.random.default_rng(6)
    n = 200
    x = rng.normal(size=(n, 2))
    y = x @ [1.0, 0.5] + rng.normal(size=n)
    r_squared = 1 - (
        np.linalg.lstsq(np.column_stack([np.ones(n), x]), y, rcond=None)[1][0] / ((y - y.mean()) ** 2).sum()
    )
    white, strata = whitened(x, one_stratum(n)), one_stratum(n)

    def draw():
        return stratified_draw(strata, [0.5, 0.5], rng=rng)

    def spread(limit):
        found = [
            accepted_draw(white, draw, n_arms=2, limit=limit, most_draws=10_000).arms for _ in range(4000)
        ]
        return [np.var([v[a == 1].mean() - v[a == 0].mean() for a in found]) for v in (x[:, 0], y)]

    plain, close = spread(np.inf), spread(distance_limit(0.1, n_columns=2, n_arms=2))
    left = variance_left(0.1, n_columns=2, n_arms=2)
    assert close[0] / plain[0] == pytest.approx(left, abs=SIMULATED)
    assert close[1] / plain[1] == pytest.approx(1 - (1 - left) * r_squared, abs=SIMULATED)


def test_where_no_allocation_is_close_enough_there_is_none():
    white = whitened(np.array([[0.0], [0.0], [0.0], [9.0]]), one_stratum(4))
    draw = lambda: np.array([0, 0, 1, 1], dtype=np.intp)  # noqa: E731
    assert accepted_draw(white, draw, n_arms=2, limit=1e-6, most_draws=50) is None


def pairings(units):
    if not units:
        yield []
        return
    first, *rest = units
    for i, other in enumerate(rest):
        for more in pairings(rest[:i] + rest[i + 1 :]):
            yield [(first, other), *more]


def test_matched_pairs_are_close_to_the_best_of_all_pairings_by_brute_force():
    rng = np.random.default_rng(7)
    ratios = []
    for _ in range(30):
        x = rng.normal(size=(8, 4))
        groups = matched_groups(x, 2)
        cost = lambda pairs: sum(((x[i] - x[j]) ** 2).sum() for i, j in pairs)  # noqa: B023, E731
        found = cost([np.flatnonzero(groups == g) for g in range(4)])
        best = min(map(cost, pairings(list(range(8)))))
        ratios.append(found / best)
    assert max(ratios) < 1.5
    assert np.mean(ratios) < 1.05
    assert np.mean(np.isclose(ratios, 1)) > 0.6


def test_groups_have_their_size_and_the_oddest_units_are_left_over():
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(size=(12, 2)), [[50.0, 50.0], [-50.0, 50.0]]])
    groups = matched_groups(x, 3)
    assert groups[12:].tolist() == [-1, -1]
    assert np.bincount(groups[:12]).tolist() == [3, 3, 3, 3]
    assert matched_groups(x[:2], 3).tolist() == [-1, -1]
    within = sum(
        ((x[i] - x[j]) ** 2).sum() for g in range(4) for i, j in combinations(np.flatnonzero(groups == g), 2)
    )
    at_random = np.repeat(np.arange(4), 3)
    random_cost = np.mean(
        [
            sum(
                ((x[i] - x[j]) ** 2).sum()
                for g in range(4)
                for i, j in combinations(np.flatnonzero(p == g), 2)
            )
            for p in (rng.permutation(at_random) for _ in range(50))
        ]
    )
    assert within < random_cost / 2
