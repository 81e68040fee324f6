"""The leakage check: silent on every feature of the shelf, loud on every leak put there on purpose."""

from __future__ import annotations

import dataclasses
import random

import pytest

from headwater.core.finding import Severity
from headwater.core.span import day_of
from headwater.core.table import Kind, Purpose
from headwater.engine.sql import sql
from headwater.snapshots import build, leakage
from headwater.snapshots.feature import feature
from headwater.snapshots.features import FEATURES
from headwater.snapshots.leakage import check_leakage

FIRST = day_of("2020-01-01")
CUTOFFS = (FIRST + 20, FIRST + 45, FIRST + 61)


@pytest.fixture(params=["known at once", "known late"])
def ledger(request, bench, line, shop_log):
    """Users active every day, once, only with refunds, only late; the last cutoff is the end of the log."""
    rng = random.Random(7)
    late = request.param == "known late"
    lines = [
        line(user="one day", day=FIRST + 3, known=FIRST + 3, order="x", pence=0),
        line(user="z", day=FIRST + 60, known=FIRST + 60, order="z", pence=1),
    ]
    for i in range(150):
        user = rng.choice("abcdefg")
        day = FIRST + rng.randrange(60)
        pence = -100 if user == "g" else rng.choice([100, 0, -50])
        lines.append(
            line(
                user=user,
                day=day,
                known=day + rng.choice([0, 2, 30]) * late,
                order=f"{user}{i % 9}",
                pence=pence,
            )
        )
    return bench.ledger(**shop_log(lines))


def checked(bench, ledger, cutoffs=CUTOFFS):
    return check_leakage(bench.engine, ledger, cutoffs=cutoffs, horizons=(7, 30), folder=bench.folder())


def test_no_feature_on_the_shelf_moves_and_every_target_does(bench, ledger):
    report = checked(bench, ledger)
    assert report.findings == ()
    assert report.moved == ()
    assert report.n_targets == report.n_targets_moved == 6
    snapshot = bench.snapshot(ledger, cutoffs=CUTOFFS)
    assert (
        report.n_features == len(snapshot.features) + 2
    )  # at_left_edge and bucket are known by the cutoff too
    assert report.n_users == snapshot.rows.n_rows
    groups = set(FEATURES.names())
    assert groups == {"calendar", "frequency", "occasions", "recency", "rhythm", "tenure", "trend", "value"}


def leaky_join(condition):
    """``build._seen`` with another idea of what was known."""

    def seen(ledger, rows, ladder, *, now):
        return sql(
            "SELECT c.cutoff, l.*, c.cutoff - l.app_day AS age FROM ({rows}) l JOIN {ladder} ON {on}",
            rows=rows,
            ladder=ladder,
            on=condition,
        )

    return seen


@pytest.mark.parametrize(
    "condition",
    [
        sql("l.app_day <= c.cutoff AND l.known_day < c.cutoff"),
        sql("l.app_day <= c.cutoff AND l.known_day <= c.cutoff"),
        sql("l.app_day < c.cutoff"),
        sql("l.app_day < c.cutoff AND l.known_day <= c.cutoff"),
        sql("TRUE"),
    ],
    ids=["day off by one", "both off by one", "known_day forgotten", "known_day off by one", "everything"],
)
def test_a_leaky_join_is_caught(bench, ledger, monkeypatch, condition):
    monkeypatch.setattr(build, "_seen", leaky_join(condition))
    report = checked(bench, ledger)
    assert [f.code for f in report.findings] == ["leakage.feature_moved"]
    assert report.findings[0].severity is Severity.BLOCK
    assert {"active_days_total", "revenue_gbp_total", "days_since_active"} & set(report.moved)
    assert any(n in report.findings[0].what for n in report.moved)


class Peek:
    """A feature that reads the measure a day too late: age zero is the cutoff day itself."""

    about = "leaky on purpose"

    def columns(self, spec):
        del spec
        return (
            feature(
                "peek",
                about="revenue up to and on the cutoff day",
                aggregate=sql("CAST(sum(revenue) AS DOUBLE)"),
            ),
        )


def test_only_the_leaky_feature_is_named(bench, ledger, monkeypatch):
    """The target's own column, passed off as a feature: the rest of the shelf stands still."""
    honest = build._target_column

    def passed_off(label, unit, horizon):
        column = honest(label, unit, horizon)
        return (
            dataclasses.replace(column, purpose=Purpose.FEATURE)
            if (label, horizon) == ("orders", 7)
            else column
        )

    monkeypatch.setattr(build, "_target_column", passed_off)
    report = checked(bench, ledger)
    assert report.moved == ("orders_next_7d",)
    assert "orders_next_7d" in report.findings[0].what
    assert report.n_targets == 5


def test_a_leaky_feature_beside_honest_ones_is_named(bench, ledger, monkeypatch):
    shelf = build.every_feature()
    monkeypatch.setattr(leakage, "every_feature", lambda: (*shelf, Peek))
    assert checked(bench, ledger).moved == ()
    monkeypatch.setattr(build, "_seen", leaky_join(sql("l.app_day <= c.cutoff AND l.known_day <= c.cutoff")))
    assert "peek" in checked(bench, ledger).moved


def test_a_flag_known_by_the_cutoff_may_not_move(bench, ledger, monkeypatch):
    def selected(column, *args):
        if column.name == "at_left_edge":
            return sql("(coalesce(orders_next_7d, 0) > 100) AS at_left_edge")
        return kept(column, *args)

    kept = build._selected
    monkeypatch.setattr(build, "_selected", selected)
    assert checked(bench, ledger, cutoffs=CUTOFFS[:1]).moved == ("at_left_edge",)


def test_a_check_that_changes_nothing_says_it_is_blind(bench, ledger, monkeypatch):
    monkeypatch.setattr(leakage, "poisoned_days", lambda ledger, cutoff: leakage.table_scan(ledger.days))
    report = checked(bench, ledger)
    assert [f.code for f in report.findings] == ["leakage.blind"]
    assert report.n_targets_moved == 0


def test_a_check_without_cutoffs_says_it_is_blind(bench, ledger):
    assert [f.code for f in checked(bench, ledger, cutoffs=()).findings] == ["leakage.blind"]


def test_the_poison_touches_nothing_before_the_cutoff(bench, ledger):
    cutoff = CUTOFFS[0]
    count = sql(
        "SELECT count(*), sum(revenue), sum(orders) FROM {d} WHERE app_day < {c} AND known_day < {c}",
        d=leakage.poisoned_days(ledger, cutoff),
        c=cutoff,
    )
    clean = sql(
        "SELECT count(*), sum(revenue), sum(orders) FROM {d} WHERE app_day < {c} AND known_day < {c}",
        d=leakage.table_scan(ledger.days),
        c=cutoff,
    )
    assert bench.engine.one(count) == bench.engine.one(clean)
    assert ledger.measure("revenue").kind is Kind.MONEY
