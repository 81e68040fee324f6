"""The leakage check: silent on every feature of the shelf, loud on every leak put there on purpose."""

from __future__ import annotations

import dataclasses
import random

import pytest

from headwater.core.finding import Severity
from headwater.core.span import day_of
from headwater.core.table import Column, Kind, Known, Purpose
from headwater.engine.sql import commas, name, sql
from headwater.snapshots import leakage, query
from headwater.snapshots.feature import FeatureColumn, ahead, feature, formula, total
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


def leaky(condition, shift):
    """``query.seen_days`` with another idea of what was known, or of which day is the first one ahead."""

    def seen(ledger, days, cut):
        return sql(
            "SELECT user_id, bucket, app_day, {c} + {shift} - app_day AS age, n_events, {m} FROM {days} WHERE app_day < {end} AND ({known})",
            c=cut.cutoff,
            shift=shift,
            m=commas([name(m.name) for m in ledger.measures]),
            days=days,
            end=cut.reads_to,
            known=condition(cut.cutoff),
        )

    return seen


HONEST = "app_day >= {c} OR known_day < {c}"


@pytest.mark.parametrize(
    ("condition", "shift"),
    [
        (lambda c: sql(HONEST, c=c), 1),
        (lambda c: sql("app_day >= {c} OR known_day <= {c}", c=c), 1),
        (lambda c: sql("TRUE"), 0),
        (lambda c: sql("app_day >= {c} OR known_day <= {c}", c=c), 0),
        (lambda c: sql("TRUE"), 1_000),
    ],
    ids=["day off by one", "both off by one", "known_day forgotten", "known_day off by one", "everything"],
)
def test_a_leaky_reading_is_caught(bench, ledger, monkeypatch, condition, shift):
    monkeypatch.setattr(query, "seen_days", leaky(condition, shift))
    report = checked(bench, ledger)
    assert "leakage.feature_moved" in [f.code for f in report.findings]
    moved = next(f for f in report.findings if f.code == "leakage.feature_moved")
    assert moved.severity is Severity.BLOCK
    assert {"active_days_total", "revenue_gbp_total", "days_since_active"} & set(report.moved)
    assert any(n in moved.what for n in report.moved)


def test_the_same_reading_without_a_leak_is_not_caught(bench, ledger, monkeypatch):
    """The leaks above are the only difference to what is built."""
    monkeypatch.setattr(query, "seen_days", leaky(lambda c: sql(HONEST, c=c), 0))
    assert checked(bench, ledger).moved == ()


class Peek:
    """A feature that reads the cutoff's own day."""

    about = "leaky on purpose"

    def columns(self, spec):
        del spec
        return (feature("peek", ahead(sql("revenue"), days=1), about="revenue on the cutoff day"),)


def test_a_feature_cannot_look_ahead_by_its_window():
    with pytest.raises(ValueError, match="looks back"):
        total(sql("revenue"), last=8, before=-1)
    with pytest.raises(ValueError, match="looks back"):
        total(sql("revenue"), last=0)


def test_only_the_leaky_feature_is_named(bench, ledger, monkeypatch):
    """The target's own column, passed off as a feature: the rest of the shelf stands still."""
    honest = query._target

    def passed_off(cut, label, unit, horizon, whole):
        made = honest(cut, label, unit, horizon, whole)
        if (label, horizon) != ("orders", 7):
            return made
        return FeatureColumn(
            column=dataclasses.replace(made.column, purpose=Purpose.FEATURE), formula=made.formula
        )

    monkeypatch.setattr(query, "_target", passed_off)
    report = checked(bench, ledger)
    assert report.moved == ("orders_next_7d",)
    assert "orders_next_7d" in report.findings[0].what
    assert report.n_targets == 5


def test_a_leaky_feature_beside_honest_ones_is_named(bench, ledger, monkeypatch):
    shelf = query.every_feature()
    monkeypatch.setattr(leakage, "every_feature", lambda: (*shelf, Peek))
    assert checked(bench, ledger).moved == ("peek",)


def test_a_flag_known_by_the_cutoff_may_not_move(bench, ledger, monkeypatch):
    def peeking(ledger, cut):
        column = Column(name="at_left_edge", kind=Kind.BOOLEAN, purpose=Purpose.FLAG, known=Known.BY_CUTOFF)
        return FeatureColumn(column=column, formula=formula("({n} > 100)", n=ahead(sql("orders"), days=7)))

    monkeypatch.setattr(query, "_left_edge", peeking)
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
