"""Holes in the log: which windows they touch, against a day-by-day count in plain Python."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from headwater.core.audit import Hole
from headwater.core.errors import UsageError
from headwater.core.finding import Severity
from headwater.core.span import date_of, day_of
from headwater.core.table import Known, Purpose

FIRST = day_of("2020-01-01")
SPAN = 60
DAY_US = 86_400_000_000
HORIZONS = (3, 7, 20)
WINDOWS = (7, 30)
CUTOFFS = [FIRST + d for d in (10, 30, 45, 58)]
PLATFORMS = ("ios", "android", "")


def made(bench, seed, **settings):
    """Users with one platform each, active at random; each user's first event says the platform."""
    rng = random.Random(seed)
    lines = ["user,at,platform\n", f"edge,{date_of(FIRST)} 00:00:00,ios\n"]
    platform = {"edge": "ios"}
    for k in range(12):
        user = f"u{k}"
        platform[user] = PLATFORMS[k % 3]
        days = sorted(rng.sample(range(SPAN), rng.randint(1, 20)))
        lines += [
            f"{user},{date_of(FIRST + d)} 12:00:00,{platform[user] if d == days[0] else 'web'}\n"
            for d in days
        ]
    lines.append(f"edge,{date_of(FIRST + SPAN - 1)} 00:00:00,ios\n")
    return platform, bench.ledger("".join(lines), keep=("platform",), **settings)


def hole(first, last, platform=None, *, hours=(0, 24)):
    """From an hour of one day to an hour of another, days from FIRST."""
    return Hole(
        first_us=(FIRST + first) * DAY_US + hours[0] * 3_600_000_000,
        end_us=(FIRST + last) * DAY_US + hours[1] * 3_600_000_000,
        dimension=None if platform is None else "platform",
        value=platform,
    )


HOLES = (
    hole(32, 33),
    hole(12, 14, "ios"),
    hole(14, 18, "android", hours=(23, 1)),
    hole(13, 13, "android", hours=(5, 6)),
    hole(50, 50, "windows"),
    hole(33, 36, "ios"),
)


def lost_by_hand(platform, first, end):
    """Days from ``first`` to ``end`` that overlap a hole of the user, one day after another."""
    return sum(
        any(
            h.first_us < (d + 1) * DAY_US
            and h.end_us > d * DAY_US
            and (h.dimension is None or h.value == platform)
            for h in HOLES
        )
        for d in range(first, end)
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_marks_and_targets_against_a_count_day_by_day(bench, rows_of, seed):
    platform, ledger = made(bench, seed)
    plain = {
        (r["user_id"], r["cutoff"]): r
        for r in rows_of(bench.snapshot(ledger, cutoffs=CUTOFFS, horizons=HORIZONS, windows=WINDOWS).rows)
    }
    settings = {"cutoffs": CUTOFFS, "horizons": HORIZONS, "windows": WINDOWS, "holes": HOLES}
    empty = rows_of(bench.snapshot(ledger, **settings).rows)
    kept = rows_of(bench.snapshot(ledger, **settings, most_lost=1.0).rows)
    some = rows_of(bench.snapshot(ledger, **settings, most_lost=0.25).rows)
    assert len(empty) == len(kept) == len(some) == len(plain)
    seen: set[bool] = set()
    for r, k, s in zip(empty, kept, some, strict=True):
        before, user, cutoff = plain[r["user_id"], r["cutoff"]], platform[r["user_id"]], r["cutoff"]
        assert r["hole_days_past_30d"] == lost_by_hand(user, cutoff - 30, cutoff)
        for h in HORIZONS:
            lost = lost_by_hand(user, cutoff, min(cutoff + h, FIRST + SPAN))
            assert r[f"hole_days_{h}d"] == k[f"hole_days_{h}d"] == lost
            assert r[f"observed_days_{h}d"] == before[f"observed_days_{h}d"] - lost
            target = f"active_days_next_{h}d"
            assert k[target] == before[target]
            assert r[target] == (None if lost else before[target])
            assert s[target] == (None if lost > h / 4 else before[target])
            seen.add(lost > 0)
        features = {c for c in before if c not in r or not c.startswith(("observed", "active_days_next"))}
        assert {c: r[c] for c in features} == {c: before[c] for c in features}
    assert seen == {True, False}


def test_without_holes_there_is_no_extra_column(bench):
    _, ledger = made(bench, 1)
    snapshot = bench.snapshot(ledger, cutoffs=CUTOFFS)
    assert not [c.name for c in snapshot.rows.columns if "hole" in c.name]
    assert "snapshot.holes" not in {f.code for f in snapshot.findings}


def test_the_finding_counts_windows_and_users_by_hand(bench, rows_of):
    platform, ledger = made(bench, 2)
    snapshot = bench.snapshot(ledger, cutoffs=CUTOFFS, horizons=HORIZONS, windows=WINDOWS, holes=HOLES)
    (found,) = [f for f in snapshot.findings if f.code == "snapshot.holes"]
    windows, users, past = 0, dict.fromkeys(CUTOFFS, 0), 0
    for r in rows_of(snapshot.rows):
        ends = [min(r["cutoff"] + h, FIRST + SPAN) for h in HORIZONS]
        touched = [lost_by_hand(platform[r["user_id"]], r["cutoff"], e) > 0 for e in ends]
        windows += sum(touched)
        users[r["cutoff"]] += any(touched)
        past += lost_by_hand(platform[r["user_id"]], r["cutoff"] - 30, r["cutoff"]) > 0
    assert found.severity is Severity.WARN
    assert found.numbers["n_windows"] == windows > 0
    assert found.numbers["n_all_windows"] == snapshot.rows.n_rows * len(HORIZONS)
    assert found.numbers["n_users"] == max(users.values())
    assert found.numbers["n_past"] == past
    assert f"{windows:,} of " in found.what


def test_a_hole_that_touches_no_window_is_no_finding(bench):
    _, ledger = made(bench, 1)
    snapshot = bench.snapshot(
        ledger, cutoffs=[FIRST + 30], horizons=(3,), windows=(7,), holes=(hole(50, 51),)
    )
    assert "snapshot.holes" not in {f.code for f in snapshot.findings}


def test_marks_are_flags_that_say_when_they_are_known(bench):
    _, ledger = made(bench, 1)
    snapshot = bench.snapshot(ledger, cutoffs=CUTOFFS, windows=WINDOWS, holes=HOLES)
    ahead, past = snapshot.rows.column("hole_days_7d"), snapshot.rows.column("hole_days_past_30d")
    assert (ahead.purpose, ahead.known) == (Purpose.FLAG, Known.AFTER_CUTOFF)
    assert (past.purpose, past.known) == (Purpose.FLAG, Known.BY_CUTOFF)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/Los_Angeles"])
def test_a_hole_falls_on_days_of_the_apps_zone(bench, rows_of, zone):
    """From 23:30 to 23:45 local time on one day: that day and no other, also across summer time (2020-03-08)."""
    data = "user,at\n" + "".join(f"a,2020-{m:02}-01 12:00:00\n" for m in (1, 2, 3, 4))
    ledger = bench.ledger(data, zone=zone)
    began = datetime(2020, 3, 8, 23, 30, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    first = (began - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    gap = Hole(first_us=first, end_us=first + 15 * 60_000_000)
    cutoffs = [day_of(date(2020, 3, d)) for d in (7, 8, 9)]
    made_rows = rows_of(
        bench.snapshot(
            ledger, cutoffs=cutoffs, horizons=(1,), windows=(1,), holes=(gap,), time_zone=zone
        ).rows
    )
    assert [(r["hole_days_1d"], r["hole_days_past_1d"]) for r in made_rows] == [(0, 0), (1, 0), (0, 1)]


def test_a_hole_in_an_unknown_dimension_is_refused(bench):
    _, ledger = made(bench, 1)
    stray = Hole(first_us=0, end_us=1, dimension="plattform", value="ios")
    with pytest.raises(UsageError) as refused:
        bench.snapshot(ledger, cutoffs=CUTOFFS, holes=(stray,))
    assert refused.value.finding.code == "snapshot.hole_dimension"
    assert "platform" in refused.value.finding.do


def test_a_hole_behind_does_not_use_what_the_user_said_after_the_cutoff(bench, rows_of):
    """By hand: ann says where she is after the cutoff, bob before, cat never; the hole behind is bob's alone."""
    data = (
        "user,at,platform\n"
        "ann,2020-01-02 12:00:00,\nann,2020-02-20 12:00:00,ios\n"
        "bob,2020-01-02 12:00:00,ios\nbob,2020-02-20 12:00:00,ios\n"
        "cat,2020-01-02 12:00:00,\ncat,2020-02-20 12:00:00,\n"
    )
    ledger = bench.ledger(data, keep=("platform",))
    gaps = (hole(9, 10, "ios"), hole(33, 33, "ios"))
    settings = {"horizons": (7,), "windows": (30,), "holes": gaps}

    def marks(cutoff, **more):
        rows = rows_of(bench.snapshot(ledger, cutoffs=[cutoff], **settings, **more).rows)
        return {r["user_id"]: (r["hole_days_past_30d"], r["hole_days_7d"]) for r in rows}

    assert marks("2020-02-01") == {"ann": (0, 1), "bob": (2, 1), "cat": (0, 0)}
    assert marks("2020-02-20") == {"ann": (0, 0), "bob": (1, 0), "cat": (0, 0)}
    assert marks("2020-02-21") == {"ann": (1, 0), "bob": (1, 0), "cat": (0, 0)}
    seen_then = marks("2020-02-01", as_of=day_of("2020-02-15"))
    assert seen_then == {"ann": (0, 0), "bob": (2, 1), "cat": (0, 0)}


def test_a_hole_behind_is_what_it_was_before_later_rows_came(bench, rows_of):
    """The mark of a past cutoff is the same with and without the rows after it."""
    rng = random.Random(5)
    lines = [
        f"u{k},{date_of(FIRST + d)} 12:00:00,{rng.choice(PLATFORMS)}\n"
        for k in range(12)
        for d in sorted(rng.sample(range(SPAN), 8))
    ]
    cutoff = FIRST + 30
    head = f"user,at,platform\nedge,{date_of(cutoff - 1)} 12:00:00,\n"
    early = [line for line in lines if day_of(line.split(",")[1][:10]) < cutoff]
    settings = {"cutoffs": [cutoff], "windows": WINDOWS, "holes": HOLES}
    made_rows = [
        rows_of(bench.snapshot(bench.ledger(head + "".join(some), keep=("platform",)), **settings).rows)
        for some in (lines, early)
    ]
    past = [{r["user_id"]: r["hole_days_past_30d"] for r in rows} for rows in made_rows]
    assert past[0].keys() == past[1].keys()
    assert any(past[0].values())
    assert past[0] == past[1]
