"""Curves from a ledger: counted by hand on a few users, and against a simulated app whose value by age is known.

Tolerances: hand counts exactly; the app's curves within 4 standard errors of what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from headwater.contracts.kinds_check import check_source
from headwater.core.contract import Aggregate, App, Measure
from headwater.core.errors import DataError, UsageError
from headwater.core.ledger import Ledger
from headwater.core.sources import OtherSource, SourceKind
from headwater.core.span import day_of
from headwater.core.table import Kind
from headwater.models.cohort_curves import cohort_curves, places_of_users, reconciled
from headwater.snapshots.attributes import ToldAttributes, read_attributes

if TYPE_CHECKING:
    from tests.conftest import Bench

FIRST = date(2024, 1, 1)
MEASURES = (Measure(name="revenue", aggregate=Aggregate.SUM, expression="amount", unit="USD"),)


def _ledger(bench: Bench, events: list[tuple[str, int, float, str]], **settings: object) -> Ledger:
    rows = pa.table(
        {
            "user": [u for u, *_ in events],
            "at": [(FIRST + timedelta(days=d)).isoformat() for _, d, *_ in events],
            "amount": [f"{a:.4f}" for _, _, a, _ in events],
            "channel": [c or None for *_, c in events],
        }
    )
    return bench.ledger(
        rows,
        path="log.parquet",
        measures=MEASURES,
        types={"amount": Kind.MONEY},
        keep=("channel",),
        **settings,
    )


def _by_hand() -> list[tuple[str, int, float, str]]:
    """Two users of January, one of February; the log ends on day 99."""
    return [
        ("a", 0, 10.0, "ads"), ("a", 29, 5.0, "ads"), ("a", 30, 2.0, "ads"), ("a", 98, 100.0, "ads"),
        ("b", 15, 4.0, ""), ("b", 60, 1.0, ""),
        ("c", 40, 8.0, "ads"), ("c", 75, 3.0, "ads"),
        ("d", 95, 50.0, "ads"),
    ]  # fmt: skip


def test_who_is_in_no_cohort_is_counted_and_dated(bench: Bench):
    """By hand: with a left edge of 20 days a and b are at the edge, d is too young; c alone is in a cohort."""
    ledger = replace(_ledger(bench, _by_hand()), left_edge_days=20)
    got = cohort_curves(bench.engine, ledger, measure="revenue", by="month", horizon_days=30)
    assert [(c.cohort, c.n_users) for c in got.cohorts] == [("2024-02", 1)]
    (left,) = [f for f in got.findings if f.code == "curves.left_out"]
    assert (left.numbers["n_edge"], left.numbers["n_young"]) == (2, 1)
    assert "2 users first seen before 2024-01-21" in left.what
    assert "1 user first seen after 2024-03-10" in left.what


def test_whole_ages_only_are_counted_each_from_the_users_own_first_day(bench: Bench):
    """a and b are seen for 3 and 2 months of 30 days, c for 1, d for none; day 98 of a is in no whole month."""
    ledger = _ledger(bench, _by_hand())
    got = cohort_curves(bench.engine, ledger, measure="revenue", by="month", horizon_days=30)
    assert [(c.cohort, c.n_users) for c in got.cohorts] == [("2024-01", 2), ("2024-02", 1)]
    assert got.cohorts[0].so_far == pytest.approx((10 + 5 + 2 + 4 + 1) / 2)
    assert got.cohorts[1].so_far == pytest.approx(8)
    apart = cohort_curves(
        bench.engine, ledger, measure="revenue", by="month", attribute="channel", horizon_days=30
    )
    assert [(c.cohort, c.group, c.so_far) for c in apart.cohorts] == [
        ("2024-01", "(none)", 5.0),
        ("2024-01", "ads", 17.0),
        ("2024-02", "ads", 8.0),
    ]
    places = places_of_users(bench.engine, ledger, apart, user_ids=["c", "a", "d", "b", "nobody"])
    assert places.tolist() == [2, 1, -1, 0, -1]
    days = cohort_curves(bench.engine, ledger, measure="active_days", by="month", horizon_days=30)
    assert days.cohorts[0].so_far == pytest.approx((3 + 2) / 2)
    weeks = cohort_curves(bench.engine, ledger, measure="revenue", horizon_days=7)
    assert weeks.by == "week"
    assert [c.cohort for c in weeks.cohorts] == ["2024-01-01", "2024-01-15", "2024-02-05"]


def test_a_channel_told_by_a_dated_source_of_users_by_hand(bench: Bench):
    """The word told first goes before the events' own; what is told after the cutoff or the first age is not read."""
    ledger = _ledger(bench, _by_hand())
    told = _told(
        bench, [("a", 1, "tv"), ("a", 40, "radio"), ("c", 60, "radio"), ("b", 44, "tv"), ("d", 99, "tv")]
    )

    def groups(as_of: int) -> list[tuple[str, str, int]]:
        got = cohort_curves(
            bench.engine, ledger, measure="revenue", by="month", attribute="channel", as_of=day_of(FIRST) + as_of, horizon_days=30, told=told
        )  # fmt: skip
        return [(c.cohort, c.group, c.n_users) for c in got.cohorts]

    assert groups(44 + 1) == [("2024-01", "tv", 2)]
    assert groups(98) == [("2024-01", "tv", 2), ("2024-02", "radio", 1)]
    late = _told(bench, [("a", 1, "tv"), ("b", 45, "tv"), ("c", 71, "radio")])
    again = cohort_curves(bench.engine, ledger, measure="revenue", by="month", attribute="channel", horizon_days=30, told=late)  # fmt: skip
    assert [(c.cohort, c.group, c.n_users) for c in again.cohorts] == [
        ("2024-01", "(none)", 1),
        ("2024-01", "tv", 1),
        ("2024-02", "(none)", 1),
    ]
    apart = cohort_curves(bench.engine, ledger, measure="revenue", by="month", attribute="channel", horizon_days=30, told=told)  # fmt: skip
    places = places_of_users(bench.engine, ledger, apart, user_ids=["c", "a", "nobody"], told=told)
    assert [apart.cohorts[p].group for p in places[:2]] == ["radio", "tv"]
    assert places[2] == -1


def _told(bench: Bench, rows: list[tuple[str, int, str]]) -> ToldAttributes | None:
    root = bench.folder()
    lines = [f"{u},{(FIRST + timedelta(days=d)).isoformat()},{c}\n" for u, d, c in rows]
    (root / "users.csv").write_text("user,since,channel\n" + "".join(lines))
    app = App(name="app", time_zone="UTC", currency="USD")
    columns = {"user": "user", "changed_at": "since"}
    source = OtherSource(
        kind=SourceKind.USERS, name="users", path="users.csv", columns=columns, keep=("channel",)
    )
    checked = check_source(bench.engine, source, app=app, root=root, folder=bench.folder(), source_fingerprint="none")  # fmt: skip
    return read_attributes(bench.engine, [checked], time_zone="UTC", folder=bench.folder())


def test_a_cutoff_in_the_past_reads_nothing_later(bench: Bench):
    ledger = _ledger(bench, _by_hand())
    early = cohort_curves(
        bench.engine, ledger, measure="revenue", by="month", as_of=day_of(FIRST) + 45, horizon_days=30
    )
    short = _ledger(bench, [e for e in _by_hand() if e[1] < 45] + [("z", 44, 0.0, "")])
    again = cohort_curves(bench.engine, short, measure="revenue", by="month", horizon_days=30)
    assert early.cohorts == again.cohorts


def test_a_channel_that_events_give_after_the_first_age_cuts_nothing(bench: Bench):
    events = [
        ("a", 0, 1.0, ""),
        ("a", 29, 1.0, "ads"),
        ("b", 0, 1.0, ""),
        ("b", 30, 1.0, "ads"),
        ("c", 99, 1.0, ""),
    ]
    got = cohort_curves(bench.engine, _ledger(bench, events), measure="revenue", by="month", attribute="channel", horizon_days=30)  # fmt: skip
    assert [(c.group, c.n_users) for c in got.cohorts] == [("(none)", 1), ("ads", 1)]


@pytest.mark.parametrize("day", [0, 101])
def test_a_cutoff_outside_the_log_is_refused(bench: Bench, day: int):
    """The log runs from day 0 to day 98: from the 0th nobody is known, after the 99th silence is not known."""
    ledger = _ledger(bench, _by_hand())
    with pytest.raises(UsageError, match=r"snapshot\.cutoff_outside"):
        cohort_curves(bench.engine, ledger, measure="revenue", by="month", as_of=day_of(FIRST) + day)
    with pytest.raises(UsageError, match=r"curves\.cohorts"):
        cohort_curves(bench.engine, ledger, measure="revenue", by="day")  # pyright: ignore[reportArgumentType]


def test_users_at_the_left_edge_are_in_no_cohort(bench: Bench):
    ledger = _ledger(bench, _by_hand(), left_edge_days=10)
    got = cohort_curves(bench.engine, ledger, measure="revenue", by="month", horizon_days=30)
    assert [(c.cohort, c.n_users) for c in got.cohorts] == [("2024-01", 1), ("2024-02", 1)]


def test_a_log_in_which_nobody_grew_older_is_refused(bench: Bench):
    ledger = _ledger(bench, [("a", 0, 1.0, "ads"), ("a", 20, 1.0, "")])
    with pytest.raises(DataError, match=r"curves\.nobody"):
        cohort_curves(bench.engine, ledger, measure="revenue", by="month")
    told = _told(bench, [("a", 1, "tv"), ("b", 2, "tv")])  # the events tell a channel too
    with pytest.raises(UsageError, match=r"curves\.no_attribute.*known of them: channel\."):
        cohort_curves(bench.engine, ledger, measure="revenue", attribute="country", told=told)


@pytest.fixture(scope="module")
def app(shared_bench: Bench) -> tuple[Bench, Ledger, Callable[[int], float]]:
    """Users who come each month with a chance that falls by age; ads bring users worth half as much."""
    rng = np.random.default_rng(5)
    events: list[tuple[str, int, float, str]] = []
    for user in range(3000):
        first, channel = int(rng.integers(0, 300)), "ads" if user % 3 == 0 else "search"
        price = 10.0 if channel == "ads" else 20.0
        events.append((f"u{user}", first, 0.01, channel))
        ages = np.flatnonzero(rng.random(300 - first) < 0.02 / (1 + np.arange(300 - first) // 30))
        events += [(f"u{user}", first + int(a), price * rng.gamma(2, 0.5), channel) for a in ages]
    events.append(("end", 299, 0.01, "search"))
    ledger = _ledger(shared_bench, events)
    return shared_bench, ledger, lambda age: 30 * 0.02 / (1 + age)


def test_curves_of_a_simulated_app_against_its_truth(app):
    bench, ledger, days_at = app
    got = cohort_curves(bench.engine, ledger, measure="revenue", attribute="channel", horizon_days=90)
    for group, price in (("ads", 10.0), ("search", 20.0)):
        truth = price * sum(days_at(age) for age in range(6))
        curve = got.curves[got.groups.index(group)]
        assert curve.value[5] == pytest.approx(truth, rel=0.12)
        assert curve.low[5] < truth < curve.high[5]
    assert got.n_origins > 0
    assert got.mape_totals < 0.5
    for cohort in got.cohorts:
        if cohort.n_users > 50:
            price = 10.0 if cohort.group == "ads" else 20.0
            seen = cohort.seen_ages
            truth = cohort.n_users * price * sum(days_at(seen + k) for k in range(3))
            assert cohort.low * 0.8 < truth < cohort.high * 1.25


def test_blocks_say_how_past_forecasts_did(app):
    bench, ledger, _ = app
    got = cohort_curves(bench.engine, ledger, measure="revenue", attribute="channel", horizon_days=60)
    prose, chart, ahead, grid, *_ = got.blocks()
    assert "past origins" in prose.text
    assert grid.n_rows == len(got.cohorts) == len(ahead.rows)
    assert len(chart.rows) == sum(len(c.value) for c in got.curves)
    assert got.to_dict()["n_users"][0] == got.cohorts[0].n_users


def test_users_forecasts_add_up_to_their_cohorts(app):
    bench, ledger, _ = app
    got = cohort_curves(bench.engine, ledger, measure="revenue", horizon_days=60)
    rng = np.random.default_rng(6)
    cohort = rng.integers(-1, len(got.cohorts), 4000)
    mean = rng.gamma(0.5, 4.0, 4000)
    made, totals = reconciled(got, mean=mean, cohort=cohort, users_error=0.1)
    inside = cohort >= 0
    assert np.bincount(cohort[inside], weights=made[inside]) == pytest.approx(totals, rel=1e-12)
    assert np.array_equal(made[~inside], mean[~inside])
    summed = np.bincount(cohort[inside], weights=mean[inside])
    own = np.array([c.expected for c in got.cohorts])
    assert (totals >= np.minimum(summed, own) - 1e-9).all()
    assert (totals <= np.maximum(summed, own) + 1e-9).all()
