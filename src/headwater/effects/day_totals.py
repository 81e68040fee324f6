"""Totals over days since a user's first exposure: what they are, and the SQL that reads them off user-days."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.core.ledger import Ledger
from headwater.core.table import Column, Kind, Table
from headwater.effects.exposed import Exposed
from headwater.engine.engine import table_scan
from headwater.engine.sql import Sql, commas, name, sql
from headwater.ledgers.days import on_days
from headwater.ledgers.measures import after_comma

__all__ = ["ACTIVE_DAYS", "MEMBERS", "OWNED", "DayTotal", "Read", "TotalsPlan", "contribution", "of_days"]

ACTIVE_DAYS = "active_days"
MEMBERS = "members of open cohorts"
OWNED = ("user_id", "arm", "exposed_day", "exposed_us", "exposed_hour", "is_triggered")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotal:
    """A measure (or ``active_days``) over days since first exposure: ``first`` to ``end``, exclusive; day 0 is that of the exposure.

    Days below zero lie before it. ``end`` None: to the end of the experiment. With ``is_first_day`` it is no
    sum but the first such day on which the measure was above zero, None while there is none.
    """

    name: str
    measure: str
    first: int = 0
    end: int | None = None
    is_first_day: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsPlan:
    """Which totals are asked, of whom, read off which ledger."""

    exposed: Exposed
    ledger: Ledger
    totals: tuple[DayTotal, ...]

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that are read."""
        return tuple(dict.fromkeys(t.measure for t in self.totals))

    @property
    def owned(self) -> tuple[Column, ...]:
        """What is taken over from the exposures."""
        wanted = {*OWNED, *self.exposed.keep}
        return tuple(c for c in self.exposed.users.columns if c.name in wanted)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the totals."""
        return (*self.owned, *(_column(t, self.ledger) for t in self.totals))

    def days_of(self, exposed_day: int) -> tuple[int, int]:
        """The days, end exclusive, that the totals of a user exposed on a day look at."""
        first = exposed_day + min(t.first for t in self.totals)
        ends = [self._end(t, exposed_day) for t in self.totals]
        return max(first, self.ledger.first_day), min(max(ends), self.ledger.end_day)

    def _end(self, total: DayTotal, exposed_day: int) -> int:
        if total.end is not None:
            return exposed_day + total.end
        return self.ledger.end_day if self.exposed.end_day is None else self.exposed.end_day

    def inside(self, total: DayTotal) -> Sql:
        """Whether a user-day ``d`` of a member ``m`` counts."""
        since = sql("d.app_day >= m.exposed_day + {f}", f=total.first)
        if total.end is not None:
            return sql("{s} AND d.app_day < m.exposed_day + {e}", s=since, e=total.end)
        end = self.exposed.end_day
        return since if end is None else sql("{s} AND d.app_day < {e}", s=since, e=end)


def _column(total: DayTotal, ledger: Ledger) -> Column:
    ends = "the experiment's end" if total.end is None else f"day {total.end - 1}"
    span = f"day {total.first} to {ends} since exposure"
    if total.is_first_day:
        return Column(
            name=total.name, kind=Kind.INTEGER, unit="days", about=f"first day with {total.measure}, {span}"
        )
    if total.measure == ACTIVE_DAYS:
        return Column(name=total.name, kind=Kind.INTEGER, unit="days", about=f"active days, {span}")
    measure = ledger.measure(total.measure)
    unit = f"1/{measure.scale:,} {measure.unit}" if measure.scale > 1 else measure.unit
    return Column(name=total.name, kind=measure.kind, unit=unit, about=f"{total.measure}, {span}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Days of a ledger, as it is or was, and whether a user has one row on each."""

    days: Table
    wanted: frozenset[int]
    one_row_a_day: bool


def contribution(plan: TotalsPlan, read: Read, *, who: Sql, sign: int = 1) -> Sql:
    """The totals of some days, by user, of the members ``m`` of whom ``who`` holds."""
    measured = [m for m in plan.measures if m != ACTIVE_DAYS]
    rows = sql(
        "SELECT user_id, app_day, n_events{m} FROM {s} s WHERE {i}",
        m=after_comma([name(m) for m in measured]),
        s=table_scan(of_days(read.days, read.wanted)),
        i=on_days(read.wanted),
    )
    if not read.one_row_a_day:
        sums = [sql("CAST(sum({m}) AS BIGINT) AS {m}", m=name(m)) for m in ("n_events", *measured)]
        rows = sql("SELECT user_id, app_day, {s} FROM ({r}) r GROUP BY user_id, app_day", s=commas(sums), r=rows)  # fmt: skip
    return sql(
        "SELECT m.user_id, {cells} FROM {members} m JOIN ({rows}) d ON m.user_id = d.user_id WHERE {who} GROUP BY m.user_id",
        cells=commas([_sum_cell(plan, t, sign) for t in plan.totals]),
        members=name(MEMBERS),
        rows=rows,
        who=who,
    )


def _sum_cell(plan: TotalsPlan, total: DayTotal, sign: int) -> Sql:
    is_active = total.measure == ACTIVE_DAYS
    value = (
        sql("CASE WHEN d.n_events > 0 THEN 1 ELSE 0 END")
        if is_active
        else sql("d.{m}", m=name(total.measure))
    )
    if total.is_first_day:
        return sql(
            "min(CASE WHEN {i} AND {v} > 0 THEN CAST(d.app_day - m.exposed_day AS BIGINT) END) AS {n}",
            i=plan.inside(total),
            v=value,
            n=name(total.name),
        )
    return sql(
        "CAST({s} * coalesce(sum(CASE WHEN {i} THEN {v} END), 0) AS BIGINT) AS {n}",
        s=sign,
        i=plan.inside(total),
        v=value,
        n=name(total.name),
    )


def of_days(table: Table, days: Collection[int]) -> Table:
    """The files of a table by day that can hold these days; others are not opened."""
    near = tuple(f for f in table.files if _day_of_file(f) in {*days, None})
    return replace(table, files=near or table.files[:1])


def _day_of_file(file: str) -> int | None:
    folder = Path(file).parent.name
    return int(folder.removeprefix("part=")) if folder.startswith("part=") else None
