"""Alarms over simulated event logs whose faults are planted, and over Online Retail, whose holidays are known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import headwater
from headwater.contracts.alarm import runs_of
from headwater.contracts.alarms import ALARMS
from headwater.contracts.audit import audit
from headwater.contracts.tally import MISSING, Series, bin_value, take_tally, turning_dimensions
from headwater.core.audit import AlarmSpec
from headwater.core.contract import Aggregate, Measure
from headwater.core.errors import ConfigError, UsageError
from headwater.core.span import day_of
from headwater.core.table import Kind
from headwater.ledgers.build import build_ledger

SEED = 20261123
FIRST = day_of("2026-01-05")  # a Monday
DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
BIN = 0.035  # bins are 6.25% wide: their middle is within 3.2% of what is in them
BANK_HOLIDAYS_2011 = {
    "2011-04-22",
    "2011-04-25",
    "2011-04-29",
    "2011-05-02",
    "2011-05-30",
    "2011-08-29",
}  # gov.uk


@dataclass
class Log:
    """A log of people: day and night, weekdays, two platforms, an amount; columns may be changed before it is checked."""

    at: np.ndarray
    user: np.ndarray
    platform: np.ndarray
    amount: np.ndarray

    def keep(self, rows: np.ndarray) -> Log:
        return Log(self.at[rows], self.user[rows], self.platform[rows], self.amount[rows])

    def plus(self, at: np.ndarray, user: str) -> Log:
        n = len(at)
        return Log(
            np.append(self.at, at), np.append(self.user, [user] * n), np.append(self.platform, ["ios"] * n),
            np.append(self.amount, np.full(n, np.nan)),
        )  # fmt: skip

    @property
    def day(self) -> np.ndarray:
        return self.at // DAY_US

    def table(self, **more: Any) -> pa.Table:
        amounts = pa.array(self.amount, mask=np.isnan(self.amount))
        at = pa.array(self.at, pa.timestamp("us", "UTC"))
        return pa.table({"user": self.user, "at": at, "platform": self.platform, "amount": amounts, **more})


def people(*, n_days: int = 63, per_day: int = 1_500, closed: int | None = None) -> Log:
    rng = np.random.default_rng(SEED)
    parts = []
    for day in range(n_days):
        weekday = (0, 0.05, 0.1, 0.05, 0.2, 0.5, 0.4)[day % 7]
        n = 0 if day % 7 == closed else rng.poisson(per_day * np.exp(weekday + rng.normal(0, 0.03)))
        hour = rng.choice(24, n, p=RHYTHM)
        parts.append((FIRST + day) * DAY_US + hour * HOUR_US + rng.integers(0, HOUR_US, n))
    at = np.sort(np.concatenate(parts))
    n = len(at)
    user = np.char.add("u", rng.integers(0, 2_000, n).astype(str))
    amount = np.where(rng.random(n) < 0.4, rng.lognormal(2, 0.8, n).round(2) + 0.01, np.nan)
    return Log(at, user, np.where(rng.random(n) < 0.6, "ios", "android"), amount)


RHYTHM = 1 + 0.9 * np.sin(2 * np.pi * (np.arange(24) - 9) / 24)
RHYTHM = RHYTHM / RHYTHM.sum()
MEASURES = (Measure(name="revenue", aggregate=Aggregate.SUM, expression="amount", unit="USD"),)


@pytest.fixture
def listen(bench):
    """Check a log, lay it into a ledger and listen."""

    def run(
        log: Log | pa.Table, *, alarms=(), holidays=(), now_us=None, keep=("platform",), zone="UTC", **source
    ):
        table = log.table() if isinstance(log, Log) else log
        events = bench.check(
            table,
            path="log.parquet",
            types={"amount": Kind.MONEY},
            keep=keep,
            measures=MEASURES,
            zone=zone,
            **source,
        )
        ledger = build_ledger(bench.engine, events, folder=bench.folder())
        return audit(
            bench.engine,
            events,
            ledger,
            alarms=alarms,
            holidays=holidays,
            folder=bench.folder(),
            now_us=now_us,
        )

    return run


def codes(audit):
    return sorted({f.code for f in audit.findings})


def test_a_clean_simulated_log_raises_nothing_and_is_read_once(listen):
    heard = listen(people())
    assert codes(heard) == []
    assert heard.holes == ()
    assert heard.n_scans == 1


def test_the_tally_against_a_count_in_python(bench):
    log = people(n_days=10, per_day=300)
    events = bench.check(
        log.table(),
        path="log.parquet",
        types={"amount": Kind.MONEY},
        keep=("platform",),
        measures=MEASURES,
        zone="Asia/Shanghai",
    )
    ledger = build_ledger(bench.engine, events, folder=bench.folder())
    tally = take_tally(bench.engine, events, ledger)
    local = (log.at + 8 * HOUR_US) // DAY_US
    assert tally.days.tolist() == list(range(local.min(), local.max() + 1))
    assert tally.daily[0].tolist() == np.bincount(local - local.min()).tolist()
    ios = next(i for i, s in enumerate(tally.series) if s.value == "ios")
    hours = log.at[log.platform == "ios"] // HOUR_US
    assert (
        tally.hourly[ios].tolist() == np.bincount(hours - tally.hours[0], minlength=len(tally.hours)).tolist()
    )
    assert tally.users.tolist() == [len(set(log.user[local == d])) for d in tally.days]
    paid = [np.nansum(log.amount[local == d]) for d in tally.days]
    np.testing.assert_allclose(tally.money, paid, rtol=1e-9)
    (amount,) = tally.binned
    assert amount.missing.tolist() == [int(np.isnan(log.amount[local == d]).sum()) for d in tally.days]
    assert amount.counts.sum() + amount.missing.sum() == len(log.at)
    mean = (bin_value(amount.bins) * amount.counts.sum(axis=0)).sum() / amount.counts.sum()
    assert mean == pytest.approx(np.nanmean(log.amount), rel=BIN)


def test_a_planted_drop_of_volume_is_told_on_its_day_with_what_it_touches(listen):
    log = people()
    lost = (log.day == FIRST + 50) & (np.random.default_rng(1).random(len(log.at)) < 0.4)
    heard = listen(log.keep(~lost))
    told = next(f for f in heard.findings if f.code == "alarm.volume" and f.numbers["series"] == "all users")
    assert told.numbers["first_day"] == told.numbers["last_day"] == FIRST + 50
    assert told.numbers["n_rows"] == pytest.approx(lost.sum(), rel=0.2)
    assert float(told.numbers["p_value"]) < 1e-5
    assert heard.holes == ()


def test_a_planted_mix_shift_is_told_by_mix_and_not_by_holes(listen):
    log = people()
    moved = (
        (log.day == FIRST + 50)
        & (log.platform == "ios")
        & (np.random.default_rng(1).random(len(log.at)) < 0.4)
    )
    log.platform = np.where(moved, "android", log.platform)
    heard = listen(log)
    assert "alarm.mix" in codes(heard)
    assert {f.numbers["first_day"] for f in heard.findings if f.code == "alarm.mix"} == {FIRST + 50}


def test_missing_values_are_a_share_of_their_own(listen):
    log = people()
    platform = pa.array(
        np.where(log.day == FIRST + 50, None, log.platform.astype(object)).tolist(), pa.string()
    )
    table = log.table().set_column(2, "platform", platform)
    heard = listen(table)
    assert any(MISSING in f.what or "platform" in f.what for f in heard.findings)


@pytest.mark.parametrize("factor", [10, 100, 0.01])
def test_a_planted_unit_jump_is_told_with_its_factor(listen, factor):
    log = people()
    log.amount = np.where(log.day >= FIRST + 55, log.amount * factor, log.amount)
    heard = listen(log)
    told = next(f for f in heard.findings if f.code == "alarm.unit_jump")
    assert told.numbers["first_day"] == FIRST + 55
    assert told.numbers["ratio"] == pytest.approx(factor, rel=0.15)


def test_a_planted_hole_of_hours_for_everybody_is_found_to_the_hour(listen):
    log = people()
    first = ((FIRST + 40) * 24 + 14) * HOUR_US
    heard = listen(log.keep((log.at < first) | (log.at >= first + 3 * HOUR_US)))
    assert [(h.first_us, h.end_us, h.dimension) for h in heard.holes] == [(first, first + 3 * HOUR_US, None)]
    assert codes(heard) == ["alarm.hole"] or codes(heard) == ["alarm.hole", "alarm.volume"]


def test_a_planted_day_lost_for_one_platform_is_its_hole_alone(listen):
    log = people()
    heard = listen(log.keep((log.day != FIRST + 40) | (log.platform == "ios")))
    (hole,) = heard.holes
    assert (hole.dimension, hole.value) == ("platform", "android")
    assert hole.first_us <= (FIRST + 40) * DAY_US + HOUR_US
    assert hole.end_us >= (FIRST + 41) * DAY_US - HOUR_US


def test_a_hole_is_told_by_the_clocks_of_the_app_alike_in_finding_and_table(listen):
    """New York is four hours behind UTC in May: 14:00 to 17:00 UTC is 10:00 to 13:00 there."""
    log = people(n_days=140)
    first = ((day_of("2026-05-11")) * 24 + 14) * HOUR_US
    heard = listen(log.keep((log.at < first) | (log.at >= first + 3 * HOUR_US)), zone="America/New_York")
    (told,) = [f for f in heard.findings if f.code == "alarm.hole"]
    assert "3 hours from 2026-05-11 10:00 to 2026-05-11 13:00 (America/New_York)" in told.what
    grid = heard.hole_grid()
    assert [f.label for f in grid.fields[:2]] == ["From (America/New_York)", "To (America/New_York)"]
    (row,) = list(grid.stream())
    assert row[:3] == ("2026-05-11 10:00", "2026-05-11 13:00", 3.0)


def test_the_table_says_what_it_counts_and_how_many_findings_it_makes_of_them(listen):
    """Three lost thirds of days: two in a row are one finding, one alone is another."""
    log = people()
    days = np.isin(log.day, [FIRST + 40, FIRST + 41, FIRST + 50])
    heard = listen(log.keep(~days | (np.random.default_rng(3).random(len(log.at)) < 0.4)))
    volume = next(a for a in heard.alarms if a.alarm == "volume")
    of_all = [f for f in heard.findings if f.code == "alarm.volume"]
    assert volume.n_findings == len(of_all) == 2
    assert volume.flags_are == "days of a series"
    assert volume.n_flagged == 9, "three days of all users, of ios and of android"
    rows = {r[0]: r for r in heard.alarm_grid().stream()}
    assert rows["volume"][3] == "9 days of a series, told in 2 findings"
    assert sum(a.n_findings for a in heard.alarms) == len(heard.findings)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"sku": 400}, "sku (400 values); keep a column of 2 to 50 values"),
        ({"build": 1}, "build (one value)"),
        ({"rare": 45}, "rare (none of its 45 values comes 20 times on a usual day)"),
    ],
)
def test_a_mix_that_cannot_be_heard_says_which_columns_and_why(listen, columns, says):
    log = people(per_day=300)
    log.amount = np.ones(len(log.at))
    ((column, n),) = columns.items()
    values = np.char.add("v", (np.arange(len(log.at)) % n).astype(str))
    heard = listen(log.table(**{column: values.tolist()}), keep=(column,))
    mix = next(a for a in heard.alarms if a.alarm == "mix")
    assert says in mix.skipped


def test_a_shop_closed_on_a_weekday_has_no_hole(listen):
    heard = listen(people(closed=5))
    assert heard.holes == ()
    assert codes(heard) == []


def test_a_declared_holiday_is_no_hole_and_no_low_volume(listen):
    log = people()
    closed = log.keep(log.day != FIRST + 40)
    assert "alarm.hole" in codes(listen(closed))
    assert codes(listen(closed, holidays=[FIRST + 40])) == []


def test_a_log_cut_short_is_stale_and_one_that_is_not_is_fresh(listen):
    log = people()
    end = (FIRST + 63) * DAY_US
    assert codes(listen(log, now_us=end + HOUR_US // 4)) == []
    assert codes(listen(log, now_us=end + 18 * HOUR_US)) == ["alarm.stale"]
    history = listen(log, now_us=end + 400 * DAY_US)
    assert next(a for a in history.alarms if a.alarm == "freshness").skipped


def test_bots_are_told_apart_from_busy_people(listen):
    log = people(n_days=30, per_day=500)
    rng = np.random.default_rng(2)
    start = (FIRST + 10) * DAY_US + 9 * HOUR_US
    even = start + np.arange(400) * 30_000_000 + rng.integers(-500_000, 500_000, 400)
    fast = start + np.sort(rng.integers(0, 60_000_000, 300))
    awake = (FIRST + 12) * DAY_US + np.sort(rng.integers(0, DAY_US, 400))
    busy = start + np.cumsum(rng.exponential(20_000_000, 600).astype(np.int64))
    for at, who in ((even, "even"), (fast, "fast"), (awake, "awake"), (busy, "busy person")):
        log = log.plus(at, who)
    heard = listen(log)
    (listing,) = [x for x in heard.listings if x.name == "bots"]
    assert {row[0] for row in listing.rows} == {"even", "fast", "awake"}
    assert codes(heard) == ["alarm.bots"]
    assert heard.n_scans == 2


def test_lines_of_one_order_are_one_moment(listen):
    log = people(n_days=30, per_day=500).plus(np.full(5_000, (FIRST + 10) * DAY_US + HOUR_US), "wholesaler")
    assert "alarm.bots" not in codes(listen(log))


def test_outliers_are_listed_with_numpy_scores_and_no_whale_is_cut(listen):
    log = people(n_days=30, per_day=500)
    log.amount[np.flatnonzero(~np.isnan(log.amount))[0]] = 900_000.0
    heard = listen(log)
    totals = {u: np.nansum(log.amount[log.user == u]) for u in set(log.user)}
    sizes = np.log([t for t in totals.values() if t > 0])
    median = np.median(sizes)
    spread = 1.482602218505602 * np.median(np.abs(sizes - median))
    (listing,) = [x for x in heard.listings if x.name == "whales"]
    _, money, share, score = listing.rows[0]
    assert money == pytest.approx(max(totals.values()))
    assert share == pytest.approx(max(totals.values()) / sum(totals.values()))
    assert score == pytest.approx((np.log(money) - median) / spread, rel=1e-6)
    assert "alarm.whales" in codes(heard)
    assert next(a for a in heard.alarms if a.alarm == "outliers").n_flagged >= 1


def test_late_skewed_and_unordered_rows_counted_by_hand(listen):
    rows = [("a", "2026-01-05 10:00:00", "2026-01-05 10:00:05")] * 90
    rows += [("a", "2026-01-05 09:00:00", "2026-01-10 10:00:00")] * 7
    rows += [("a", "2026-01-05 12:00:00", "2026-01-05 11:00:00")] * 3
    table = pa.table({
        "user": [r[0] for r in rows], "at": [r[1] for r in rows], "seen": [r[2] for r in rows],
        "amount": [1.0] * 100, "platform": ["ios"] * 100,
    })  # fmt: skip
    heard = listen(table, known_at="seen", alarms=[AlarmSpec(alarm="order", settings={"max_share": 0.01})])
    late = next(f for f in heard.findings if f.code == "alarm.late")
    skew = next(f for f in heard.findings if f.code == "alarm.clock_skew")
    assert late.numbers["n_rows"] == 7
    assert skew.numbers["n_rows"] == 3
    steps = {r[0]: r[1] for x in heard.listings if x.name == "lateness" for r in x.rows}
    assert (steps["the same day"], steps["within 3 days"], steps["within 7 days"]) == (93, 93, 100)


def test_order_counts_events_after_a_later_one_of_the_same_user(bench, listen):
    (bucket_zero,) = [
        u
        for u in map(str, range(2_000))
        if int(__import__("hashlib").md5(u.encode()).hexdigest()[:8], 16) % 64 == 0
    ][:1]
    at = ["10:00", "10:05", "10:02", "10:06", "10:01"]
    table = pa.table({
        "user": [bucket_zero] * 5, "at": [f"2026-01-05 {t}:00" for t in at],
        "seen": [f"2026-01-05 11:0{i}:00" for i in range(5)], "amount": [1.0] * 5, "platform": ["ios"] * 5,
    })  # fmt: skip
    heard = listen(table, known_at="seen")
    (told,) = [f for f in heard.findings if f.code == "alarm.order"]
    assert told.numbers["n_rows"] == 2


def test_identity_counted_by_hand(listen):
    log = people(n_days=3, per_day=100)
    devices = np.char.add("d", np.arange(len(log.at)).astype(str)).astype(object)
    users = np.array([f"p{i}" for i in range(len(log.at))], dtype=object)
    devices[:8] = "shared"
    users[20:35] = "many"
    log.user = users
    heard = listen(log.table(device_id=devices.tolist()), keep=("platform", "device_id"))
    found = {f.code: f.numbers["most"] for f in heard.findings}
    assert found == {"alarm.shared_device": 8, "alarm.many_devices": 15}


def test_online_retail_is_silent_on_the_bank_holidays_of_2011(bench):
    from headwater.app.config import contract_of, read_settings

    folder = Path(headwater.__file__).parent / "app/examples/online_retail"
    contract = contract_of(read_settings(folder / "headwater.toml"), today=date(2026, 1, 1))
    events = bench.check_in(folder, contract)
    ledger = build_ledger(bench.engine, events, folder=bench.folder())
    heard = audit(bench.engine, events, ledger, folder=bench.folder())
    inside = {
        day
        for day in BANK_HOLIDAYS_2011
        if any(
            h.first_us <= (day_of(day) * 24 + 10) * HOUR_US and h.end_us >= (day_of(day) * 24 + 14) * HOUR_US
            for h in heard.holes
        )
    }
    assert inside == BANK_HOLIDAYS_2011
    assert all(h.dimension is None for h in heard.holes)
    christmas = min(heard.holes, key=lambda h: h.first_us)
    assert (christmas.first_us // DAY_US, christmas.end_us // DAY_US) == (
        day_of("2010-12-23"),
        day_of("2011-01-04"),
    )
    assert len(heard.holes) == 6


def test_metrics_by_day_hold_every_day_of_every_metric(listen):
    heard = listen(people())
    rows = heard.metrics.to_arrow().to_pylist()
    metrics = {r["metric"] for r in rows}
    assert metrics == {"n_events", "share_of_events", "median_size", "n_users", "revenue_usd"}
    everybody = [r for r in rows if r["metric"] == "n_events" and not r["dimension"]]
    assert len(everybody) == 63
    judged = [r for r in everybody if r["expected"] is not None]
    assert len(judged) == 63 - 28
    assert all(r["low"] < r["expected"] < r["high"] for r in judged)


def test_settings_are_refused_where_they_fit_nothing(listen):
    log = people(n_days=2, per_day=50)
    with pytest.raises(ConfigError, match=r"no setting 'least_chance'.*Did you mean 'least_change'"):
        listen(log, alarms=[AlarmSpec(alarm="volume", settings={"least_chance": 0.2})])
    with pytest.raises(ConfigError, match="takes a number above zero"):
        listen(log, alarms=[AlarmSpec(alarm="holes", settings={"least_per_day": "many"})])
    with pytest.raises(ConfigError, match="at most 1"):
        listen(log, alarms=[AlarmSpec(alarm="order", settings={"max_share": 1.5}, on=False)])
    with pytest.raises(ConfigError, match="declared twice"):
        listen(log, alarms=[AlarmSpec(alarm="mix"), AlarmSpec(alarm="mix")])
    with pytest.raises(ConfigError, match="the events do not have"):
        listen(log, alarms=[AlarmSpec(alarm="identity", settings={"device": "phone"})])
    with pytest.raises(UsageError, match="no alarm named 'volum'"):
        listen(log, alarms=[AlarmSpec(alarm="volum")])


def test_an_alarm_can_be_turned_off(listen):
    log = people()
    heard = listen(
        log.keep(log.day != FIRST + 40), alarms=[AlarmSpec(alarm=a, on=False) for a in ("holes", "volume")]
    )
    assert codes(heard) == []
    assert {a.alarm for a in heard.alarms} == set(ALARMS.names()) - {"holes", "volume"}


def test_runs_of_flags():
    assert runs_of(np.array([True, True, False, True])) == [(0, 2), (3, 4)]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_log_of_next_to_nothing_is_listened_to_without_an_error(listen, n):
    heard = listen(people(n_days=2, per_day=50).keep(np.arange(n)))
    assert heard.findings == ()
    assert all(a.n_flagged == 0 for a in heard.alarms)


def test_local_hours_keep_a_shop_that_opens_by_the_clock_whole_over_the_change_to_summer_time(listen):
    """In London the clocks went forward on 2026-03-29: 8:00 to 20:00 is another stretch of UTC from that day on."""
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    rng, zone = np.random.default_rng(4), ZoneInfo("Europe/London")
    at = []
    for day in range(70):
        opened = datetime(2026, 2, 16, 8, tzinfo=zone) + timedelta(days=day)
        seconds = rng.integers(0, 12 * 3_600, rng.poisson(1_200))
        at.append(int(opened.timestamp()) * 1_000_000 + np.sort(seconds) * 1_000_000)
    times = np.concatenate(at)
    n = len(times)
    log = Log(
        times,
        np.char.add("u", rng.integers(0, 500, n).astype(str)),
        rng.choice(["ios", "android"], n),
        np.full(n, 1.5),
    )
    assert listen(log, zone="Europe/London").holes == ()


def test_columns_whose_values_replace_each_other_are_not_watched_by_value():
    days = np.arange(90)
    steady = np.full(90, 100)
    first, second, third = (
        np.where((days >= a) & (days < b), 80, 0) for a, b in ((0, 40), (35, 75), (70, 90))
    )
    gone = np.where(days < 60, 100, 0)  # a platform that ends is news, not turnover
    series = [("version", "1"), ("version", "2"), ("version", "3"), ("platform", "ios"), ("platform", "web")]
    named = (Series(), *(Series(dimension=d, value=v) for d, v in series))
    daily = np.stack([steady * 3, first, second, third, steady, gone])
    assert turning_dimensions(named, daily) == ("version",)
