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
TYPICAL = 0.25  # a geometric mean of some 100 log-normal amounts a day (sigma 0.8), over 8 days, against the weeks before
CENT = 0.01  # money is told to the cent
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


COUNTRIES = np.array(["us", "gb", "jp"])


def countries(log: Log) -> np.ndarray:
    """55% us, 30% gb, 15% jp, whatever the platform."""
    return np.random.default_rng(8).choice(COUNTRIES, len(log.at), p=[0.55, 0.3, 0.15])


def unit_jumps(heard) -> list[Any]:
    return [f for f in heard.findings if f.code == "alarm.unit_jump"]


@pytest.mark.parametrize("factor", [10, 100, 0.01])
def test_a_unit_jump_planted_in_one_country_is_told_of_it_alone_with_its_rows_and_money(listen, factor):
    """15% of the rows: the median of the whole column stays within a factor of 2.5."""
    log = people()
    country = countries(log)
    jumped = (log.day >= FIRST + 55) & (country == "jp")
    log.amount = np.where(jumped, log.amount * factor, log.amount)
    heard = listen(log.table(country=country.tolist()), keep=("platform", "country"))
    (told,) = unit_jumps(heard)
    assert told.numbers["series"] == "country = jp"
    assert "country = jp" in told.what
    assert "amount" in told.what
    assert told.numbers["first_day"] == FIRST + 55
    assert told.numbers["ratio"] == pytest.approx(factor, rel=TYPICAL)
    assert told.numbers["n_rows"] == np.isfinite(log.amount[jumped]).sum()
    assert told.numbers["money"] == pytest.approx(np.nansum(log.amount[jumped]), abs=CENT)
    assert heard.n_scans == 1


def test_a_unit_jump_of_everybody_is_told_once_and_of_no_value(listen):
    log = people()
    log.amount = np.where(log.day >= FIRST + 55, log.amount * 100, log.amount)
    heard = listen(log.table(country=countries(log).tolist()), keep=("platform", "country"))
    (told,) = unit_jumps(heard)
    assert "series" not in told.numbers


def test_a_unit_jump_of_one_platform_is_not_told_of_the_countries_that_share_it(listen):
    """Android has 40% of the rows everywhere: in every country the geometric mean moves by 100 ** 0.4, about 6."""
    log = people()
    jumped = (log.day >= FIRST + 55) & (log.platform == "android")
    log.amount = np.where(jumped, log.amount * 100, log.amount)
    heard = listen(log.table(country=countries(log).tolist()), keep=("platform", "country"))
    assert [f.numbers["series"] for f in unit_jumps(heard) if "series" in f.numbers] == ["platform = android"]


def test_a_country_most_of_whose_people_use_the_platform_that_jumped_is_its_echo(listen):
    log = people()
    jumped = (log.day >= FIRST + 55) & (log.platform == "android")
    log.amount = np.where(jumped, log.amount * 100, log.amount)
    rng = np.random.default_rng(9)
    home = np.where(rng.random(len(log.at)) < np.where(log.platform == "android", 0.4, 0.05), "br", "us")
    heard = listen(log.table(country=home.tolist()), keep=("platform", "country"))
    assert [f.numbers["series"] for f in unit_jumps(heard) if "series" in f.numbers] == ["platform = android"]


def test_a_value_ten_times_as_large_for_one_day_or_three_times_for_good_is_no_jump_of_its_unit(listen):
    log = people()
    country = countries(log)
    for rows, factor in (
        ((log.day == FIRST + 45) & (country == "jp"), 10.0),
        ((log.day >= FIRST + 50) & (country == "gb"), 3.0),
    ):
        log.amount = np.where(rows, log.amount * factor, log.amount)
    table = log.table(country=country.tolist())
    assert unit_jumps(listen(table, keep=("platform", "country"))) == []
    lower = AlarmSpec(alarm="unit_jump", settings={"least_factor_within": 2.5})
    (told,) = unit_jumps(listen(table, keep=("platform", "country"), alarms=[lower]))
    assert told.numbers["series"] == "country = gb"


def told_of(heard) -> dict[str, tuple[float, int]]:
    """The factor and the first day (counted from the log's) of each value that a jump is told of."""
    return {
        f.numbers["series"]: (f.numbers["ratio"], f.numbers["first_day"] - FIRST)
        for f in unit_jumps(heard)
        if "series" in f.numbers
    }


def test_a_rise_is_no_echo_of_a_farther_fall(listen):
    """By hand: jp is divided by 1,000 while 40% of it, as of all, is times 100: 10 ** -3 * 100 ** 0.4, a 158th."""
    log = people()
    country = countries(log)
    log.amount = np.where((log.day >= FIRST + 50) & (log.platform == "android"), log.amount * 100, log.amount)
    log.amount = np.where((log.day >= FIRST + 55) & (country == "jp"), log.amount / 1_000, log.amount)
    told = told_of(listen(log.table(country=country.tolist()), keep=("platform", "country")))
    assert {series: day for series, (_, day) in told.items()} == {
        "country = jp": 55,
        "platform = android": 50,
    }
    assert told["country = jp"][0] == pytest.approx(10**-3 * 100**0.4, rel=TYPICAL)


def disjoint(log: Log) -> np.ndarray:
    """Makes 15% of the rows the platform web, and gives channels: x is web alone, beta is 20% of the rest."""
    web = countries(log) == "jp"
    log.platform = np.where(web, "web", log.platform)
    beta = np.random.default_rng(3).random(len(log.at)) < 0.2
    return np.where(web, "x", np.where(beta, "beta", "stable"))


def test_a_jump_that_begins_weeks_after_a_farther_one_is_no_echo_of_it(listen):
    log = people(per_day=3_000)
    channel = disjoint(log)
    for rows, factor in (
        ((log.day >= FIRST + 40) & (log.platform == "web"), 1_000.0),
        ((log.day >= FIRST + 58) & (channel == "beta"), 10.0),
    ):
        log.amount = np.where(rows, log.amount * factor, log.amount)
    told = told_of(listen(log.table(channel=channel.tolist()), keep=("platform", "channel")))
    assert {series: day for series, (_, day) in told.items()} == {
        "platform = web": 40,
        "channel = x": 40,  # the same rows as web: which of the two it is cannot be known
        "channel = beta": 58,
    }
    assert told["channel = beta"][0] == pytest.approx(10, rel=TYPICAL)


def test_a_jump_farther_than_the_rows_of_another_could_make_it_is_no_echo(listen):
    """Both on day 50. Tv is 3% of the rows: were all of them beta, beta's mean would move by 1,000 ** (3 / 20), 2.8 times."""
    log = people(per_day=6_000)
    channel = disjoint(log)
    tv = np.random.default_rng(5).random(len(log.at)) < 0.03
    log.platform = np.where(tv, "tv", log.platform)
    for rows, factor in ((tv, 1_000.0), ((channel == "beta") & ~tv, 10.0)):
        log.amount = np.where((log.day >= FIRST + 50) & rows, log.amount * factor, log.amount)
    told = told_of(listen(log.table(channel=channel.tolist()), keep=("platform", "channel")))
    assert {series: day for series, (_, day) in told.items()} == {"platform = tv": 50, "channel = beta": 50}


@pytest.mark.parametrize(
    ("factor", "settings"),
    [
        (10.0, {"least_factor": 50}),
        (10.0, {"least_factor": 50, "least_factor_within": 5}),
        (2.2, {"least_factor_within": 1.5}),
    ],
)
def test_each_of_the_two_least_factors_counts_for_its_own_part(listen, factor, settings):
    log = people()
    country = countries(log)
    jumped = (log.day >= FIRST + 50) & (country == "jp")
    log.amount = np.where(jumped, log.amount * factor, log.amount)
    spec = AlarmSpec(alarm="unit_jump", settings=settings)
    heard = listen(log.table(country=country.tolist()), keep=("platform", "country"), alarms=[spec])
    (told,) = unit_jumps(heard)
    assert (told.numbers["series"], told.numbers["first_day"]) == ("country = jp", FIRST + 50)
    assert told.numbers["ratio"] == pytest.approx(factor, rel=TYPICAL)


def test_a_whole_column_that_moves_less_than_its_own_least_factor_is_not_flagged(listen):
    """Times 2 for everybody, where only a value's jump may be as small as 1.5."""
    log = people()
    log.amount = np.where(log.day >= FIRST + 50, log.amount * 2, log.amount)
    spec = AlarmSpec(alarm="unit_jump", settings={"least_factor_within": 1.5})
    heard = listen(log, alarms=[spec])
    assert unit_jumps(heard) == []
    assert next(a for a in heard.alarms if a.alarm == "unit_jump").n_flagged == 0


def test_a_jump_of_one_value_says_how_the_rest_of_its_column_moved(listen):
    """Everybody but jp is times 8 and jp times 100: said of the rest is 8, which is less than half as far."""
    log = people()
    country = countries(log)
    factor = np.where(country == "jp", 100.0, 8.0)
    log.amount = np.where(log.day >= FIRST + 50, log.amount * factor, log.amount)
    heard = listen(log.table(country=country.tolist()), keep=("country",))
    (told,) = [f for f in unit_jumps(heard) if "series" in f.numbers]
    assert told.numbers["series"] == "country = jp"
    assert told.numbers["ratio_elsewhere"] == pytest.approx(8.0, rel=TYPICAL)
    assert f"elsewhere it is {told.numbers['ratio_elsewhere']:.3g} times what it was" in told.what


def test_the_sizes_of_each_value_against_a_sum_in_python(bench):
    log = people(n_days=5, per_day=300)
    log.amount[:40] = 0.0
    log.amount[40:80] = -2.5
    events = bench.check(
        log.table(), path="log.parquet", types={"amount": Kind.MONEY}, keep=("platform",), measures=MEASURES
    )
    tally = take_tally(bench.engine, events, build_ledger(bench.engine, events, folder=bench.folder()))
    (sized,) = tally.sized
    assert sized.column == "amount"
    for row, one in enumerate(tally.series):
        for place, day in enumerate(tally.days):
            mine = log.amount[(log.day == day) & ((log.platform == one.value) | (one.value is None))]
            size = np.abs(mine[np.isfinite(mine) & (mine != 0)])
            bins = np.floor(np.log(size) * 16)
            assert sized.n[row, place] == len(size)
            assert sized.bins[row, place] == bins.sum()
            assert sized.squares[row, place] == (bins**2).sum()
            assert sized.money[row, place] == pytest.approx(np.nansum(mine), abs=CENT)
            logs, noise = sized.logs(least=30)
            assert logs[row, place] == pytest.approx(np.log(size).mean(), abs=BIN)
            assert noise[row, place] == pytest.approx(np.log(size).var() / len(size), rel=0.2)


def tripling(day: np.ndarray) -> np.ndarray:
    """Three events on the first day, three times as many every day, until 1,000 a day."""
    return np.minimum(1_000.0, 3.0 * 3.0**day)


def logistic(day: np.ndarray) -> np.ndarray:
    """An app that catches on in its third week: 1,000 events a day in the end."""
    return 1_000.0 / (1.0 + np.exp(-(day - 20.0) / 2.0))


def ramp(of_day, *, n_days: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(n_days), rng.poisson(of_day(np.arange(n_days))))
    hour = rng.choice(24, len(day), p=RHYTHM)
    return (FIRST + day) * DAY_US + hour * HOUR_US + rng.integers(0, HOUR_US, len(day))


def arrivals(*, n_days: int, seed: int) -> np.ndarray:
    """600 users who arrive evenly and stay: two sessions a day of about ten events each."""
    rng = np.random.default_rng(seed)
    born = rng.random(600) * n_days
    sessions = rng.poisson(2.0, (600, n_days)) * (np.arange(n_days)[None, :] >= born[:, None])
    day = np.repeat(np.tile(np.arange(n_days), 600), sessions.ravel())
    start = (FIRST + day) * DAY_US + rng.choice(24, len(day), p=RHYTHM) * HOUR_US
    start += rng.integers(0, HOUR_US, len(day))
    n = 1 + rng.poisson(9.0, len(day))
    return np.repeat(start, n) + (rng.random(n.sum()) * HOUR_US / 4).astype(np.int64)


def log_at(at: np.ndarray) -> Log:
    rng = np.random.default_rng(SEED)
    at = np.sort(at[at < (at.max() // DAY_US) * DAY_US])
    n = len(at)
    platform = np.where(rng.random(n) < 0.6, "ios", "android")
    return Log(at, np.char.add("u", rng.integers(0, 400, n).astype(str)), platform, np.full(n, np.nan))


RAMPS = {
    "tripling": lambda seed: ramp(tripling, n_days=45, seed=seed),
    "logistic": lambda seed: ramp(logistic, n_days=60, seed=seed),
    "arrivals": lambda seed: arrivals(n_days=50, seed=seed),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", RAMPS)
def test_the_empty_hours_of_an_app_just_launched_are_no_holes(listen, kind, seed):
    """Nothing is lost in these logs: an hour without an event is an hour of an app that has few users yet."""
    assert listen(log_at(RAMPS[kind](seed))).holes == ()


@pytest.mark.parametrize("kind", ["tripling", "arrivals"])
def test_hours_lost_after_a_ramp_are_found_to_the_hour(listen, kind):
    log = log_at(RAMPS[kind](1))
    first = ((FIRST + 38) * 24 + 14) * HOUR_US
    heard = listen(log.keep((log.at < first) | (log.at >= first + 3 * HOUR_US)))
    assert [(h.first_us, h.end_us, h.dimension) for h in heard.holes] == [(first, first + 3 * HOUR_US, None)]


def test_a_second_week_lost_but_for_one_event_is_still_found(listen):
    """The week before a hole says what was to be expected; a stray event in a lost week does not hide it."""
    log = people()
    lost = (log.day >= FIRST + 30) & (log.day < FIRST + 37)
    stray = np.flatnonzero(lost & (log.day == FIRST + 33))[700]
    kept = ~lost
    kept[stray] = True
    days = {
        d for h in listen(log.keep(kept)).holes for d in range(h.first_us // DAY_US, -(-h.end_us // DAY_US))
    }
    assert days >= set(range(FIRST + 30, FIRST + 37))


def without(log: Log, *holes: tuple[int, int, int]) -> Log:
    """The log without some hours: each hole is a day of the log, an hour and how many hours."""
    kept = np.ones(len(log.at), dtype=bool)
    for day, hour, n_hours in holes:
        first = ((FIRST + day) * 24 + hour) * HOUR_US
        kept &= (log.at < first) | (log.at >= first + n_hours * HOUR_US)
    return log.keep(kept)


@pytest.mark.parametrize("second", [(38, 12, 4), (37, 12, 6), (37, 12, 36)])
@pytest.mark.parametrize("per_day", [250, 500])
def test_a_hole_does_not_hide_the_next_one(listen, per_day, second):
    """What a lost week does not hold is no measure of the days after it, though the week before the second hole be all lost."""
    holes = listen(without(people(per_day=per_day), (30, 0, 7 * 24), second)).holes
    hours = [(h.first_us // HOUR_US - FIRST * 24, h.hours) for h in holes]
    assert hours == [(30 * 24, 7 * 24), (second[0] * 24 + second[1], second[2])]


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
