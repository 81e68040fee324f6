"""Totals of groups with intervals: coverage on simulated cohorts that share a season and differ; shapes; what was not tested."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import UsageError
from headwater.core.span import day_of
from headwater.evaluation.grouping import Grouping, by_decile, by_month, by_tenure, groups_of
from headwater.evaluation.totals import (
    GroupError,
    GroupTotals,
    SharedError,
    group_error,
    group_intervals,
    shared_error,
)

SIZES = (30, 100, 400)
EACH, N_APPS = 8, 60
LEAST_COVERED = 0.88  # of 90% intervals, less two standard errors over the simulated apps


def _groups() -> Grouping:
    return Grouping.of([f"c{i:02d}" for i, n in enumerate(np.repeat(SIZES, EACH)) for _ in range(n)])


def _app(rng, groups, *, season, cohort):
    """Users' means and variances as the forecast has them, and what came."""
    z = rng.normal(size=groups.codes.size)
    p, mu, sigma = 1 / (1 + np.exp(1.0 - z)), 2 + 0.5 * z, 0.9
    mean = p * np.exp(mu + sigma**2 / 2)
    factors = 1 + season + cohort * rng.normal(size=len(groups.names))
    paid = rng.random(z.size) < p
    actual = np.where(paid, np.exp(mu + sigma * rng.normal(size=z.size)), 0.0) * factors[groups.codes]
    return mean, p * np.exp(2 * mu + 2 * sigma**2) - mean**2, actual


@pytest.mark.parametrize(("season", "cohort"), [(0.0, 0.0), (0.15, 0.0), (0.15, 0.2)])
def test_ninety_percent_intervals_hold_at_least_88_percent_of_1440_simulated_cohorts(season, cohort):
    rng, groups, held = np.random.default_rng(63), _groups(), []
    for _ in range(N_APPS):
        origins = [_app(rng, groups, season=season * rng.normal(), cohort=cohort) for _ in range(4)]
        past = [GroupTotals.of(groups, predicted=m, variance=v, actual=a) for m, v, a in origins[:3]]
        whole = shared_error([(m.sum(), a.sum()) for m, _, a in origins[:3]], [0, 90, 180], 90)
        known = group_error(past, windows=whole.windows, level=0.9)
        assert known is not None
        shared = SharedError(share=whole.share, n_origins=3, windows=whole.windows, groups={"cohort": known})
        mean, variance, actual = origins[3]
        made = group_intervals(mean, variance=variance, groups=groups, shared=shared, kind="cohort")
        came = groups.sums(actual)
        held.append([made[g].low <= came[i] <= made[g].high for i, g in enumerate(groups.names)])
    shares = np.mean(held, axis=1)
    assert np.size(held) == 1_440
    assert shares.mean() >= LEAST_COVERED - 2 * shares.std(ddof=1) / np.sqrt(N_APPS)


def test_without_a_part_of_their_own_cohorts_are_missed_by_simulation():
    """The error that all share is no help for a cohort that is off by itself."""
    rng, groups = np.random.default_rng(64), _groups()
    mean, variance, actual = _app(rng, groups, season=0.0, cohort=0.6)
    alone = SharedError(share=0.01, n_origins=3, windows=3.0)
    made = group_intervals(mean, variance=variance, groups=groups, shared=alone, kind="cohort")
    came = groups.sums(actual)
    assert np.mean([made[g].low <= came[i] <= made[g].high for i, g in enumerate(groups.names)]) < 0.8
    assert {f.code for e in made.values() for f in e.findings} == {"totals.group_untested"}


def test_a_kind_of_group_that_was_not_tested_takes_the_largest_error_of_those_that_were():
    groups = {
        "month": GroupError(share=0.1, df=20, n_groups=20),
        "channel": GroupError(share=0.3, df=9, n_groups=12),
    }
    shared = SharedError(share=0.0, n_origins=3, windows=3.0, groups=groups)
    mean = np.full(10, 10.0)
    made = {
        kind: group_intervals(
            mean, variance=0 * mean, groups=Grouping.of(["a"] * 10), shared=shared, kind=kind
        )["a"]
        for kind in ("month", "channel", "audience")
    }
    assert made["audience"].high == made["channel"].high > made["month"].high
    assert made["audience"].value == 100.0
    assert made["audience"].n_users == 10


def test_an_interval_does_not_begin_below_what_is_possible():
    mean = np.full(5, 1.0)
    shared = SharedError(share=2.0, n_origins=3, windows=1.0)
    options = {"variance": mean, "groups": Grouping.of(["a"] * 5), "shared": shared}
    assert group_intervals(mean, **options)["a"].low < 0
    assert group_intervals(mean, at_least=0.0, **options)["a"].low == 0


def test_arrays_over_other_users_are_refused():
    shared = SharedError(share=0.1, n_origins=3, windows=1.0)
    with pytest.raises(UsageError) as caught:
        group_intervals(np.ones(3), variance=np.ones(3), groups=Grouping.of(["a", "b"]), shared=shared)
    assert caught.value.finding.code == "totals.shapes"


def test_too_few_groups_say_nothing():
    groups = Grouping.of(["a"] * 30 + ["b"] * 30)
    past = GroupTotals.of(groups, predicted=np.ones(60), actual=np.ones(60), variance=np.ones(60))
    assert group_error([past], windows=1.0, level=0.9) is None
    assert group_error([past, past], windows=2.0, level=0.9) is not None


def test_labels_become_groups():
    grouping = Grouping.of(pa.chunked_array([["b", None], ["a", "b"]]))
    assert grouping.names == ("(unknown)", "a", "b")
    assert grouping.sums(np.array([1.0, 2.0, 4.0, 8.0])).tolist() == [2.0, 4.0, 9.0]
    few = Grouping.of(["x", "y", "y", "z", "x", "w"], most=2)
    assert few.names == ("x", "y", "(others)")
    assert few.sums(np.ones(6)).tolist() == [2.0, 2.0, 2.0]
    assert Grouping.of(few) is few


def test_months_tenures_and_tenths():
    days = np.array([day_of("2024-03-01"), day_of("2024-02-29"), day_of("2024-03-31")], dtype=float)
    assert by_month(days).names == ("2024-02", "2024-03")
    assert by_month(days).codes.tolist() == [1, 0, 1]
    tenure = by_tenure(np.array([0.0, 6, 7, 29, 364, 365, 4_000]))
    assert [tenure.names[c] for c in tenure.codes] == [
        "0-6 days", "0-6 days", "7-29 days", "7-29 days", "180-364 days", "365+ days", "365+ days",
    ]  # fmt: skip
    assert by_decile(np.arange(20.0)).sums(np.ones(20)).tolist() == [2.0] * 10
    tied = by_decile(np.repeat([0.0, 1.0], 50))
    assert tied.sums(np.ones(100))[tied.sums(np.ones(100)) > 0].tolist() == [50.0, 50.0]


def test_the_usual_groups_of_a_snapshots_rows():
    rows = pa.table({"tenure_days": [1.0, 40.0, 400.0], "channel": ["ads", None, "ads"]})
    found = groups_of(rows, cutoff=day_of("2024-03-01"), attributes=("channel",))
    assert {kind: [g.names[c] for c in g.codes] for kind, g in found.items()} == {
        "month": ["2024-02", "2024-01", "2023-01"],
        "tenure": ["0-6 days", "30-89 days", "365+ days"],
        "channel": ["ads", "(unknown)", "ads"],
    }
