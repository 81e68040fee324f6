"""When a row became known: a second time column named like a load or a receipt, that follows the event's own time.

The words are hints of ours, not a standard; they are those of common loaders (``_fivetran_synced``,
``_sdc_received_at``, ``collector_tstamp``, ``server_received_time``) and of hand-made tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.contracts.facts import Facts
from headwater.contracts.looks import Look, time_readings
from headwater.contracts.typing import raw_name, time_column
from headwater.core.contract import Source
from headwater.core.finding import Finding, Severity
from headwater.engine.engine import Engine
from headwater.engine.sources import Relation
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["Arrival", "arrivals_of", "check_arrivals", "known_column"]

_WORDS: Mapping[str, int] = {
    "ingested": 3, "ingestion": 3, "ingest": 3, "loaded": 3, "load": 3, "landed": 3, "inserted": 3, "imported": 3, "synced": 3,
    "extracted": 3, "known": 3, "etl": 3, "入库时间": 3, "received": 2, "receive": 2, "collector": 2, "server": 2, "recorded": 2,
    "接收时间": 2, "上报时间": 2, "created": 1,
}  # fmt: skip
_MOST = 4
_NOT_BEFORE, _FILLED = 0.99, 0.99
_SECOND_US, _MINUTE_US, _HOUR_US, _DAY_US = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
_WEEK_US, _MONTH_US = 7 * _DAY_US, 31 * _DAY_US
_MANY_DAYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A column that may say when a row became known, against the time of the event.

    ``n_filled`` of ``n_rows`` rows have it, ``n_both`` the event's own time too; in ``n_not_before`` of these it is
    not before the event, in ``n_later`` it is later, in ``n_week`` by more than 7 days, in ``n_month`` by more
    than 31. ``median_us`` is about the median delay in microseconds. ``n_days`` are its different days,
    ``n_event_days`` those of the events.
    """

    column: str
    is_load: bool
    n_rows: int
    n_filled: int
    n_both: int
    n_not_before: int
    n_later: int
    n_week: int
    n_month: int
    median_us: float
    n_days: int
    n_event_days: int

    @property
    def follows(self) -> bool:
        """Whether it is there and not before the event in nearly all rows, and later in some."""
        filled = self.n_both >= _FILLED * self.n_rows
        return filled and self.n_later > 0 and self.n_not_before >= _NOT_BEFORE * self.n_both

    @property
    def is_one_load(self) -> bool:
        """Whether events of many days came on one."""
        return self.n_days == 1 and self.n_event_days >= _MANY_DAYS

    @property
    def came_at_once(self) -> bool:
        """Whether a history was loaded anew: in one load, or half of the rows more than 7 days after they happened."""
        return self.is_one_load or 2 * self.n_week >= self.n_both

    @property
    def reason(self) -> str:
        """Why it is proposed, with its counts."""
        named = (
            "a load or receipt time" if self.is_load else "the time a row was made, beside the event's own"
        )
        return (
            f"'{self.column}' is named like {named}; it is not before the event in {self.n_not_before:,} of {self.n_both:,} rows"
            f" ({_share(self.n_not_before, self.n_both)}), and later by {delay_text(self.median_us)} in the median: a snapshot knows a row from then on."
            f"{self._late}{self._empty}"
        )

    @property
    def _late(self) -> str:
        if not self.n_month:
            return ""
        share = _share(self.n_month, self.n_both)
        return f" {self.n_month:,} of {self.n_both:,} rows ({share}) came more than 31 days late; leave it out where these were loaded anew."

    @property
    def _empty(self) -> str:
        n = self.n_rows - self.n_filled
        if not n:
            return ""
        return f" {n:,} of {self.n_rows:,} rows ({_share(n, self.n_rows)}) have no such time that can be read: the gate puts them in quarantine."


def arrivals_of(
    engine: Engine, relation: Relation, looks: Sequence[Look], facts: Facts, *, taken: Sequence[str]
) -> tuple[Arrival, ...]:
    """The columns whose name says when a row became known, likeliest name first, counted over all rows in one pass.

    Columns ``taken`` for another part are passed over. No pass where no name fits.
    """
    rivals = [k for k in looks if k.column not in {facts.at.column, *taken} and time_readings(k)]
    named = sorted((k for k in rivals if _strength(k)), key=lambda k: -_strength(k))[:_MOST]
    if not named:
        return ()
    counts = [c for i in range(len(named)) for c in _counts(name(f"known {i}"))]
    n_rows, n_event_days, *found = engine.one(
        sql(
            "SELECT count(*), count(DISTINCT {day}), {c} FROM {rows}",
            day=_day(sql("at_us")),
            c=commas(counts),
            rows=_times(relation, facts, named),
        )
    )
    width = len(counts) // len(named)
    return tuple(
        _arrival(look, int(n_rows), int(n_event_days), found[i * width : (i + 1) * width])
        for i, look in enumerate(named)
    )


def known_column(arrivals: Sequence[Arrival]) -> Arrival | None:
    """The first that follows the events as they happened; None where none does."""
    return next((a for a in arrivals if a.follows and not a.came_at_once), None)


def check_arrivals(arrivals: Sequence[Arrival]) -> tuple[Finding, ...]:
    """A load time that is not proposed because the rows came at once, long after they happened (``init.loaded_at_once``)."""
    late = next((a for a in arrivals if a.follows and a.is_load), None)
    if late is None or known_column(arrivals) is not None:
        return ()
    return (
        Finding(
            code="init.loaded_at_once",
            severity=Severity.NOTE,
            what=f"'{late.column}' is named like a load time, but {_came(late)}: a history loaded anew.",
            why="As known_at it would hide the history from every past cutoff; without it, late rows count as known at once.",
            do=f'Keep it out, or write known_at = "{late.column}" where the rows really came so late.',
            numbers={
                "n_load_days": late.n_days,
                "n_event_days": late.n_event_days,
                "n_over_7_days": late.n_week,
                "n_rows": late.n_both,
            },
        ),
    )


def _came(late: Arrival) -> str:
    if late.is_one_load:
        return f"all {late.n_both:,} rows came on one day for {late.n_event_days:,} days of events"
    share = _share(late.n_week, late.n_both)
    return f"{late.n_week:,} of {late.n_both:,} rows ({share}) came more than 7 days after they happened, on {late.n_days:,} days for {late.n_event_days:,} days of events"


def delay_text(us: float) -> str:
    """A delay in the unit that suits it.

    >>> delay_text(0), delay_text(95_000_000), delay_text(36 * 3_600_000_000)
    ('less than a second', '1.6 minutes', '1.5 days')
    """
    units = ((_DAY_US, "days"), (_HOUR_US, "hours"), (_MINUTE_US, "minutes"), (_SECOND_US, "seconds"))
    return next((f"{us / size:.1f} {unit}" for size, unit in units if us >= size), "less than a second")


def _strength(look: Look) -> int:
    return max(
        (
            n
            for word, n in _WORDS.items()
            for w in look.words
            if word == w or (not word.isascii() and word in w)
        ),
        default=0,
    )


def _times(relation: Relation, facts: Facts, named: Sequence[Look]) -> Sql:
    """The time of the event and each candidate as the gate will read them, in UTC."""
    source = Source(path="", user="", at=facts.at.column, at_format=facts.reading.at_format)
    columns = [facts.at, *named]
    read = [
        sql("{t} AS {n}", t=time_column(look.column, source, look.engine_type, "UTC"), n=name(called))
        for look, called in zip(columns, ["at_us", *(f"known {i}" for i in range(len(named)))], strict=True)
    ]
    raw = [sql("{c} AS {r}", c=name(k.column), r=raw_name(k.column)) for k in columns]
    return sql(
        "(SELECT {read} FROM (SELECT {raw} FROM {rows}) AS written) AS times",
        read=commas(read),
        raw=commas(raw),
        rows=relation.rows,
    )


def _counts(known: Sql) -> list[Sql]:
    delay = sql("{k} - at_us", k=known)
    return [
        sql("count({k})", k=known),
        sql("count({d})", d=delay),
        sql("count(*) FILTER (WHERE {k} >= at_us)", k=known),
        sql("count(*) FILTER (WHERE {k} > at_us)", k=known),
        *(sql("count(*) FILTER (WHERE {d} > {us})", d=delay, us=us) for us in (_WEEK_US, _MONTH_US)),
        shim("approx_quantiles", sql("CAST({d} AS DOUBLE)", d=delay), 0.5),
        sql("count(DISTINCT {day})", day=_day(known)),
    ]


def _day(us: Sql) -> Sql:
    return sql("floor({us} / 86400000000.0)", us=us)


def _arrival(look: Look, n_rows: int, n_event_days: int, found: Sequence[Any]) -> Arrival:
    n_filled, n_both, n_not_before, n_later, n_week, n_month, quantiles, n_days = found
    (median,) = quantiles or (0.0,)
    return Arrival(
        column=look.column, is_load=_strength(look) > 1, n_rows=n_rows, n_filled=n_filled, n_both=n_both,
        n_not_before=n_not_before, n_later=n_later, n_week=n_week, n_month=n_month, median_us=float(median),
        n_days=n_days, n_event_days=n_event_days,
    )  # fmt: skip


def _share(n: int, of: int) -> str:
    return "100%" if n == of else f"{min(n / of, 0.9999):.2%}"
