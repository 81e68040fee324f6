"""How often the alarms cry wolf over clean loads, and how often they see a stated fault.

Loads are simulated as tallies (what one pass over an event log counts): negative binomial counts by hour with a weekday
pattern, a daily rhythm, a trend, a level that drifts, shares that wander, and a numeric column whose level wanders in
each value of each column. Bots are looked for
in simulated event logs, row by row. Nothing here is drawn with the alarms' own settings in mind.

    python benchmarks/alarms_power.py [--clean 1000] [--faulty 100] [--days 84] [--seed 1] [--only "10% of the rows"]
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from headwater.contracts.alarm import Heard, Scope
from headwater.contracts.audit import FALSE_ALARMS, listen_all
from headwater.contracts.tally import BINS_PER_E, Binned, Series, Sized, Tally
from headwater.core.table import Kind

DIMENSIONS = {
    "platform": ("ios", "android"),
    "country": ("us", "gb", "de", "fr", "jp", "br"),
    "channel": ("organic", "google", "meta", "tiktok"),
    "event": ("open", "view", "like", "purchase"),
}
FIRST_DAY = 19_000  # 2022-01-08; any day will do
FAULT_DAY = -5  # counted from the end, so that the fault is seen by a daily run
Change = Callable[[np.random.Generator, Tally], Tally]


def clean_tally(rng: np.random.Generator, *, n_days: int) -> Tally:
    """One load without a fault; every parameter is drawn anew."""
    per_day = np.exp(rng.uniform(np.log(500), np.log(50_000)))
    weekday = np.exp(rng.normal(0, 0.2, 7))
    closed_on = int(rng.integers(7)) if rng.random() < 0.15 else None
    if closed_on is not None:
        weekday[closed_on] = 0.0
    rhythm = 1 + rng.uniform(0.2, 0.95) * np.sin(2 * np.pi * (np.arange(24) - rng.integers(24)) / 24)
    if rng.random() < 0.15:
        rhythm[rng.permutation(24)[0] - np.arange(8)] = 0.0
    day = np.arange(n_days)
    level = np.exp(rng.uniform(-0.004, 0.008) * day + np.cumsum(rng.normal(0, rng.uniform(0, 0.01), n_days)))
    noise_of_day = np.exp(rng.uniform(np.log(0.0003), np.log(0.02)))
    noise_of_hour = np.exp(rng.uniform(np.log(0.0003), np.log(0.02)))
    mean = (
        per_day
        * level
        * weekday[(FIRST_DAY + day + 3) % 7]
        * rng.gamma(1 / noise_of_day, noise_of_day, n_days)
    )
    hourly_mean = (
        mean[:, None] * rhythm / rhythm.sum() * rng.gamma(1 / noise_of_hour, noise_of_hour, (n_days, 24))
    )
    total = rng.poisson(hourly_mean).astype(np.int64)
    series, counts = [Series()], [total.ravel()]
    for dimension, values in DIMENSIONS.items():
        shares = rng.dirichlet(np.full(len(values), 3.0))
        wander = rng.dirichlet(shares * np.exp(rng.uniform(np.log(300), np.log(30_000))) + 0.3, n_days)
        split = rng.multinomial(total.ravel(), np.repeat(wander, 24, axis=0))
        series += [Series(dimension=dimension, value=v) for v in values]
        counts += list(split.T)
    hourly = np.array(counts, dtype=np.int64)
    daily = hourly.reshape(len(series), n_days, 24).sum(axis=2)
    hours = np.arange(FIRST_DAY * 24, (FIRST_DAY + n_days) * 24, dtype=np.int64)
    nothing = np.zeros(0, np.int64)
    amounts = _amounts(rng, daily[0])
    return Tally(
        days=FIRST_DAY + day, hours=hours, hour_day=hours // 24, hour_of_day=hours % 24, series=tuple(series), daily=daily,
        hourly=hourly, users=daily[0] // 8, money=daily[0] * 0.5, money_name="revenue_usd",
        binned=(amounts,), sized=(_sized(rng.spawn(1)[0], amounts, daily, series),), lags=nothing, lag_counts=np.zeros((n_days, 0), np.int64), skews=nothing,
        skew_counts=nothing, first_us=int(hours[0]) * 3_600_000_000, last_us=(int(hours[-1]) + 1) * 3_600_000_000 - 1, n_scans=1,
    )  # fmt: skip


def _amounts(rng: np.random.Generator, n: np.ndarray) -> Binned:
    """Log-normal amounts; a share of rows has none; the level wanders a little from day to day."""
    missing = rng.binomial(n, rng.uniform(0.05, 0.6))
    bins = np.arange(-200, 300)
    edges = np.append(bins, 300) / BINS_PER_E
    middle = rng.normal(1.5, 0.5) + np.cumsum(rng.normal(0, 0.01, len(n))) + rng.normal(0, 0.03, len(n))
    spread = rng.uniform(0.5, 1.5)
    heaped = 0.5 * (1 + np.vectorize(_erf)((edges[None, :] - middle[:, None]) / (spread * np.sqrt(2))))
    shares = np.clip(np.diff(heaped, axis=1), 0, None)
    counts = rng.multinomial(n - missing, shares / shares.sum(axis=1, keepdims=True))
    return Binned(column="amount", kind=Kind.NUMBER, bins=bins, counts=counts, missing=missing)


def _sized(rng: np.random.Generator, amounts: Binned, daily: np.ndarray, series: list[Series]) -> Sized:
    """The amounts of each day and bin divided among the values of each column, whose levels differ and wander."""
    used = np.flatnonzero(amounts.counts.sum(axis=0))
    bins, counts = amounts.bins[used], amounts.counts[:, used]
    parts, n_days = [counts], len(counts)
    spread = bins - np.average(bins, weights=counts.sum(axis=0))
    spread = spread / max(np.sqrt(np.average(spread**2, weights=counts.sum(axis=0))), 1.0)
    for values in DIMENSIONS.values():
        shares = daily[len(parts) : len(parts) + len(values)].T + 1e-9
        wander = rng.normal(0, rng.uniform(0, 0.05), (n_days, len(values)))
        tilt = rng.normal(0, 0.3, len(values)) + wander
        weights = shares[:, None, :] * np.exp(tilt[:, None, :] * np.clip(spread, -6, 6)[None, :, None])
        split = rng.multinomial(counts, weights / weights.sum(axis=2, keepdims=True))
        parts += list(np.moveaxis(split, 2, 0))
    assert len(parts) == len(series)
    each = np.array(parts)
    return Sized(
        column=amounts.column, n=each.sum(axis=2), bins=each @ bins, squares=each @ bins**2, money=np.zeros(daily.shape)
    )  # fmt: skip


def _erf(x: float) -> float:
    from math import erf

    return erf(x)


def _thinned(rng: np.random.Generator, tally: Tally, hours: np.ndarray, row: int, keep: float) -> Tally:
    """Events of one series (0: everybody) lost in some hours; all other counts lose what goes with them."""
    at, hourly = np.flatnonzero(hours), tally.hourly.copy()
    kept = rng.binomial(hourly[row, at], keep)
    hourly[0, at] -= hourly[row, at] - kept
    for dimension in DIMENSIONS:
        mine = [i for i, s in enumerate(tally.series) if s.dimension == dimension]
        if row in mine:
            hourly[row, at] = kept
            continue
        parts = tally.hourly[np.ix_(mine, at)].T + 1e-9
        hourly[np.ix_(mine, at)] = rng.multinomial(hourly[0, at], parts / parts.sum(axis=1, keepdims=True)).T
    return _recounted(tally, hourly)


def _recounted(tally: Tally, hourly: np.ndarray) -> Tally:
    """The days counted again; the numeric column loses what its days lose."""
    daily = hourly.reshape(len(tally.series), -1, 24).sum(axis=2)
    left = daily[0] / np.maximum(tally.daily[0], 1)
    binned = tuple(
        replace(
            b,
            counts=np.floor(b.counts * left[:, None]).astype(np.int64),
            missing=np.floor(b.missing * left).astype(np.int64),
        )
        for b in tally.binned
    )
    each = daily / np.maximum(tally.daily, 1)
    sized = tuple(
        replace(
            one, n=np.floor(one.n * each).astype(np.int64), bins=np.floor(one.bins * each).astype(np.int64),
            squares=np.floor(one.squares * each).astype(np.int64),
        )
        for one in tally.sized
    )  # fmt: skip
    return replace(tally, hourly=hourly, daily=daily, binned=binned, sized=sized)


def _fault_day(tally: Tally) -> int:
    """A day near the end on which the shop is open."""
    day = len(tally.days) + FAULT_DAY
    return day if tally.daily[0, day] else day + 1


def volume_drop(share: float) -> Change:
    def change(rng: np.random.Generator, tally: Tally) -> Tally:
        on = tally.hour_day == tally.days[_fault_day(tally)]
        return _thinned(rng, tally, on, 0, 1 - share)

    return change


def mix_shift(points: float) -> Change:
    """Events of one platform counted as the other's for a day: the total stays."""

    def change(rng: np.random.Generator, tally: Tally) -> Tally:
        day = _fault_day(tally)
        on = np.flatnonzero(tally.hour_day == tally.days[day])
        ios, android = (i for i, s in enumerate(tally.series) if s.dimension == "platform")
        giving, taking = (
            (ios, android) if tally.daily[ios, day] > tally.daily[android, day] else (android, ios)
        )
        share = points / 100 * tally.daily[0, day] / max(tally.daily[giving, day], 1)
        hourly = tally.hourly.copy()
        moved = rng.binomial(hourly[giving, on], min(1.0, share))
        hourly[giving, on] -= moved
        hourly[taking, on] += moved
        return _recounted(tally, hourly)

    return change


def unit_jump(factor: float) -> Change:
    def change(_: np.random.Generator, tally: Tally) -> Tally:
        (one,) = tally.binned
        day, shift = _fault_day(tally), round(np.log(factor) * BINS_PER_E)
        bins = np.arange(one.bins[0], one.bins[-1] + 1 + shift)
        counts = np.zeros((len(one.counts), len(bins)), np.int64)
        counts[:day, : len(one.bins)] = one.counts[:day]
        counts[day:, shift : shift + len(one.bins)] = one.counts[day:]
        sized = _shifted(tally.sized[0], tally.sized[0].n * (np.arange(len(counts)) >= day), shift)
        return replace(tally, binned=(replace(one, bins=bins, counts=counts),), sized=(sized,))

    return change


def _shifted(one: Sized, n: np.ndarray, shift: int) -> Sized:
    """The sizes of ``n`` rows (series, days), of average size, moved by so many bins."""
    mean = one.bins / np.maximum(one.n, 1)
    more = 2 * shift * np.rint(mean * n).astype(np.int64) + shift**2 * n
    return replace(one, bins=one.bins + shift * n, squares=one.squares + more)


def _small_value(tally: Tally) -> int:
    """The series whose share of the events is next to 10%."""
    share = tally.daily.sum(axis=1) / tally.daily[0].sum()
    return int(np.argmin(np.abs(np.log(share / 0.1))))


def unit_jump_within(factor: float) -> Change:
    """The amounts of one value with about 10% of the rows in another unit, from a day on."""

    def change(rng: np.random.Generator, tally: Tally) -> Tally:
        (one,), (amounts,) = tally.sized, tally.binned
        row, shift = _small_value(tally), round(np.log(factor) * BINS_PER_E)
        after = np.arange(len(tally.days)) >= _fault_day(tally)
        share = np.where(after, one.n[row] / np.maximum(one.n[0], 1), 0.0)
        n = rng.binomial(one.n, np.broadcast_to(share, one.n.shape))
        mine = [i for i, s in enumerate(tally.series) if s.dimension == tally.series[row].dimension]
        n[mine] = 0
        n[0] = n[row] = one.n[row] * after
        moved = rng.binomial(amounts.counts, np.broadcast_to(share[:, None], amounts.counts.shape))
        counts = np.zeros((len(moved), len(amounts.bins) + shift), np.int64)
        counts[:, : len(amounts.bins)] = amounts.counts - moved
        counts[:, shift:] += moved
        bins = np.arange(amounts.bins[0], amounts.bins[-1] + 1 + shift)
        return replace(
            tally, binned=(replace(amounts, bins=bins, counts=counts),), sized=(_shifted(one, n, shift),)
        )

    return change


def hole(hours: int, dimension: str | None) -> Change:
    """So many hours lost at the busiest time of a day, for everybody or for one platform."""

    def change(rng: np.random.Generator, tally: Tally) -> Tally:
        day = _fault_day(tally)
        row = (
            0
            if dimension is None
            else next(i for i, s in enumerate(tally.series) if s.dimension == dimension)
        )
        usual = tally.hourly[0].reshape(-1, 24).sum(axis=0)
        first = (
            0
            if hours >= 24
            else int(np.argmax(np.convolve(np.tile(usual, 2), np.ones(hours), "valid")[: 25 - hours]))
        )
        start = day * 24 + first
        lost = np.isin(np.arange(len(tally.hours)), np.arange(start, start + hours))
        return _thinned(rng, tally, lost, row, 0.0)

    return change


def _hit(fault: str, alarm: str, heard: dict[str, Heard], clean: Tally) -> bool:
    """Whether the right alarm went off on the day of the fault."""
    at = _fault_day(clean)
    day, one = int(clean.days[at]), heard[alarm]
    if alarm == "holes":
        return any(
            h.first_us < (day + 1) * 86_400_000_000 and h.end_us > day * 86_400_000_000 for h in one.holes
        )
    if alarm == "unit_jump" and fault.endswith("10% of the rows"):
        label = clean.series[_small_value(clean)].label
        return any(f.numbers.get("series") == label and f.numbers["first_day"] == day for f in one.findings)
    return any(m.flagged[:, at].any() for m in one.metrics)


FAULTS: dict[str, tuple[str, Change]] = {
    "volume -20% for a day": ("volume", volume_drop(0.2)),
    "volume -30% for a day": ("volume", volume_drop(0.3)),
    "volume -50% for a day": ("volume", volume_drop(0.5)),
    "mix: 2 points from one platform to another": ("mix", mix_shift(2)),
    "mix: 5 points": ("mix", mix_shift(5)),
    "mix: 10 points": ("mix", mix_shift(10)),
    "unit x10 from a day on": ("unit_jump", unit_jump(10)),
    "unit x100 from a day on": ("unit_jump", unit_jump(100)),
    "unit x10 in a value with 10% of the rows": ("unit_jump", unit_jump_within(10)),
    "unit x100 in a value with 10% of the rows": ("unit_jump", unit_jump_within(100)),
    "hole of 2 hours, everybody": ("holes", hole(2, None)),
    "hole of a day, everybody": ("holes", hole(24, None)),
    "hole of 2 hours, one platform": ("holes", hole(2, "platform")),
    "hole of a day, one platform": ("holes", hole(24, "platform")),
}


def _heard(tally: Tally) -> dict[str, Heard]:
    return {spec.alarm: h for spec, _, h in listen_all(Scope(tally=tally, level=FALSE_ALARMS))}


def _clean(job: tuple[int, int, int]) -> list[str]:
    """The alarms that one clean load raised."""
    seed, number, n_days = job
    heard = _heard(clean_tally(np.random.default_rng([seed, number]), n_days=n_days))
    return [a for a, h in heard.items() if h.n_tests and h.n_flagged]


def _is_quiet(tally: Tally) -> bool:
    """Whether a day differs from the same weekday a week ago by at most 7% (events) and 1.4 points (shares), half of the time."""
    total = tally.daily[0].astype(float)
    busy = (total[7:] > 0) & (total[:-7] > 0)
    change = np.abs(np.log((total[7:] + 0.5) / (total[:-7] + 0.5)))[busy]
    ios = next(i for i, s in enumerate(tally.series) if s.dimension == "platform")
    share = tally.daily[ios] / np.maximum(total, 1)
    return bool(np.median(change) < 0.07 and np.median(np.abs(share[7:] - share[:-7])[busy]) < 0.014)


def _faulty(job: tuple[int, int, int, str]) -> list[tuple[str, bool, bool]]:
    """Of one load: each fault (that has the text in its name), whether the load is quiet from week to week, whether the fault was seen."""
    seed, number, n_days, only = job
    rng = np.random.default_rng([seed, 1_000_000 + number])
    clean = clean_tally(rng, n_days=n_days)
    quiet = _is_quiet(clean)
    found = []
    for fault, (alarm, change) in FAULTS.items():
        if only not in fault:
            continue
        tally = change(rng, clean)
        found.append((fault, quiet, _hit(fault, alarm, _heard(tally), clean)))
    return found


def bots_seen(seed: int, *, n_loads: int) -> tuple[int, dict[str, int]]:
    """Simulated event logs of people with one bot of each kind: loads with a person told for a bot, and bots found."""
    import tempfile
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

    import headwater.engine.arrays
    from headwater.contracts.audit import audit
    from headwater.contracts.check import check
    from headwater.core.audit import AlarmSpec
    from headwater.core.contract import Aggregate, App, Contract, Measure, Source
    from headwater.engine.duckdb import DuckDB
    from headwater.ledgers.build import build_ledger

    assert headwater.engine.arrays
    wrong, found = 0, Counter[str]()
    others = [AlarmSpec(alarm=a, on=False) for a in ("volume", "mix", "holes", "unit_jump", "outliers")]
    for number in range(n_loads):
        rng = np.random.default_rng([seed, 2_000_000 + number])
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            pq.write_table(_people_and_bots(rng, pa), root / "log.parquet")
            engine = DuckDB(threads=2, memory="1GB", spill=root / "spill")
            contract = Contract(
                app=App(name="bench", time_zone="UTC", currency="USD"),
                source=Source(path="log.parquet", user="user", at="at", event_is="view"),
                measures=(Measure(name="views", aggregate=Aggregate.COUNT),),
                rules=(),
                max_share=1.0,
            )
            events = check(engine, contract, root=root, folder=root / "checked", source_fingerprint="")
            ledger = build_ledger(engine, events, folder=root / "ledger")
            heard = audit(engine, events, ledger, alarms=others, folder=root / "audit")
            told = {str(r[0]) for x in heard.listings if x.name == "bots" for r in x.rows}
            engine.close()
        wrong += any(not t.startswith("bot") for t in told)
        found.update(t for t in told if t.startswith("bot"))
    return wrong, dict(found)


def _people_and_bots(rng: np.random.Generator, pa: Any) -> Any:
    """Two thousand people in sessions of videos (gamma gaps), heavy users among them, and four bots; 14 days."""
    second, day = 1_000_000, 86_400_000_000
    who, at = [], []
    for user in range(2_000):
        for _ in range(rng.poisson(6)):
            start = (
                FIRST_DAY * day + int(rng.integers(14)) * day + int(rng.normal(19, 3) % 24 * 3600) * second
            )
            n = min(2_000, 1 + int(rng.pareto(1.2) * 10))
            at.append(start + np.cumsum(rng.gamma(1.2, rng.uniform(3, 15), n) * second).astype(np.int64))
            who += [f"u{user}"] * n
    start = (FIRST_DAY + 5) * day
    pace = rng.uniform(3, 60)
    kinds = {
        "bot regular": start
        + (np.arange(500) * pace + rng.normal(0, 0.05 * pace, 500)).astype(np.int64) * second,
        "bot slow but even": start
        + (np.arange(120) * 300 + rng.normal(0, 10, 120)).astype(np.int64) * second,
        "bot fast": start + np.sort(rng.integers(0, 120 * second, 600)),
        "bot round the clock": start + np.sort(rng.integers(0, day, 300)),
    }
    for kind, times in kinds.items():
        who += [kind] * len(times)
        at.append(times)
    return pa.table({"user": who, "at": pa.array(np.concatenate(at), pa.timestamp("us", "UTC"))})


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--clean", type=int, default=1_000)
    given.add_argument("--faulty", type=int, default=100)
    given.add_argument("--days", type=int, default=84)
    given.add_argument("--seed", type=int, default=1)
    given.add_argument("--only", default="", help="only the faults with this text in their name")
    given.add_argument("--bots", type=int, default=20)
    given.add_argument("--processes", type=int, default=2)
    o = given.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(o.processes) as pool:
        raised = list(pool.map(_clean, [(o.seed, i, o.days) for i in range(o.clean)], chunksize=20))
        wolves = sum(bool(r) for r in raised)
        print(
            f"Clean loads: {o.clean:,} of {o.days} days, {1 + sum(map(len, DIMENSIONS.values()))} series, one number; seed {o.seed}"
        )
        print(
            f"  raised any false alarm: {wolves} ({wolves / max(o.clean, 1):.2%}; at most {FALSE_ALARMS:.0%} is promised)"
        )
        print(
            f"  by alarm: {dict(Counter(a for r in raised for a in r)) or 'none'}   [{time.perf_counter() - began:.0f} s]"
        )
        seen: dict[tuple[str, bool], list[bool]] = {}
        for found in pool.map(_faulty, [(o.seed, i, o.days, o.only) for i in range(o.faulty)], chunksize=5):
            for fault, quiet, hit in found:
                seen.setdefault((fault, quiet), []).append(hit)
    print(
        f"\nPower over {o.faulty} loads of 500 to 50,000 events a day (quiet: half of the days within 7% of the day a week ago, shares within 1.4 points)   [{time.perf_counter() - began:.0f} s]"
    )
    for fault in FAULTS:
        small, quiet = seen.get((fault, False), []), seen.get((fault, True), [])
        if not small + quiet:
            continue
        print(
            f"  {fault:45s} all {np.mean(small + quiet):4.0%}   quiet {np.mean(quiet) if quiet else float('nan'):4.0%} ({len(quiet)})"
        )
    if o.bots:
        wrong, found = bots_seen(o.seed, n_loads=o.bots)
        print(
            f"\nBots over {o.bots} simulated event logs of 2,000 people (14 days): a person told for a bot in {wrong} logs"
        )
        for kind in ("bot regular", "bot slow but even", "bot fast", "bot round the clock"):
            print(f"  {kind:45s} found {found.get(kind, 0) / o.bots:4.0%}")


if __name__ == "__main__":
    main()
