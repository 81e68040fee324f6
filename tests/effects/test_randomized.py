"""Comparisons of two arms: what must hold whatever the data, and truth known from simulation."""

from dataclasses import replace

import numpy as np
import pytest

from headwater.core.finding import Finding
from headwater.effects.compared import RANDOMIZED
from headwater.effects.gathered import Group
from headwater.effects.metric import Metric
from headwater.numerics.effect import effect_of

SAME_RTOL = 1e-9  # the same sums in another order
MEAN = Metric(name="m", outcome="y", covariates=("x",))
RATIO = Metric(name="m", kind="ratio", outcome="y", over="d", covariates=("x",))
BY_MEANS = ("welch", "cuped", "post_stratified", "cluster_robust", "ml_covariate")


def _users(n: int, seed: int, *, effect: float = 0.0) -> np.ndarray:
    """Outcome, denominator and covariate of users."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, size=n)
    over = 1 + rng.poisson(2.0, n)
    return np.column_stack([x + over + effect + rng.normal(size=n), over, x])


def _columns(metric: Metric) -> list[int]:
    return [0, 1, 2] if metric.kind == "ratio" else [0, 2]


@pytest.mark.parametrize("metric", [MEAN, RATIO], ids=["mean", "ratio"])
@pytest.mark.parametrize("name", BY_MEANS)
def test_arms_that_change_places_change_the_sign_and_nothing_else(gathered_of, name: str, metric: Metric):
    rows = {"a": _users(80, 1)[:, _columns(metric)], "b": _users(130, 2, effect=0.4)[:, _columns(metric)]}
    method = RANDOMIZED.load(name)()
    there = method.compare(metric, gathered_of(rows), control="a", arm="b")
    back = method.compare(metric, gathered_of(rows), control="b", arm="a")
    assert (there.control, there.arm) == (back.arm, back.control)
    one = effect_of(there.control, there.arm, covariance=there.covariance)
    other = effect_of(back.control, back.arm, covariance=back.covariance)
    assert (one.difference, one.p_value) == (-other.difference, pytest.approx(other.p_value, rel=SAME_RTOL))


@pytest.mark.parametrize("metric", [MEAN, RATIO], ids=["mean", "ratio"])
@pytest.mark.parametrize("name", [n for n in BY_MEANS if n != "post_stratified"])
def test_the_order_of_users_and_how_they_are_grouped_change_nothing(gathered_of, name: str, metric: Metric):
    rows = {"a": _users(80, 1)[:, _columns(metric)], "b": _users(130, 2)[:, _columns(metric)]}
    order = np.random.default_rng(3).permutation(130)
    parts = {
        ("a", "u"): rows["a"][:33],
        ("b", "v"): rows["b"][order][:50],
        ("a", "v"): rows["a"][33:],
        ("b", "u"): rows["b"][order][50:],
    }
    method = RANDOMIZED.load(name)()
    whole, again = (method.compare(metric, gathered_of(r), control="a", arm="b") for r in (rows, parts))
    for one, other in ((whole.control, again.control), (whole.arm, again.arm)):
        assert other.value == pytest.approx(one.value, rel=SAME_RTOL)
        assert other.variance == pytest.approx(one.variance, rel=SAME_RTOL)
    assert again.covariance == pytest.approx(whole.covariance, rel=SAME_RTOL, abs=1e-15)


def test_a_covariate_that_says_nothing_costs_no_more_than_a_few_over_n(gathered_of):
    """A slope costs 1 / n, and chance differences in the covariate chi-square with one degree of freedom over n: 10 in 1 of 500."""
    rng, costs = np.random.default_rng(4), []
    for _ in range(200):
        rows = {k: rng.normal(size=(n, 2)) for k, n in (("a", 400), ("b", 900))}
        found = RANDOMIZED.load("cuped")().compare(MEAN, gathered_of(rows), control="a", arm="b")
        costs.append(-found.variance_removed)
    assert np.max(costs) < 12 / 400
    assert np.mean(costs) < 2 / 400


def test_the_control_is_estimated_alike_beside_every_arm(gathered_of):
    rows = {k: _users(n, n)[:, [0, 2]] for k, n in (("a", 300), ("b", 200), ("c", 90))}
    gathered = gathered_of(rows)
    one, other = (
        RANDOMIZED.load("cuped")().compare(MEAN, gathered, control="a", arm=arm) for arm in ("b", "c")
    )
    assert one.control == other.control


def test_cuped_takes_away_what_the_covariate_explains_of_a_known_model(gathered_of):
    """y = x + noise of the same variance: half the variance goes, to the error of correlations of 20,000 users."""
    rng = np.random.default_rng(6)
    rows = {}
    for arm in "ab":
        x = rng.normal(size=20_000)
        rows[arm] = np.column_stack([x + rng.normal(size=20_000), x])
    found = RANDOMIZED.load("cuped")().compare(MEAN, gathered_of(rows), control="a", arm="b")
    assert found.variance_removed == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("metric", [MEAN, RATIO], ids=["mean", "ratio"])
@pytest.mark.parametrize("name", ["welch", "cuped"])
def test_relative_intervals_hold_the_truth_in_simulated_experiments(gathered_of, name: str, metric: Metric):
    """95% of 600 trials; four standard errors of 0.9% are 3.6%."""
    method, inside = RANDOMIZED.load(name)(), 0
    truth = 0.1 * (5.0 if metric.kind == "mean" else 5.0 / 3.0)
    for trial in range(600):
        users = _users(400, trial)
        treated = np.random.default_rng((7, trial)).random(400) < 0.3
        users[treated, 0] += 0.5
        rows = {"a": users[~treated][:, _columns(metric)], "b": users[treated][:, _columns(metric)]}
        found = method.compare(metric, gathered_of(rows), control="a", arm="b")
        effect = effect_of(found.control, found.arm, covariance=found.covariance)
        base = 5.0 if metric.kind == "mean" else 5.0 / 3.0
        inside += effect.rel_low < truth / base < effect.rel_high
    assert inside / 600 == pytest.approx(0.95, abs=0.036)


@pytest.mark.parametrize(
    ("metric", "rows", "code"),
    [
        (MEAN, {"a": np.ones((1, 2)), "b": np.ones((9, 2))}, "metric.too_few_users"),
        (MEAN, {"a": np.ones((9, 2))}, "metric.too_few_users"),
        (MEAN, {"a": np.ones((2, 2)), "b": np.ones((9, 2))}, "metric.too_few_users"),
        (
            Metric(name="m", kind="proportion", outcome="y"),
            {"a": np.array([0.0, 2.0, 1.0]), "b": np.ones(4)},
            "proportion.outside",
        ),
        (RATIO, {"a": np.zeros((9, 3)), "b": np.ones((9, 3))}, "ratio.denominator"),
    ],
    ids=["one user", "no arm", "as many terms as users", "a two among shares", "over zero"],
)
def test_what_cannot_be_known_is_refused(gathered_of, metric: Metric, rows, code: str):
    found = RANDOMIZED.load("cuped")().compare(metric, gathered_of(rows), control="a", arm="b")
    assert isinstance(found, Finding)
    assert found.code == code


def test_rare_conversions_are_said_to_be_rare(gathered_of):
    rows = {"a": np.eye(1000)[0] + np.eye(1000)[1], "b": np.repeat([0.0, 1.0], 500)}
    found = RANDOMIZED.load("welch")().compare(
        Metric(name="m", kind="proportion", outcome="y"), gathered_of(rows), control="a", arm="b"
    )
    assert [(f.code, f.numbers["rarer"]) for f in found.findings] == [("proportion.rare", 2)]


@pytest.mark.parametrize("metric", [MEAN, RATIO], ids=["mean", "ratio"])
def test_a_staged_roll_out_is_no_effect_where_days_are_strata_simulation_with_known_truth(
    gathered_of, metric: Metric
):
    """Users of later days spend more, and get the arm more often: arms differ by 1.2 a user, days by nothing."""
    rng, z = np.random.default_rng(8), []
    for _ in range(400):
        day = rng.integers(0, 3, 900)
        treated = rng.random(900) < np.array([0.1, 0.4, 0.9])[day]
        users = np.column_stack([3.0 * day + rng.normal(size=900), 1 + rng.poisson(1, 900)])
        rows = {
            (arm, str(d)): users[(treated == (arm == "b")) & (day == d)][:, : len(_columns(metric)) - 1]
            for arm in "ab"
            for d in range(3)
        }
        gathered = gathered_of(rows)
        by_day = replace(
            gathered, groups=tuple(Group(arm=g.arm, day=int(g.stratum)) for g in gathered.groups)
        )
        found = RANDOMIZED.load("post_stratified")().compare(metric, by_day, control="a", arm="b")
        z.append(effect_of(found.control, found.arm, covariance=found.covariance).statistic)
    assert np.mean(z) == pytest.approx(0.0, abs=0.2)  # four standard errors of 0.05
    assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.044)


def test_thin_strata_are_joined_and_no_user_is_lost(gathered_of):
    rng = np.random.default_rng(9)
    sizes = {("a", "u"): 40, ("b", "u"): 50, ("a", "v"): 1, ("b", "v"): 30, ("b", "w"): 3}
    rows = {key: rng.normal(size=(n, 1)) for key, n in sizes.items()}
    found = RANDOMIZED.load("post_stratified")().compare(
        Metric(name="m", outcome="y"), gathered_of(rows), control="a", arm="b"
    )
    assert (found.control.n, found.arm.n) == (41, 83)
    assert found.method == "post-stratified (1 stratum)"


def test_clusters_of_unequal_size_hold_their_level_simulation_with_known_truth(gathered_of):
    """40 clusters, sizes from 5 to some hundreds, half their variance shared: users as rows would be clear 40% of the time."""
    metric = Metric(name="m", kind="ratio", outcome="y", over="size")
    rng, inside, naive = np.random.default_rng(10), 0, 0
    for _ in range(600):
        sizes = np.ceil(rng.lognormal(3.0, 0.7, 40)).astype(int)
        totals = sizes * rng.normal(size=40) + np.sqrt(sizes) * rng.normal(size=40)
        units = np.column_stack([totals + 10 * sizes, sizes])
        treated = rng.permutation(40) < 20
        rows = {"a": units[~treated], "b": units[treated]}
        found = RANDOMIZED.load("cluster_robust")().compare(metric, gathered_of(rows), control="a", arm="b")
        effect = effect_of(found.control, found.arm)
        inside += effect.p_value > 0.05
        of_rows = 2.0 * (1 / sizes[treated].sum() + 1 / sizes[~treated].sum())
        naive += abs(effect.difference) > 1.96 * np.sqrt(of_rows)
    assert inside / 600 == pytest.approx(0.95, abs=0.036)
    assert naive / 600 > 0.3


def test_few_clusters_are_said_to_be_few(gathered_of):
    rng = np.random.default_rng(11)
    rows = {arm: np.column_stack([rng.normal(size=8), rng.integers(7, 10, 8)]) for arm in "ab"}
    found = RANDOMIZED.load("cluster_robust")().compare(
        Metric(name="m", kind="ratio", outcome="y", over="size"), gathered_of(rows), control="a", arm="b"
    )
    assert [f.code for f in found.findings] == ["clusters.few", "clusters.few"]
