"""What customers are worth, put together for people: totals with honest intervals, deciles, cohorts, users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from headwater.app.heavy import HeavyUser, heavy_users
from headwater.app.plan import is_net
from headwater.app.study import ForecastStep, Study
from headwater.core.answer import Estimate
from headwater.core.block import Cell, Field, Form, Grid
from headwater.core.contract import Events
from headwater.core.ledger import Ledger, Snapshot, Task
from headwater.core.span import date_of
from headwater.core.table import Kind
from headwater.engine.arrays import column_floats
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, name, shim, sql
from headwater.evaluation.grouping import TENURE
from headwater.evaluation.totals import group_intervals
from headwater.numerics.intervals import interval_of_total

__all__ = [
    "MONTH",
    "Tenth",
    "Worth",
    "cohort_grid",
    "group_grids",
    "group_totals",
    "tenth_grid",
    "user_grid",
    "value_form",
    "weekly_rows",
    "worth_of",
]

MONTH = "month"
"""The kind of group of users first seen in one month."""

_YEAR = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenth:
    """One tenth of users by forecast; 10 is the most valuable."""

    tenth: int
    n_users: int
    total: float
    share: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """A forecast and its total, beside what all users brought in the window just ended and a year ago.

    ``last_year`` is None where the log does not hold that window whole. ``heavy`` users alone are a large part of it.
    """

    forecast: ForecastStep
    total: Estimate
    last_window: float
    last_year: float | None
    tenths: tuple[Tenth, ...]
    heavy: tuple[HeavyUser, ...] = ()

    @property
    def task(self) -> Task:
        """What was forecast."""
        return self.forecast.task

    @property
    def top(self) -> Tenth:
        """The most valuable tenth."""
        return self.tenths[-1]


def worth_of(study: Study, forecast: ForecastStep, *, beside: Worth | None = None) -> Worth:
    """Add a forecast up: users' variances add, the error they share does not average out.

    ``beside`` is the worth of the same task by another model: what the past windows brought is taken from it.
    """
    scan = table_scan(forecast.rows)
    total, variance, n = study.engine.one(
        sql("SELECT sum(forecast), sum(variance), count(*) FROM {s}", s=scan)
    )
    tenths = study.engine.rows(
        sql(
            "SELECT tenth, count(*), sum(forecast), avg(forecast) FROM (SELECT forecast, ntile(10) OVER (ORDER BY forecast, user_id) AS tenth FROM {s})"
            " GROUP BY tenth ORDER BY tenth",
            s=scan,
        )
    )
    return Worth(
        forecast=forecast,
        total=_total_estimate(
            forecast, total, variance, n, is_gross=not is_net(study.ledger(), forecast.task)
        ),
        last_window=beside.last_window if beside else _last_window(study, forecast.task),
        last_year=beside.last_year if beside else _same_window_last_year(study, forecast.task),
        tenths=tuple(
            Tenth(tenth=t, n_users=k, total=s, share=s / total if total else 0.0, mean=m)
            for t, k, s, m in tenths
        ),
        heavy=heavy_users(
            study.engine,
            study.ledger(),
            forecast.rows,
            forecast.task,
            value=_so_far(study.ledger(), forecast.task),
        ),
    )


def _total_estimate(
    forecast: ForecastStep, total: float, variance: float, n_users: int, *, is_gross: bool
) -> Estimate:
    """The total of all users with its interval, which does not begin below zero where nothing is given back."""
    task, shared = forecast.task, forecast.shared_error
    low, high = interval_of_total(total, variance, shared.share, shared.windows, task.level)
    low = min(max(low, 0.0), total) if is_gross else low
    return Estimate(
        estimand=f"{task.value} of {n_users:,} users in the {task.horizon_days} days from {date_of(forecast.cutoff)}",
        value=total,
        low=low,
        high=high,
        level=task.level,
        unit=task.unit,
        n_users=n_users,
        method=(
            f"{forecast.model}; users' variances added; an error of {shared.share:.1%} that all share, from "
            f"{shared.n_origins} past origins (as good as {shared.windows:.1f} that do not overlap), Student t"
        ),
        std_error=sqrt(variance + (shared.share * total) ** 2),
    )


def value_form(ledger: Ledger, task: Task) -> Form:
    """Money shows two decimals, counts show one."""
    kinds = {m.label: m.kind for m in ledger.measures}
    return Form.MONEY if kinds.get(task.value) is Kind.MONEY else Form.NUMBER


def tenth_grid(worth: Worth, form: Form) -> Grid:
    """Forecast by tenth of users."""
    unit = worth.task.unit
    fields = (
        Field(name="tenth", label="Tenth by forecast", form=Form.INTEGER, note="10 is the most valuable"),
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="total", label="Forecast, total", form=form, unit=unit),
        Field(name="share", label="Share of all", form=Form.SHARE),
        Field(name="mean", label="Forecast, mean", form=form, unit=unit),
    )
    rows = [(t.tenth, t.n_users, t.total, t.share, t.mean) for t in reversed(worth.tenths)]
    return Grid.of(f"tenths_{_name(worth)}", "Where the value is", fields, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grouped:
    totals: dict[str, dict[str, Estimate]]


def group_totals(study: Study, worth: Worth, snapshot: Snapshot) -> dict[str, dict[str, Estimate]]:
    """The totals of months first seen, of bands of tenure and of each attribute's values, with their intervals."""
    forecast = worth.forecast
    key = {
        "forecast": forecast.rows.fingerprint,
        "snapshot": snapshot.rows.fingerprint,
        "shared": asdict(forecast.shared_error),
        "task": worth.task,
    }
    made = study.step("groups", key, _Grouped, lambda _: _Grouped(totals=_grouped(study, forecast, snapshot)))
    return made.totals


def _grouped(study: Study, forecast: ForecastStep, snapshot: Snapshot) -> dict[str, dict[str, Estimate]]:
    task = forecast.task
    rows = forecast.rows.to_arrow(("forecast", "variance"))
    mean, variance = column_floats(rows, "forecast"), column_floats(rows, "variance")
    return {
        kind: group_intervals(
            mean,
            variance=variance,
            groups=groups,
            shared=forecast.shared_error,
            kind=kind,
            level=task.level,
            unit=task.unit,
            estimand=f"{task.value} in {task.horizon_days} days",
            at_least=None if is_net(study.ledger(), task) else 0.0,
        )
        for kind, groups in study.groups(snapshot, forecast.cutoff).items()
    }


def group_grids(totals: dict[str, dict[str, Estimate]], worth: Worth, form: Form) -> tuple[Grid, ...]:
    """A table for each attribute: what its groups are expected to bring, the most valuable first; tenure in its order."""
    unit = worth.task.unit
    fields = (
        Field(name="group", label="Group"),
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="forecast", label=f"Next {worth.task.horizon_days} days", form=form, unit=unit),
        Field(name="low", label="Low", form=form, unit=unit),
        Field(name="high", label="High", form=form, unit=unit),
        Field(name="mean", label="Per user", form=form, unit=unit),
    )
    return tuple(
        Grid.of(
            f"group_{at}_{_name(worth)}",
            f"By {kind}",
            fields,
            [
                (name, e.n_users, e.value, e.low, e.high, e.value / e.n_users)
                for name, e in (
                    found.items()
                    if kind == TENURE
                    else sorted(found.items(), key=lambda item: -item[1].value)
                )
                if e.n_users
            ],
            note=f"Intervals at {worth.task.level:.0%}: {next(iter(found.values())).method}.",
        )
        for at, (kind, found) in enumerate(totals.items())
        if kind != MONTH
    )


def cohort_grid(
    engine: Engine, ledger: Ledger, worth: Worth, form: Form, totals: dict[str, Estimate]
) -> Grid:
    """Users by month first seen: what they brought so far, what they are expected to bring."""
    so_far = sql(
        "SELECT user_id, {v} AS so_far FROM {d} GROUP BY user_id",
        v=_so_far(ledger, worth.task),
        d=table_scan(ledger.days),
    )
    rows = engine.rows(
        sql(
            "SELECT {month} AS cohort, count(*), sum(so_far), sum(f.forecast) FROM {users} u JOIN {f} f USING (user_id)"
            " JOIN ({so_far}) s USING (user_id) GROUP BY cohort ORDER BY cohort",
            month=shim("month_of_day", sql("u.first_day")),
            users=table_scan(ledger.users),
            f=table_scan(worth.forecast.rows),
            so_far=so_far,
        )
    )
    unit = worth.task.unit
    fields = (
        Field(name="cohort", label="First seen"),
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="so_far", label="So far", form=form, unit=unit),
        Field(name="so_far_mean", label="So far, per user", form=form, unit=unit),
        Field(name="forecast", label=f"Next {worth.task.horizon_days} days", form=form, unit=unit),
        Field(name="low", label="Low", form=form, unit=unit),
        Field(name="high", label="High", form=form, unit=unit),
        Field(
            name="forecast_mean", label=f"Next {worth.task.horizon_days} days, per user", form=form, unit=unit
        ),
    )
    return Grid.of(
        f"cohorts_{_name(worth)}",
        "By month first seen",
        fields,
        [_cohort_row(r, totals.get(r[0])) for r in rows],
        note=f"Intervals at {worth.task.level:.0%} for each cohort; they do not add up. Users first seen at the left edge of the log may be older customers.",
    )


def user_grid(engine: Engine, events: Events, ledger: Ledger, worth: Worth, form: Form) -> Grid:
    """Every user with the forecast, the most valuable first, streamed."""
    unit, task = worth.task.unit, worth.task
    query = sql(
        "SELECT f.user_id, f.forecast, f.low, f.high, s.so_far, {last} AS last_on, {first} AS first_on, f.at_left_edge FROM {f} f"
        " JOIN (SELECT user_id, {v} AS so_far, max(app_day) AS last_day, min(app_day) AS first_day FROM {d} GROUP BY user_id) s USING (user_id) ORDER BY f.forecast DESC, f.user_id",
        last=shim("iso_of_day", sql("s.last_day")),
        first=shim("iso_of_day", sql("s.first_day")),
        f=table_scan(worth.forecast.rows),
        v=_so_far(ledger, task),
        d=table_scan(ledger.days),
    )
    fields = (
        Field(name="user_id", label=events.contract.source.user, form=Form.ID),
        Field(
            name="forecast",
            label=f"Next {task.horizon_days} days",
            form=form,
            unit=unit,
            note="expected value",
        ),
        Field(
            name="low",
            label="Low",
            form=form,
            unit=unit,
            note=f"{task.level:.0%} of users end above low and below high",
        ),
        Field(
            name="high",
            label="High",
            form=form,
            unit=unit,
            note="the forecast itself where nearly all past users of that size brought less",
        ),
        Field(name="so_far", label="So far", form=form, unit=unit),
        Field(name="last_on", label="Last seen", form=Form.DATE),
        Field(name="first_on", label="First seen", form=Form.DATE),
        Field(
            name="at_left_edge",
            label="May be older",
            form=Form.BOOLEAN,
            note="first seen at the left edge of the log",
        ),
    )
    return Grid(
        name=f"users_{_name(worth)}",
        title=f"{task.horizon_days} days of {task.measure.replace('_', ' ')}: every customer, the most valuable first",
        fields=fields,
        n_rows=worth.total.n_users,
        stream=lambda: _streamed(engine, query),
        preview=20,
    )


def weekly_rows(engine: Engine, ledger: Ledger, task: Task) -> list[tuple[Cell, ...]]:
    """Week's first day, value, active users; whole weeks only, a silent week as zero."""
    first = ledger.first_day + (-ledger.first_day - 3) % 7
    week = shim("integer_division", sql("(app_day - {f})", f=first), 7)
    rows = engine.rows(
        sql(
            "SELECT {week} AS week, {v}, count(DISTINCT user_id) FROM {d} WHERE app_day >= {f} AND app_day < {e} GROUP BY week",
            week=week,
            v=_of_all(ledger, task),
            d=table_scan(ledger.days),
            f=first,
            e=ledger.end_day - (ledger.end_day - first) % 7,
        )
    )
    seen = {int(w): (v, n) for w, v, n in rows}
    weeks = range(max(0, ledger.end_day - first) // 7)
    return [(date_of(first + 7 * w).isoformat(), *seen.get(w, (0.0, 0))) for w in weeks]


def _so_far(ledger: Ledger, task: Task) -> Sql:
    if task.value == "active_days":
        return sql("CAST(count(DISTINCT app_day) AS DOUBLE)")
    measure = next(m for m in ledger.measures if m.label == task.value)
    return sql("(CAST(sum({m}) AS DOUBLE) / {s})", m=name(measure.name), s=float(measure.scale))


def _cohort_row(row: tuple[Any, ...], total: Estimate | None) -> tuple[Cell, ...]:
    cohort, n, so_far, forecast = row
    low, high = (total.low, total.high) if total else (None, None)
    return (cohort, n, so_far, so_far / n, forecast, low, high, forecast / n)


def _last_window(study: Study, task: Task) -> float:
    """What all users, new ones included, brought in the horizon just before today."""
    return _brought(study, task, study.ledger().end_day - task.horizon_days)


def _same_window_last_year(study: Study, task: Task) -> float | None:
    ledger = study.ledger()
    start = ledger.end_day - _YEAR
    return _brought(study, task, start) if start >= ledger.first_day else None


def _brought(study: Study, task: Task, start: int) -> float:
    ledger = study.ledger()
    inside = sql("app_day >= {a} AND app_day < {b}", a=start, b=start + task.horizon_days)
    query = sql(
        "SELECT coalesce({v}, 0) FROM {d} WHERE {i}",
        v=_of_all(ledger, task),
        d=table_scan(ledger.days),
        i=inside,
    )
    return float(study.engine.one(query)[0])


def _of_all(ledger: Ledger, task: Task) -> Sql:
    """The value of several users together: an active day of two users is two."""
    if task.value == "active_days":
        return sql("CAST(count(DISTINCT (user_id, app_day)) AS DOUBLE)")
    return _so_far(ledger, task)


def _streamed(engine: Engine, query: Sql) -> Iterator[tuple[Cell, ...]]:
    for batch in engine.batches(query):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _name(worth: Worth) -> str:
    return f"{worth.task.measure}_{worth.task.horizon_days}d"
