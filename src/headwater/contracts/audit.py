"""The audit: every alarm listens to the kept events and the ledger as a whole. It says and marks; it never deletes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from headwater.contracts.alarm import Alarm, Heard, Metric, Scope, completed
from headwater.contracts.alarms import ALARMS
from headwater.contracts.tally import Series, Tally, take_tally
from headwater.core.audit import AlarmResult, AlarmSpec, Audit, Hole
from headwater.core.contract import Events
from headwater.core.errors import ConfigError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger
from headwater.core.table import Column, Kind, Table
from headwater.engine.engine import Engine
from headwater.engine.sql import name, sql

__all__ = ["FALSE_ALARMS", "audit", "listen_all", "require_alarms"]

FALSE_ALARMS = 0.01
_METRICS = "metrics by day"
_HOUR_US = 3_600_000_000
_COLUMNS = (
    Column(name="day", kind=Kind.DAY, about="the app's local day"),
    Column(name="metric", kind=Kind.TEXT, about="n_events, share_of_events, median_size, n_users, money"),
    Column(name="dimension", kind=Kind.TEXT, about="the column whose value is meant; empty: everybody"),
    Column(name="value", kind=Kind.TEXT, about="the value of that column"),
    Column(name="observed", kind=Kind.NUMBER, about="what the day holds"),
    Column(
        name="expected", kind=Kind.NUMBER, about="what the days before led one to expect; NULL: not judged"
    ),
    Column(name="low", kind=Kind.NUMBER, about="lower bound: below it is a flag"),
    Column(name="high", kind=Kind.NUMBER, about="upper bound: above it is a flag"),
    Column(name="flagged", kind=Kind.BOOLEAN, about="whether an alarm went off"),
)


def audit(
    engine: Engine,
    events: Events,
    ledger: Ledger,
    *,
    alarms: Sequence[AlarmSpec] = (),
    holidays: Collection[int] = (),
    folder: Path,
    now_us: int | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> Audit:
    """Listen to a load with every alarm of the shelf and write ``metrics_by_day`` under ``folder``.

    Parameters
    ----------
    alarms
        Settings of alarms, and which are off; an alarm that is not named listens with its defaults.
    holidays
        App days on which nothing is expected: they are neither judged nor learned from.
    now_us
        The time now, for freshness; without it freshness says nothing.
    false_alarms
        How often all statistical alarms together may raise one over a clean load.

    Raises
    ------
    ConfigError
        An alarm has no such setting (``alarm.*``), or is named twice.
    """
    tally = take_tally(engine, events, ledger)
    scope = Scope(
        tally=tally, level=false_alarms, holidays=frozenset(holidays), settle_days=ledger.settle_days, now_us=now_us,
        engine=engine, events=events, ledger=ledger,
    )  # fmt: skip
    heard = _told_once(tally, listen_all(scope, alarms=alarms))
    metrics = [*_plain_metrics(tally), *(m for _, _, h in heard for m in h.metrics)]
    return Audit(
        alarms=tuple(_result(spec, about, h) for spec, about, h in heard),
        findings=_by_weight([*(f for _, _, h in heard for f in h.findings), *_turning(tally)]),
        holes=tuple(x for _, _, h in heard for x in h.holes),
        listings=tuple(x for _, _, h in heard for x in h.listings),
        metrics=_write_metrics(engine, tally, metrics, folder),
        false_alarms=false_alarms,
        n_scans=tally.n_scans + sum(h.n_scans for _, _, h in heard),
        time_zone=scope.time_zone,
    )


def listen_all(scope: Scope, *, alarms: Sequence[AlarmSpec] = ()) -> list[tuple[AlarmSpec, str, Heard]]:
    """Every alarm that is on, with what it is about and what it heard.

    ``scope.level`` is what all statistical alarms share: each gets an equal part, and divides it by its tests
    (Bonferroni), so that together they raise a false alarm at most that often.
    """
    loaded = _loaded(alarms)
    n_statistical = max(1, sum(alarm.statistical for _, alarm in loaded))
    part = Scope(
        tally=scope.tally, level=scope.level / n_statistical, holidays=scope.holidays, settle_days=scope.settle_days,
        now_us=scope.now_us, engine=scope.engine, events=scope.events, ledger=scope.ledger,
    )  # fmt: skip
    return [(spec, alarm.about, alarm.listen(spec, part)) for spec, alarm in loaded]


def require_alarms(given: Sequence[AlarmSpec]) -> None:
    """Raise ``ConfigError`` (``alarm.*``) where an alarm is declared twice or a setting fits nothing; no data are needed."""
    _loaded(given)


def _loaded(given: Sequence[AlarmSpec]) -> list[tuple[AlarmSpec, Alarm]]:
    """The alarms that are on, with all of their settings."""
    declared: dict[str, AlarmSpec] = {}
    for spec in given:
        if spec.alarm in declared:
            raise ConfigError(
                "alarm.twice",
                what=f"The alarm '{spec.alarm}' is declared twice.",
                why="It listens once; one of the two would be ignored.",
                do="Merge the two entries.",
            )
        declared[spec.alarm] = completed(spec, ALARMS.load(spec.alarm).defaults)
    loaded = [(a, ALARMS.load(a)()) for a in ALARMS.names()]
    every = [(declared.get(a) or completed(AlarmSpec(alarm=a), alarm.defaults), alarm) for a, alarm in loaded]
    return [(spec, alarm) for spec, alarm in every if spec.on]


def _result(spec: AlarmSpec, about: str, heard: Heard) -> AlarmResult:
    return AlarmResult(
        alarm=spec.alarm,
        about=about,
        n_tests=heard.n_tests,
        level=heard.level,
        n_flagged=heard.n_flagged,
        flags_are=heard.flags_are,
        n_findings=len(heard.findings),
        skipped=heard.skipped,
    )


def _told_once(
    tally: Tally, heard: Sequence[tuple[AlarmSpec, str, Heard]]
) -> list[tuple[AlarmSpec, str, Heard]]:
    """What was heard, without the low volume of days that a hole emptied."""
    emptied = {(s.label, day) for _, _, h in heard for hole in h.holes for s, day in _emptied(tally, hole)}
    return [
        (spec, about, replace(h, findings=tuple(f for f in h.findings if not _is_told(f, emptied))))
        for spec, about, h in heard
    ]


def _by_weight(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    order = {Severity.BLOCK: 0, Severity.WARN: 1, Severity.NOTE: 2}
    return tuple(sorted(findings, key=lambda f: order[f.severity]))


def _turning(tally: Tally) -> list[Finding]:
    if not tally.turning:
        return []
    return [
        Finding(
            code="alarm.turnover",
            severity=Severity.NOTE,
            what=f"Values of {', '.join(tally.turning)} come and go within the log.",
            why="They have no usual level, so their volume, mix and holes are not judged value by value.",
            do="Nothing, for versions and campaigns; for a column whose values should stay, look when they changed.",
        )
    ]


def _emptied(tally: Tally, hole: Hole) -> list[tuple[Series, int]]:
    """The series and the days a hole lies in."""
    inside = (tally.hours >= hole.first_us // _HOUR_US) & (tally.hours < -(-hole.end_us // _HOUR_US))
    days = np.unique(tally.hour_day[inside])
    same = [
        s
        for s in tally.series
        if hole.dimension is None or (s.dimension, s.value) == (hole.dimension, hole.value)
    ]
    return [(s, int(d)) for s in same for d in days]


def _is_told(finding: Finding, emptied: Collection[tuple[str, int]]) -> bool:
    numbers = finding.numbers
    if finding.code != "alarm.volume" or float(numbers["change"]) > 0:
        return False
    days = range(int(numbers["first_day"]), int(numbers["last_day"]) + 1)
    return all((str(numbers["series"]), day) in emptied for day in days)


def _plain_metrics(tally: Tally) -> list[Metric]:
    """Users and money by day: shown over time, judged by nobody."""
    found = [("n_users", tally.users.astype(float))]
    found += [(tally.money_name, tally.money)] if tally.money_name else []
    nothing = np.full((1, len(tally.days)), np.nan)
    return [
        Metric(
            metric=metric, series=tally.series[:1], value=values[None, :], expected=nothing, low=nothing, high=nothing,
            flagged=np.zeros(nothing.shape, dtype=bool),
        )
        for metric, values in found
    ]  # fmt: skip


def _write_metrics(engine: Engine, tally: Tally, metrics: Sequence[Metric], folder: Path) -> Table:
    parts = [_metric_rows(tally, m) for m in metrics]
    engine.register(_METRICS, pa.concat_tables(parts))
    query = sql(
        "SELECT CAST(day AS INTEGER) AS day, metric, dimension, value, observed, expected, low, high, flagged FROM {t}"
        " ORDER BY metric, dimension, value, day",
        t=name(_METRICS),
    )
    return engine.write(query, folder, table="metrics_by_day", columns=_COLUMNS)


def _metric_rows(tally: Tally, metric: Metric) -> pa.Table:
    n_series, n_days = metric.value.shape

    def numbers(values: np.ndarray) -> pa.Array:
        flat = np.asarray(values, dtype=float).ravel()
        return pa.array(flat, mask=~np.isfinite(flat))

    def texts(values: list[str]) -> pa.Array:
        return pa.array([v for v in values for _ in range(n_days)], pa.string())

    return pa.table(
        {
            "day": pa.array(np.tile(tally.days, n_series), pa.int64()),
            "metric": pa.array([metric.metric] * (n_series * n_days), pa.string()),
            "dimension": texts([s.dimension or "" for s in metric.series]),
            "value": texts([s.value or "" for s in metric.series]),
            "observed": numbers(metric.value),
            "expected": numbers(metric.expected),
            "low": numbers(metric.low),
            "high": numbers(metric.high),
            "flagged": pa.array(metric.flagged.ravel()),
        }
    )
