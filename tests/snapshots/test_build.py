"""Snapshots: what was known at a cutoff, against plain Python over the events."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from headwater.core.errors import DataError, UsageError
from headwater.core.span import day_of
from headwater.core.table import Known, Purpose

# Both sides divide the same whole numbers once or twice; one rounding each is left.
REL_TOLERANCE = 1e-12
FIRST = day_of("2020-01-01")
SPAN = 140


def random_lines(line, seed, *, n=120, late=True):
    """Users of every kind: daily, rare, one day only, only refunds; rows known late, a few very late."""
    rng = random.Random(seed)
    lines = [line(user="edge", day=FIRST, known=FIRST, order="first", pence=100)]
    for _ in range(n):
        user = rng.choice("abcdefgh")
        day = FIRST + min(SPAN - 1, int(rng.random() ** (1 + ord(user) % 3) * SPAN))
        lag = rng.choice([0, 0, 0, 1, 5, 40]) if late else 0
        pence = -rng.randint(1, 500) if user == "h" else rng.choice([0, 250, 1999, -250, 100])
        lines.append(
            line(user=user, day=day, known=day + lag, order=f"{user}{rng.randint(1, 30)}", pence=pence)
        )
    once = FIRST + rng.randrange(SPAN)
    single = line(user="once", day=once, known=once, order=f"once{n}", pence=5)
    last = FIRST + SPAN - 1
    return [*lines, single, line(user="last", day=last, known=last, order="last", pence=1)]


@pytest.mark.parametrize(("seed", "late"), [(1, True), (2, True), (3, False), (4, True)])
def test_every_feature_of_every_user_against_plain_python(
    bench, rows_of, line, by_hand, shop_log, seed, late
):
    lines = random_lines(line, seed, late=late)
    ledger = bench.ledger(**shop_log(lines))
    cutoffs = [FIRST + d for d in (1, 7, 29, 60, 100, SPAN)]
    arrived = [
        replace(x, known=min(x.known, FIRST + SPAN - 1)) for x in lines
    ]  # today's cutoff knows all of the log
    found = rows_of(bench.snapshot(ledger, cutoffs=cutoffs, horizons=(7, 28)).rows)
    made = {(r["user_id"], r["cutoff"]): r for r in found}
    expected = {
        (u, c): f
        for u in {x.user for x in lines}
        for c in cutoffs
        if (f := by_hand(arrived if c == ledger.end_day else lines, u, c))
    }
    assert made.keys() == expected.keys()
    for key, features in expected.items():
        for name, value in features.items():
            close = value if value is None else pytest.approx(value, rel=REL_TOLERANCE)
            assert made[key][name] == close, (key, name)


def test_every_feature_on_the_shelf_is_written_by_hand_too(bench, line, by_hand, shop_log):
    lines = random_lines(line, 1)
    snapshot = bench.snapshot(bench.ledger(**shop_log(lines)), cutoffs=[FIRST + 100])
    assert {c.name for c in snapshot.features} == set(by_hand(lines, "a", FIRST + 100))


@pytest.mark.parametrize("seed", [1, 2])
def test_any_windows_against_plain_python(bench, rows_of, line, by_hand, shop_log, seed):
    windows, cutoff = (1, 3, 14, 60, 180), FIRST + 100
    lines = random_lines(line, seed)
    snapshot = bench.snapshot(bench.ledger(**shop_log(lines)), cutoffs=[cutoff], windows=windows)
    assert {c.name for c in snapshot.features} == set(by_hand(lines, "a", cutoff, windows))
    for r in rows_of(snapshot.rows):
        for label, value in by_hand(lines, r["user_id"], cutoff, windows).items():
            close = value if value is None else pytest.approx(value, rel=REL_TOLERANCE)
            assert r[label] == close, (r["user_id"], label)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_targets_against_plain_python(bench, rows_of, line, shop_log, seed):
    lines = random_lines(line, seed)
    ledger = bench.ledger(**shop_log(lines))
    for r in rows_of(bench.snapshot(ledger, cutoffs=[FIRST + 30, FIRST + 100], horizons=(7, 30)).rows):
        for h in (7, 30):
            ahead = [x for x in lines if x.user == r["user_id"] and r["cutoff"] <= x.day < r["cutoff"] + h]
            assert r[f"revenue_gbp_next_{h}d"] == pytest.approx(sum(x.pence for x in ahead) / 100)
            assert r[f"active_days_next_{h}d"] == len({x.day for x in ahead})


def test_many_cutoffs_in_one_pass_are_one_at_a_time(bench, rows_of, line, shop_log):
    ledger = bench.ledger(**shop_log(random_lines(line, 5)))
    cutoffs = [FIRST + d for d in (100, 20, 50, 20)]
    together = rows_of(bench.snapshot(ledger, cutoffs=cutoffs, horizons=(7, 30)).rows)
    apart = [
        r
        for c in (20, 50, 100)
        for r in rows_of(bench.snapshot(ledger, cutoffs=[FIRST + c], horizons=(30, 7)).rows)
    ]
    assert together == apart


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
def test_as_of_is_the_truncated_log(bench, line, shop_log, seed):
    as_of = FIRST + 90
    lines = [*random_lines(line, seed), line(user="a", day=as_of - 1, known=as_of - 1, order="last", pence=1)]
    then = [x for x in lines if x.day < as_of and x.known < as_of]
    whole, cut = bench.ledger(**shop_log(lines)), bench.ledger(**shop_log(then))
    cutoffs = [FIRST + 30, FIRST + 60, as_of]
    now = bench.snapshot(whole, cutoffs=cutoffs, horizons=(7, 30), as_of=as_of)
    settled_alike = replace(cut, settle_days=whole.settle_days)
    truncated = bench.snapshot(settled_alike, cutoffs=cutoffs, horizons=(7, 30), as_of=as_of)
    assert now.end_day == truncated.end_day == as_of
    assert now.rows.fingerprint == truncated.rows.fingerprint
    assert now.rows.fingerprint != bench.snapshot(whole, cutoffs=cutoffs, horizons=(7, 30)).rows.fingerprint


def test_the_cutoff_day_is_outside_and_a_late_row_is_unknown(bench, rows_of, line, shop_log):
    lines = [
        line(user="a", day=FIRST, known=FIRST, order="1", pence=100),
        line(user="a", day=FIRST + 10, known=FIRST + 10, order="2", pence=10_000),
        line(user="a", day=FIRST + 5, known=FIRST + 10, order="3", pence=1_000_000),
        line(user="b", day=FIRST + 9, known=FIRST + 12, order="4", pence=1),
        line(user="c", day=FIRST + 30, known=FIRST + 30, order="5", pence=1),
    ]
    ledger = bench.ledger(**shop_log(lines))
    (row,) = rows_of(bench.snapshot(ledger, cutoffs=[FIRST + 10], horizons=(1, 7)).rows)
    assert (row["user_id"], row["revenue_gbp_total"], row["orders_total"]) == ("a", 1, 1)
    assert (row["revenue_gbp_next_1d"], row["orders_next_7d"]) == (100, 1)
    (after,) = rows_of(bench.snapshot(ledger, cutoffs=[FIRST + 11]).rows, "user_id", "revenue_gbp_total")
    assert after == {"user_id": "a", "revenue_gbp_total": 10_101}


def test_late_rows_are_in_todays_snapshot_and_a_past_window_waits_until_it_has_settled(
    bench, rows_of, line, shop_log
):
    lines = [line(user="a", day=FIRST + d, known=FIRST + d + 5, order=str(d), pence=100) for d in range(40)]
    ledger = bench.ledger(**shop_log(lines))
    assert (ledger.settle_days, ledger.end_day) == (5, FIRST + 40)
    assert [f.code for f in ledger.findings if f.code == "ledger.late"] == ["ledger.late"]
    (today,) = rows_of(bench.snapshot(ledger, cutoffs=[ledger.end_day]).rows)
    assert today["revenue_gbp_total"] == 40
    (full,) = rows_of(bench.snapshot(ledger, cutoffs=[FIRST + 33], horizons=(7,)).rows)
    assert (full["revenue_gbp_total"], full["revenue_gbp_next_7d"]) == (28, 7)
    past = rows_of(
        bench.snapshot(ledger, cutoffs=[FIRST + 17, FIRST + 18], horizons=(7,), as_of=FIRST + 29).rows
    )
    assert [r["revenue_gbp_next_7d"] for r in past] == [7, None]


def test_an_unfinished_window_is_null_and_says_how_much_was_seen(bench, rows_of, line, shop_log):
    lines = [line(user="a", day=FIRST + d, known=FIRST + d, order=str(d), pence=100) for d in (0, 20, 29)]
    ledger = bench.ledger(**shop_log(lines))
    found = rows_of(
        bench.snapshot(ledger, cutoffs=[FIRST + 23, FIRST + 24, FIRST + 30], horizons=(7, 90)).rows
    )
    assert [r["observed_days_7d"] for r in found] == [7, 6, 0]
    assert [r["revenue_gbp_next_7d"] for r in found] == [1, None, None]
    assert [r["observed_days_90d"] for r in found] == [7, 6, 0]
    assert [r["active_days_next_90d"] for r in found] == [None, None, None]


def test_a_user_who_stays_away_has_zero_not_null(bench, rows_of, line, shop_log):
    lines = [
        line(user=u, day=FIRST + d, known=FIRST + d, order=f"{u}{d}", pence=100)
        for u, d in (("a", 0), ("b", 0), ("b", 20))
    ]
    found = rows_of(bench.snapshot(bench.ledger(**shop_log(lines)), cutoffs=[FIRST + 10]).rows)
    assert [(r["revenue_gbp_next_7d"], r["orders_next_7d"], r["active_days_next_7d"]) for r in found] == [
        (0, 0, 0)
    ] * 2


def test_the_left_edge(bench, rows_of, line, shop_log):
    lines = [
        line(user=u, day=FIRST + d, known=FIRST + d, order=u, pence=1)
        for u, d in (("a", 0), ("b", 13), ("c", 14), ("d", 30))
    ]
    ledger = bench.ledger(**shop_log(lines), left_edge_days=14)
    snapshot = bench.snapshot(ledger, cutoffs=[FIRST + 20, FIRST + 30])
    found = {(r["user_id"], r["at_left_edge"]) for r in rows_of(snapshot.rows)}
    assert found == {("a", True), ("b", True), ("c", False)}
    assert [f.code for f in snapshot.findings] == ["snapshot.left_edge"]


def test_columns_say_what_they_are_for(bench, line, shop_log):
    snapshot = bench.snapshot(
        bench.ledger(**shop_log(random_lines(line, 1))), cutoffs=[FIRST + 50], horizons=(7, 30)
    )
    for column in snapshot.rows.columns:
        after = "_next_" in column.name or column.name.startswith("observed_days_")
        assert (column.known is Known.AFTER_CUTOFF) == after, column.name
        assert (column.purpose is Purpose.TARGET) == ("_next_" in column.name), column.name
        assert column.about or column.purpose is Purpose.KEY, column.name
    assert snapshot.target("revenue", 30) in {c.name for c in snapshot.rows.columns}


@pytest.mark.parametrize("day", [0, -1, SPAN + 200])
def test_a_cutoff_outside_the_log_is_refused(bench, line, shop_log, day):
    ledger = bench.ledger(**shop_log(random_lines(line, 1)))
    with pytest.raises(UsageError) as refused:
        bench.snapshot(ledger, cutoffs=[FIRST + day])
    assert refused.value.finding.code == "snapshot.cutoff_outside"


def test_a_cutoff_before_anyone_was_known_is_refused(bench, line, shop_log):
    lines = [
        line(user="a", day=FIRST, known=FIRST + 20, order="1", pence=1),
        line(user="b", day=FIRST + 30, known=FIRST + 30, order="2", pence=1),
    ]
    with pytest.raises(DataError) as refused:
        bench.snapshot(bench.ledger(**shop_log(lines)), cutoffs=[FIRST + 10])
    assert refused.value.finding.code == "snapshot.nobody"
