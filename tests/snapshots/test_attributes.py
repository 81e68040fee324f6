"""Attributes in snapshots: a country, a channel, as known before the cutoff and never as known later."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from headwater.contracts.kinds_check import check_source
from headwater.core.contract import App
from headwater.core.sources import OtherSource, SourceKind
from headwater.core.span import date_of, day_of
from headwater.core.table import Kind, Known, Purpose
from headwater.snapshots import query
from headwater.snapshots.age_leakage import check_age_leakage
from headwater.snapshots.ages import build_age_snapshot
from headwater.snapshots.attributes import check_attributes, first_values_before, read_attributes
from headwater.snapshots.cut import cut_of, snapshot_key
from headwater.snapshots.leakage import check_leakage

FIRST = day_of("2020-01-01")
SPAN = 40
CUTOFFS = [FIRST + d for d in (2, 9, 20, 33)]


def log_of(rows):
    """Rows (user, day, days until known, country, plan), days from FIRST, as a CSV."""
    lines = [
        f"{u},{date_of(FIRST + d)} 12:00:00,{date_of(FIRST + d + lag)} 13:00:00,{country},{plan}\n"
        for u, d, lag, country, plan in rows
    ]
    return "user,at,known,country,plan\n" + "".join(lines)


def random_rows(seed, *, late):
    rng = random.Random(seed)
    rows = [("edge", 0, 0, "", ""), ("edge", SPAN - 1, 0, "gb", "")]
    for _ in range(90):
        lag = rng.choice([0, 0, 1, 4, 15]) if late else 0
        day = rng.randrange(SPAN)
        rows.append(
            (
                rng.choice("abcdefghijkl"),
                day,
                min(lag, SPAN - 1 - day),
                rng.choice(["gb", "fr", "", "日本"]),
                rng.choice(["", "", "", "pro"]),
            )
        )
    return rows


def ledger_of(bench, rows, *, late=True, **settings):
    return bench.ledger(
        log_of(rows), known_at="known" if late else None, keep=("country", "plan"), **settings
    )


def by_hand(rows, user, cutoff, place):
    """Of the values known before the cutoff, the one known first; at one instant the earlier, then the least."""
    known = [r for r in rows if r[0] == user and FIRST + r[1] + r[2] < cutoff and r[place]]
    return min(known, key=lambda r: (r[1] + r[2], r[1], r[place]))[place] if known else None


@pytest.mark.parametrize(("seed", "late"), [(1, True), (2, True), (3, False)])
def test_what_was_known_first_against_plain_python(bench, rows_of, seed, late):
    rows = random_rows(seed, late=late)
    snapshot = bench.snapshot(ledger_of(bench, rows, late=late), cutoffs=CUTOFFS)
    assert [c.name for c in snapshot.attributes] == ["country", "plan"]
    found = rows_of(snapshot.rows, "user_id", "cutoff", "country", "plan")
    assert len(found) > 20
    for r in found:
        for place, column in ((3, "country"), (4, "plan")):
            assert r[column] == by_hand(rows, r["user_id"], r["cutoff"], place), (r, column)
    assert {None, "gb", "fr", "日本"} == {r["country"] for r in found}


@pytest.mark.parametrize("seed", [1, 2])
def test_what_comes_later_moves_nothing(bench, rows_of, seed):
    """The same log cut off where the cutoff stands: what serving would have held that day."""
    rows = random_rows(seed, late=True)
    whole = ledger_of(bench, rows)
    for cutoff in CUTOFFS:
        then = [r for r in rows if FIRST + r[1] + r[2] < cutoff] + [("last", cutoff - FIRST - 1, 0, "", "")]
        past, now = (
            rows_of(bench.snapshot(ledger, cutoffs=[cutoff]).rows, "user_id", "country", "plan")
            for ledger in (ledger_of(bench, then), whole)
        )
        assert [r for r in past if r["user_id"] != "last"] == now


def test_one_late_column_does_not_hide_the_others(bench, rows_of):
    rows = [("a", 0, 0, "gb", ""), ("a", 30, 0, "fr", "pro"), ("b", 1, 0, "fr", "pro")]
    found = rows_of(bench.snapshot(ledger_of(bench, rows), cutoffs=[FIRST + 20, FIRST + 31]).rows)
    assert [(r["user_id"], r["country"], r["plan"]) for r in found] == [
        ("a", "gb", None),
        ("b", "fr", "pro"),
        ("a", "gb", "pro"),
        ("b", "fr", "pro"),
    ]


def test_todays_snapshot_holds_what_is_known_late(bench, rows_of):
    rows = [("a", 0, 0, "", ""), ("a", 9, 30, "gb", "")]
    (row,) = rows_of(bench.snapshot(ledger_of(bench, rows), cutoffs=[FIRST + 10]).rows)
    assert row["country"] == "gb"


def test_columns_say_what_they_are_for(bench):
    snapshot = bench.snapshot(ledger_of(bench, random_rows(1, late=False)), cutoffs=CUTOFFS)
    country = snapshot.rows.column("country")
    assert (country.kind, country.purpose, country.known) == (Kind.TEXT, Purpose.ATTRIBUTE, Known.BY_CUTOFF)
    assert "country" not in {c.name for c in snapshot.features}


def test_ids_and_numbers_are_no_attributes(bench):
    """30 users with a device each (30 values, more than one for five users), 20 cities, a score that is no text."""
    data = "user,at,device,city,score\n" + "".join(
        f"u{k},2020-01-0{1 + k % 9},d{k},c{k % 20},{k % 3}\n" for k in range(30)
    )
    ledger = bench.ledger(data, keep=("device", "city", "score"), types={"score": Kind.INTEGER})
    assert [c.name for c in bench.snapshot(ledger, cutoffs=["2020-01-08"]).attributes] == ["city"]


def test_more_than_two_hundred_values_are_no_attribute(bench):
    data = "user,at,city,ok\n" + "".join(f"u{k},2020-01-01,c{k % 201},k{k % 200}\n" for k in range(1_200))
    ledger = bench.ledger(data, keep=("city", "ok"))
    assert [c.name for c in bench.snapshot(ledger, cutoffs=["2020-01-02"]).attributes] == ["ok"]


def test_a_column_with_the_name_of_a_feature_gets_another(bench, rows_of):
    data = "user,at,Tenure_Days,first_tenure_days\na,2020-01-01,x,y\nb,2020-01-02,x,z\n"
    ledger = bench.ledger(data, keep=("Tenure_Days", "first_tenure_days"))
    snapshot = bench.snapshot(ledger, cutoffs=["2020-01-02"])
    assert [c.name for c in snapshot.attributes] == ["first_Tenure_Days", "first_first_tenure_days"]
    (row,) = rows_of(snapshot.rows)
    assert (row["tenure_days"], row["first_Tenure_Days"], row["first_first_tenure_days"]) == (1, "x", "y")
    assert len({c.name.casefold() for c in snapshot.rows.columns}) == len(snapshot.rows.columns)


def checked_users(bench, data, *, dated=True, keep=("channel", "country"), zone="UTC"):
    root = bench.folder()
    (root / "users.csv").write_text(data)
    columns = {"user": "user"} | ({"changed_at": "since"} if dated else {})
    source = OtherSource(kind=SourceKind.USERS, name="users", path="users.csv", columns=columns, keep=keep)
    app = App(name="t", time_zone=zone, currency="GBP")
    checked = check_source(
        bench.engine, source, app=app, root=root, folder=bench.folder(), source_fingerprint="none"
    )
    return checked, read_attributes(bench.engine, [checked], time_zone=zone, folder=bench.folder())


def users_source(bench, data, **settings):
    return checked_users(bench, data, **settings)[1]


TOLD = """user,since,channel,country
a,2020-01-01 09:00:00,ads,gb
a,2020-01-10 09:00:00,,fr
b,2020-01-05 09:00:00,organic,
b,2020-01-21 23:30:00,referral,
z,2020-01-01 00:00:00,ads,gb
"""


def test_a_source_of_users_tells_attributes_from_when_its_rows_hold(bench, rows_of):
    """By hand: the last value told before the cutoff, NULL before the first; the events' own country stands back."""
    rows = [("a", 0, 0, "it", "pro"), ("b", 0, 0, "it", ""), ("c", 0, 0, "it", "pro"), ("a", 39, 0, "it", "")]
    told = users_source(bench, TOLD)
    assert told.names == ("channel", "country")
    ledger = ledger_of(bench, rows)
    snapshot = bench.snapshot(ledger, cutoffs=[FIRST + d for d in (1, 9, 10, 21)], told=told)
    assert [c.name for c in snapshot.attributes] == ["channel", "country", "plan"]
    found = {
        (r["user_id"], r["cutoff"] - FIRST): (r["channel"], r["country"], r["plan"])
        for r in rows_of(snapshot.rows)
    }
    assert found == {
        ("a", 1): ("ads", "gb", "pro"),
        ("a", 9): ("ads", "gb", "pro"),
        ("a", 10): ("ads", "fr", "pro"),
        ("a", 21): ("ads", "fr", "pro"),
        ("b", 1): (None, None, None),
        ("b", 9): ("organic", None, None),
        ("b", 10): ("organic", None, None),
        ("b", 21): ("referral", None, None),
        **{("c", d): (None, None, "pro") for d in (1, 9, 10, 21)},
    }


def test_a_row_holds_from_the_apps_own_day(bench, rows_of):
    """23:30 in London's winter is already the next day in Shanghai."""
    rows = [("b", 0, 0, "", ""), ("b", 39, 0, "", "")]
    for zone, channel in (("UTC", "referral"), ("Asia/Shanghai", "organic")):
        told = users_source(bench, TOLD.replace("23:30:00", "23:30:00Z"), zone=zone)
        ledger = ledger_of(bench, rows, zone=zone)
        (row,) = rows_of(bench.snapshot(ledger, cutoffs=[FIRST + 21], told=told).rows)
        assert row["channel"] == channel


def test_at_an_age_a_source_tells_what_it_told_by_then(bench, rows_of):
    """By hand: a and b began at noon of the first; b's row comes four days later, a's second nine days later."""
    rows = [("a", 0, 0, "it", "pro"), ("b", 0, 0, "it", ""), ("a", 39, 0, "it", "")]
    ledger, told = ledger_of(bench, rows, late=False), users_source(bench, TOLD)
    for age, expected in (("6h", {"a": ("ads", "gb"), "b": (None, None)}), ("6d", {"a": ("ads", "gb"), "b": ("organic", None)})):  # fmt: skip
        asked = {"age": age, "horizons": (30,), "told": told}
        snapshot = build_age_snapshot(bench.engine, ledger, folder=bench.folder(), **asked)
        assert {r["user_id"]: (r["channel"], r["country"]) for r in rows_of(snapshot.rows)} == expected
        assert check_age_leakage(bench.engine, ledger, folder=bench.folder(), **asked).findings == ()


def test_undated_rows_of_users_are_not_read(bench):
    once = "user,since,channel,country\na,2020-01-01,ads,gb\nb,2020-01-05,organic,\n"
    assert users_source(bench, once, dated=False) is None


@pytest.mark.parametrize("late", [True, False])
def test_no_attribute_moves_when_the_future_is_poisoned(bench, late):
    ledger, told = ledger_of(bench, random_rows(4, late=late), late=late), users_source(bench, TOLD)
    report = check_leakage(
        bench.engine, ledger, cutoffs=CUTOFFS, horizons=(7,), folder=bench.folder(), told=told
    )
    snapshot = bench.snapshot(ledger, cutoffs=CUTOFFS, told=told)
    assert report.findings == ()
    assert report.n_features == len(snapshot.features) + 2 + len(snapshot.attributes)


@pytest.mark.parametrize("leak", ["first values", "first values by a day", "told"])
def test_an_attribute_that_looks_ahead_is_named(bench, monkeypatch, leak):
    ledger, told = ledger_of(bench, random_rows(4, late=True)), users_source(bench, TOLD)
    if leak == "told":
        honest = query.told_values_before
        monkeypatch.setattr(
            query,
            "told_values_before",
            lambda told, *, cutoff, rows: honest(told, cutoff=cutoff + 1, rows=rows),
        )
    else:
        monkeypatch.setattr(
            query,
            "first_values_before",
            lambda ledger, *, cutoff, users: first_values_before(
                ledger, cutoff=None if leak == "first values" else cutoff + 1, users=users
            ),
        )
    report = check_leakage(
        bench.engine, ledger, cutoffs=CUTOFFS, horizons=(7,), folder=bench.folder(), told=told
    )
    assert set(report.moved) == ({"channel", "country"} if leak == "told" else {"plan"})


def test_a_key_changes_with_the_attributes_before_the_cutoff_and_no_others(bench):
    """The same user-days, another word: before the cutoff it makes another snapshot, after it the same."""
    rows = [("a", 0, 0, "gb", ""), ("b", 5, 0, "fr", ""), ("a", 20, 0, "gb", ""), ("b", 39, 0, "fr", "")]

    def key(rows, told=None):
        ledger = ledger_of(bench, rows, late=False)
        return snapshot_key(ledger, cut_of(ledger, cutoff=FIRST + 10, horizons=(3,), told=told))

    assert key([*rows[:2], ("a", 20, 0, "it", ""), rows[3]]) == key(rows)
    assert key([rows[0], ("b", 5, 0, "it", ""), *rows[2:]]) != key(rows)
    told, later, other = (
        users_source(bench, text)
        for text in (TOLD, TOLD.replace("referral", "x"), TOLD.replace("organic", "x"))
    )
    assert key(rows, told) == key(rows, later) != key(rows, other)
    assert key(rows, told) != key(rows)
    assert key(rows, replace(told, day_fingerprints=())) != key(rows, told)


def test_what_a_source_keeps_and_no_snapshot_holds_is_said(bench):
    """A dated source says nothing; an undated one that all of it is unused; an id of 40 values that it is no attribute."""
    ids = "user,since,channel,device\n" + "".join(f"u{k},2020-01-01,ads,d{k}\n" for k in range(40))
    for data, dated, keep, code, says in (
        (TOLD, True, ("channel", "country"), None, ""),
        ("user,channel\na,ads\nb,organic\n", False, ("channel",), "attributes.undated", "channel"),
        (ids, True, ("channel", "device"), "attributes.unused", "device"),
    ):
        checked, told = checked_users(bench, data, dated=dated, keep=keep)
        found = check_attributes([checked], told)
        assert [f.code for f in found] == ([code] if code else [])
        assert all(says in f.what for f in found)
