"""The tally: one pass over the events counts what every alarm of the load as a whole needs, by day and hour.

All of it adds up over days and files: counts by hour for every value of every watched column, counts by
logarithmic bin for every numeric column, counts by how late a row became known. No median is asked of the
engine, so memory is bounded by days x values, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.contracts.repair_plan import raw_column, repairs_of
from headwater.contracts.tally_rows import BINS_PER_E, Grouped, Sized, TallyRows, first_of, sizes
from headwater.core.contract import Events
from headwater.core.ledger import Ledger
from headwater.core.table import Kind
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, commas, name, sql

__all__ = [
    "BINS_PER_E",
    "MISSING",
    "MOST_VALUES",
    "OTHER",
    "Binned",
    "Series",
    "Sized",
    "Tally",
    "bin_value",
    "log_bin",
    "take_tally",
    "turning_dimensions",
]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

MISSING, OTHER = "(missing)", "(other)"
MOST_VALUES = 50
_LOOKED_AT = 200_000
_SETTLING_DAYS = 14
_HOUR_US = 3_600_000_000
_ZERO_BIN, _NEGATIVE = -1_000_000, -2_000_000
_NUMERIC = (Kind.INTEGER, Kind.NUMBER, Kind.MONEY)
_OWN = frozenset({"user_id", "at_us", "known_us", "app_day", "known_day"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Whose events a row of the tally counts: one value of one watched column, or everybody's (both None)."""

    dimension: str | None = None
    value: str | None = None

    @property
    def label(self) -> str:
        """``all users``, or ``platform = ios``."""
        return "all users" if self.dimension is None else f"{self.dimension} = {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binned:
    """A numeric column by day and logarithmic bin: ``counts`` has shape (days, bins), ``bins`` the bins' numbers.

    ``missing`` counts rows without a value, by day.
    """

    column: str
    kind: Kind
    bins: Counts
    counts: Counts
    missing: Counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """A load counted once.

    ``days`` are all app days from the first to the last, ``hours`` all UTC hours since 1970 they span;
    ``hour_day`` and ``hour_of_day`` say which app day and which local hour each hour is.
    ``daily`` and ``hourly`` have shapes (series, days) and (series, hours); series 0 is everybody.
    ``turning`` are columns whose values come and go by design, which have no series. ``texts`` are the columns of
    text and how many values each has among the first 200,000 rows.
    ``users``, ``row_days`` and ``money`` are per day: users, user-days, and the first money measure in whole
    currency. ``lags`` are days known after the fact, ``lag_counts`` their rows, shape (days, lags).
    ``sized`` says of each numeric column how large it is for each series, by day.
    ``skews`` are logarithmic bins of seconds between ``at`` and ``known_at`` (empty where they are one).
    """

    days: Counts
    hours: Counts
    hour_day: Counts
    hour_of_day: Counts
    series: tuple[Series, ...]
    daily: Counts
    hourly: Counts
    turning: tuple[str, ...] = ()
    texts: tuple[tuple[str, int], ...] = ()
    users: Counts
    money: Floats
    money_name: str
    binned: tuple[Binned, ...]
    sized: tuple[Sized, ...] = ()
    lags: Counts
    lag_counts: Counts
    skews: Counts
    skew_counts: Counts
    first_us: int
    last_us: int
    n_scans: int

    @property
    def weekday(self) -> Counts:
        """Monday is 0, shape (days,)."""
        return (self.days + 3) % 7


def take_tally(engine: Engine, events: Events, ledger: Ledger) -> Tally:
    """Count a load: one pass over the events, one over the ledger."""
    texts, numbers = _texts(engine, events), _numbers(events)
    dimensions = tuple(c for c, n in texts if 1 < n <= MOST_VALUES)
    late = events.contract.source.known_at is not None
    days = np.arange(events.first_day, events.end_day, dtype=np.int64)
    kinds = {c.name: c.kind for c in events.events.columns}
    at = TallyRows(engine.arrow(_tally_query(events, dimensions, numbers, late=late)))
    hours = _span(at.column("hour")[at.of("hour")])
    zone = ZoneInfo(events.contract.app.time_zone)
    hour_day, hour_of_day = _local(hours, zone)
    series, groups = _series(at, dimensions)
    daily, hourly = at.added("n", groups, "app_day", days), at.added("n", groups, "hour", hours)
    turning = turning_dimensions(series, daily)
    stay = np.array([s.dimension not in turning for s in series], dtype=bool)
    sized = tuple(sizes(at, i, column=c, groups=groups, days=days, stay=stay) for i, c in enumerate(numbers))
    series, daily, hourly = tuple(s for s in series if s.dimension not in turning), daily[stay], hourly[stay]
    lags, lag_counts = _by_day(at, "lag", days)
    skews, skew_counts = _total(at, "skew")
    users, money, money_name = _ledger_days(engine, ledger, days)
    return Tally(
        days=days,
        hours=hours,
        hour_day=hour_day,
        hour_of_day=hour_of_day,
        series=series,
        daily=daily,
        hourly=hourly,
        turning=turning,
        texts=texts,
        users=users,
        money=money,
        money_name=money_name,
        binned=tuple(_binned(at, c, kinds[c], i, days) for i, c in enumerate(numbers)),
        sized=sized,
        lags=lags,
        lag_counts=lag_counts,
        skews=skews,
        skew_counts=skew_counts,
        first_us=int(at.column("first_us")[at.of("hour")].min(initial=0)) if len(hours) else 0,
        last_us=int(at.column("last_us")[at.of("hour")].max(initial=0)) if len(hours) else 0,
        n_scans=1,
    )


def turning_dimensions(series: Sequence[Series], daily: Counts) -> tuple[str, ...]:
    """Columns whose values replace each other (app versions, campaigns): their counts have no usual level.

    At least two of a column's values with half a percent of its events begin or end two weeks or more inside
    the log, and one of them begins there.
    """
    found: list[str] = []
    n_days = daily.shape[1]
    for dimension in dict.fromkeys(s.dimension for s in series if s.dimension is not None):
        mine = daily[[s.dimension == dimension and s.value not in {OTHER, MISSING} for s in series]]
        large = mine[mine.sum(axis=1) >= max(1.0, 0.005 * mine.sum())] > 0
        late = large.argmax(axis=1) >= _SETTLING_DAYS
        early = large[:, ::-1].argmax(axis=1) >= _SETTLING_DAYS
        if n_days > 2 * _SETTLING_DAYS and late.any() and (late | early).sum() >= 2:
            found.append(dimension)
    return tuple(found)


def _numbers(events: Events) -> tuple[str, ...]:
    return tuple(c.name for c in events.events.columns if c.kind in _NUMERIC and c.name not in _OWN)


def _texts(engine: Engine, events: Events) -> tuple[tuple[str, int], ...]:
    """The columns of text, and how many values each has in the first 200,000 rows."""
    passed_over = {*_OWN, *(raw_column(c) for c in repairs_of(events.contract))}
    texts = [c.name for c in events.events.columns if c.kind is Kind.TEXT and c.name not in passed_over]
    if not texts:
        return ()
    counted = [sql("count(DISTINCT {c})", c=name(c)) for c in texts]
    found = engine.one(
        sql(
            "SELECT {n} FROM (SELECT {c} FROM {scan} LIMIT {k}) looked",
            n=commas(counted),
            c=commas([name(c) for c in texts]),
            scan=table_scan(events.events),
            k=_LOOKED_AT,
        )
    )
    return tuple(zip(texts, map(int, found), strict=True))


def log_bin(value: Sql) -> Sql:
    """The logarithmic bin of a number, sixteen to a factor of e; zero and negative numbers have bins of their own."""
    return sql(
        "CASE WHEN {v} > 0 THEN CAST(floor(ln({v}) * {k}) AS INTEGER) WHEN {v} = 0 THEN {zero}"
        " WHEN {v} < 0 THEN {minus} - CAST(floor(ln(-{v}) * {k}) AS INTEGER) END",
        v=value,
        k=float(BINS_PER_E),
        zero=_ZERO_BIN,
        minus=_NEGATIVE,
    )


def _size_bin(value: Sql) -> Sql:
    """The logarithmic bin of a number's size; NULL for zero and for no number."""
    return sql(
        "CASE WHEN {v} <> 0 THEN CAST(floor(ln(abs({v})) * {k}) AS BIGINT) END", v=value, k=float(BINS_PER_E)
    )


def _sums(index: int) -> Sql:
    """Whole numbers that add up: how many sizes, their bins, the bins' squares, and money as it is written."""
    return sql(
        "CAST(count({s}) AS BIGINT) AS {n}, CAST(sum({s}) AS BIGINT) AS {bins}, CAST(sum({s} * {s}) AS BIGINT) AS {squares},"
        " sum(CAST({m} AS DECIMAL(20, 0))) AS {money}",
        s=name(f"s{index}"), m=name(f"m{index}"), n=name(f"sizes {index}"), bins=name(f"bins {index}"),
        squares=name(f"squares {index}"), money=name(f"money {index}"),
    )  # fmt: skip


def bin_value(bins: Counts) -> Floats:
    """The number in the middle of each bin, on a logarithmic scale.

    >>> [round(float(v), 3) for v in bin_value(np.array([0, -1_000_000, -2_000_000]))]
    [1.032, 0.0, -1.032]
    """
    positive = bins > _ZERO_BIN // 2
    negative = bins < (_ZERO_BIN + _NEGATIVE) // 2
    size = np.where(positive, bins, np.where(negative, _NEGATIVE - bins, 0))
    return np.where(positive, 1.0, np.where(negative, -1.0, 0.0)) * np.exp((size + 0.5) / BINS_PER_E)


def _tally_query(events: Events, dimensions: Sequence[str], numbers: Sequence[str], *, late: bool) -> Sql:
    """Every grouping in one pass; a row belongs to the grouping whose columns are not aggregated away."""
    kinds = {c.name: c.kind for c in events.events.columns}
    units = {c: 1e-6 if kinds[c] is Kind.MONEY else 1.0 for c in numbers}
    values = [
        sql("coalesce(CAST({c} AS STRING), {m}) AS {d}", c=name(c), m=MISSING, d=name(f"d{i}"))
        for i, c in enumerate(dimensions)
    ]
    values += [
        sql(
            "{b} AS {n}",
            b=log_bin(sql("(CAST({c} AS DOUBLE) * {u})", c=name(c), u=units[c])),
            n=name(f"n{i}"),
        )
        for i, c in enumerate(numbers)
    ]
    values += [
        sql(
            "{b} AS {s}, {m} AS {paid}",
            b=_size_bin(sql("(CAST({c} AS DOUBLE) * {u})", c=name(c), u=units[c])),
            m=name(c) if kinds[c] is Kind.MONEY else sql("CAST(NULL AS BIGINT)"),
            s=name(f"s{i}"),
            paid=name(f"m{i}"),
        )
        for i, c in enumerate(numbers)
    ]
    second = sql("(CAST(known_us - at_us AS DOUBLE) / 1000000.0)")
    values += [sql("known_day - app_day AS lag"), sql("{b} AS skew", b=log_bin(second))] if late else []
    keys = [*(f"d{i}" for i in range(len(dimensions))), *(f"n{i}" for i in range(len(numbers)))]
    keys += ["lag", "skew"] if late else []
    sets = [sql("(app_day, hour)")]
    sets += [sql("(app_day, hour, {d})", d=name(f"d{i}")) for i in range(len(dimensions))]
    sets += [sql("(app_day, {n})", n=name(f"n{i}")) for i in range(len(numbers))]
    sets += [sql("(app_day, lag)"), sql("(skew)")] if late else []
    grouped = [
        sql("CAST(grouping({k}) AS INTEGER) AS {g}", k=name(k), g=name(f"not {k}")) for k in ["hour", *keys]
    ]
    return sql(
        "SELECT app_day, hour, {keys}{grouped}, CAST(count(*) AS BIGINT) AS n, {sums}min(at_us) AS first_us, max(at_us) AS last_us"
        " FROM (SELECT app_day, CAST(floor(CAST(at_us AS DOUBLE) / 3600000000.0) AS BIGINT) AS hour, at_us{values} FROM {scan}) e"
        " GROUP BY GROUPING SETS ({sets})",
        keys=sql("{k}, ", k=commas([name(k) for k in keys])) if keys else sql(""),
        grouped=commas(grouped),
        sums=sql("{s}, ", s=commas([_sums(i) for i in range(len(numbers))])) if numbers else sql(""),
        values=sql(", {v}", v=commas(values)) if values else sql(""),
        scan=table_scan(events.events),
        sets=commas(sets),
    )


def _span(hours: Counts) -> Counts:
    return np.arange(hours.min(), hours.max() + 1, dtype=np.int64) if len(hours) else np.zeros(0, np.int64)


def _local(hours: Counts, zone: ZoneInfo) -> tuple[Counts, Counts]:
    """The app day and local hour in which each UTC hour begins."""
    moments = [datetime.fromtimestamp(int(h) * 3600, UTC).astimezone(zone) for h in hours]
    days = np.array([m.toordinal() - 719_163 for m in moments], dtype=np.int64)
    return days, np.array([m.hour for m in moments], dtype=np.int64)


def _series(at: TallyRows, dimensions: Sequence[str]) -> tuple[tuple[Series, ...], Grouped]:
    """Everybody, then each watched value, and which rows count them."""
    found: list[Series] = [Series()]
    rows = [np.flatnonzero(at.of("hour"))]
    places = [np.zeros(len(rows[0]), dtype=np.int64)]
    for i, dimension in enumerate(dimensions):
        mine = at.of("hour", f"d{i}")
        texts = np.asarray(at.texts(f"d{i}", mine), dtype=object)
        n = at.column("n")[mine]
        values, where = np.unique(texts.astype(str), return_inverse=True) if len(texts) else (texts, texts)
        totals = np.bincount(where, weights=n, minlength=len(values))
        order = np.argsort(-totals, kind="stable")
        kept = order[:MOST_VALUES]
        place = np.full(len(values), len(found) + len(kept), dtype=np.int64)
        place[kept] = len(found) + np.arange(len(kept))
        found += [Series(dimension=dimension, value=str(values[v])) for v in kept]
        found += [Series(dimension=dimension, value=OTHER)] if len(order) > len(kept) else []
        rows.append(np.flatnonzero(mine))
        places.append(place[where])
    return tuple(found), Grouped(rows=np.concatenate(rows), place=np.concatenate(places), n=len(found))


def _by_day(at: TallyRows, key: str, days: Counts) -> tuple[Counts, Counts]:
    """Counts by day and by each value of a key, shape (days, values)."""
    if key not in at.keys:
        return np.zeros(0, np.int64), np.zeros((len(days), 0), np.int64)
    mine = at.of(key) & ~at.is_null(key)
    values, where = np.unique(at.column(key)[mine], return_inverse=True)
    counts = np.zeros((len(days), len(values)), dtype=np.int64)
    np.add.at(counts, (at.column("app_day")[mine] - first_of(days), where), at.column("n")[mine])
    return values, counts


def _total(at: TallyRows, key: str) -> tuple[Counts, Counts]:
    """Counts by each value of a key, over all days."""
    if key not in at.keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    mine = at.of(key) & ~at.is_null(key)
    values, where = np.unique(at.column(key)[mine], return_inverse=True)
    return values, np.bincount(where, weights=at.column("n")[mine], minlength=len(values)).astype(np.int64)


def _binned(at: TallyRows, column: str, kind: Kind, index: int, days: Counts) -> Binned:
    key = f"n{index}"
    bins, counts = _by_day(at, key, days)
    missing = np.zeros(len(days), dtype=np.int64)
    none = at.of(key) & at.is_null(key)
    np.add.at(
        missing,
        at.column("app_day")[none] - first_of(days),
        at.column("n")[none],
    )
    return Binned(column=column, kind=kind, bins=bins, counts=counts, missing=missing)


def _ledger_days(engine: Engine, ledger: Ledger, days: Counts) -> tuple[Counts, Floats, str]:
    """Users and money by day, off the ledger."""
    paid = next((m for m in ledger.measures if m.kind is Kind.MONEY), None)
    money = sql("CAST(sum({m}) AS BIGINT)", m=name(paid.name)) if paid else sql("CAST(0 AS BIGINT)")
    rows = engine.arrow(
        sql(
            "SELECT app_day, CAST(count(DISTINCT user_id) AS BIGINT) AS users, {money} AS money FROM {days} GROUP BY app_day ORDER BY app_day",
            money=money,
            days=table_scan(ledger.days),
        )
    )
    at = np.asarray(rows.column("app_day").cast(pa.int64()).to_numpy(), dtype=np.int64)
    first = first_of(days)
    inside = (at >= first) & (at < first + len(days))
    users, total = np.zeros(len(days), np.int64), np.zeros(len(days))
    users[at[inside] - first] = np.asarray(rows.column("users").to_numpy())[inside]
    amounts = np.asarray(rows.column("money").cast(pa.float64()).fill_null(0).to_numpy())
    total[at[inside] - first] = amounts[inside] / (paid.scale if paid else 1)
    return users, total, paid.label if paid else ""
