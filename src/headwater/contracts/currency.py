"""Money in several currencies, in the app's: by the rate of its app day, or the last one known not too long before.

``amount = round(original x rate)`` on whole micro-units, half away from zero; the rate is a whole number of
10^-12. No floating-point number takes part, so a total does not depend on order, threads or engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa

from headwater.contracts.kinds import RATE_SCALE
from headwater.contracts.link import Link, Span
from headwater.contracts.plan import CheckPlan
from headwater.contracts.rule import BrokenWhen
from headwater.contracts.typing import TypedColumn
from headwater.core.contract import App
from headwater.core.errors import DataError
from headwater.core.sources import Sourced
from headwater.core.span import date_of
from headwater.core.table import Kind
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, disjunction, name, shim, sql

__all__ = ["RATE_USED", "Rates", "hold_rates", "in_app_currency", "rates_of", "round_half_away"]

RATE_USED = "fx_rate_e12"
_DAY_US = 86_400_000_000
_HELD = "exchange rates"

Rates = Mapping[str, Mapping[int, int]]


def rates_of(engine: Engine, fx: Sourced) -> Rates:
    """Currency, app day, rate (10^-12). Raises ``DataError`` (``currency.two_rates``) where a day has two."""
    rows = engine.rows(
        sql("SELECT currency, app_day, rate_e12 FROM {s} s ORDER BY 1, 2, 3", s=table_scan(fx.rows))
    )
    found: dict[str, dict[int, int]] = {}
    for currency, day, rate in rows:
        known = found.setdefault(str(currency), {}).setdefault(int(day), int(rate))
        if known != rate:
            raise DataError(
                "currency.two_rates",
                what=f"The exchange rates give {currency} on {date_of(day)} two values: {known / RATE_SCALE:g} and {rate / RATE_SCALE:g}.",
                why="Which one holds cannot be known.",
                do="Take one of them out of the file of rates.",
            )
    return found


def hold_rates(engine: Engine, rates: Rates, *, app: App) -> None:
    """Hold one row a currency and day: the rate of the day, else the last one at most ``app.fx_max_age_days`` old."""
    currencies: list[str] = []
    days: list[int] = []
    values: list[int] = []
    for currency, known in rates.items():
        for day, rate in _every_day(known, max_age=app.fx_max_age_days):
            currencies.append(currency)
            days.append(day)
            values.append(rate)
    table = pa.table(
        {
            "fx currency": pa.array(currencies, pa.string()),
            "fx day": pa.array(days, pa.int32()),
            "fx rate": pa.array([Decimal(v).scaleb(-12) for v in values], pa.decimal128(19, 12)),
        }
    )
    engine.register(_HELD, table)


def in_app_currency(
    plan: CheckPlan,
    *,
    app: App,
    money: Sequence[str],
    currency: Sql,
    original: Mapping[str, str],
    rates: Rates,
) -> CheckPlan:
    """The plan with its money columns in the app's currency; call ``hold_rates`` before it runs.

    Parameters
    ----------
    money
        Typed columns to convert. A row in which one of them has no rate breaks ``currency.no_rate``; one whose
        result does not fit breaks ``currency.too_large``.
    currency
        SQL over typed rows that gives the row's currency.
    original
        The name under which each money column is kept as it came.
    rates
        What ``hold_rates`` was given.
    """
    code = sql("upper({c})", c=currency)
    day = sql("CAST(floor(at_us / 86400000000.0) AS INTEGER)") if plan.zone == "UTC" else shim("local_day", sql("at_us"), plan.zone)  # fmt: skip
    home = sql("{c} = {app}", c=code, app=app.currency.upper())
    used = sql(
        "CASE WHEN {home} THEN {one} ELSE CAST({r} * {one} AS BIGINT) END",
        home=home,
        one=RATE_SCALE,
        r=name("fx rate"),
    )
    link = Link(
        held=_HELD,
        on=sql("{rate_of} = {c} AND {on} = {day} AND NOT ({home})", rate_of=name("fx currency"), c=code, on=name("fx day"), day=day, home=home),
        values={RATE_USED: used}
        | {c: sql("CASE WHEN {home} THEN {c} ELSE {v} END", home=home, c=name(c), v=_converted(name(c))) for c in money},
        print=lambda span: _rates_print(rates, app, span),
    )  # fmt: skip
    typed = {t.column: t for t in plan.typed}
    came = [replace(typed[c], column=original[c], unreadable=None) for c in money]
    rate = TypedColumn(
        column=RATE_USED, kind=Kind.INTEGER, value=sql("CAST(NULL AS BIGINT)"), unreadable=None
    )
    return replace(
        plan,
        typed=(*plan.typed, *came, rate),
        links=(*plan.links, link),
        checks=(*plan.checks, *((one, None) for one in _checks(money, original))),
    )


def _converted(amount: Sql) -> Sql:
    """An amount of micro-units times the rate, rounded half away from zero; NULL without a rate or beyond 64 bits."""
    return sql(
        "TRY_CAST(round(TRY_CAST({a} AS DECIMAL(18, 0)) * {r}, 0) AS BIGINT)", a=amount, r=name("fx rate")
    )


def _checks(money: Sequence[str], original: Mapping[str, str]) -> tuple[BrokenWhen, BrokenWhen]:
    there = disjunction([sql("{o} IS NOT NULL", o=name(original[c])) for c in money])
    lost = disjunction(
        [sql("({o} IS NOT NULL AND {c} IS NULL)", o=name(original[c]), c=name(c)) for c in money]
    )
    return (
        BrokenWhen(
            code="currency.no_rate",
            about="no exchange rate of this currency is known for the day, nor from shortly before",
            condition=sql("({r} IS NULL AND ({t}))", r=name(RATE_USED), t=there),
            proposal='Add the rate to the source of kind "fx", or raise fx_max_age under [app].',
        ),
        BrokenWhen(
            code="currency.too_large",
            about="the amount in the app's currency does not fit 64 bits of micro-units",
            condition=sql("({r} IS NOT NULL AND ({l}))", r=name(RATE_USED), l=lost),
        ),
    )


def _rates_print(rates: Rates, app: App, span: Span | None) -> str:
    """The rates that rows of a span can meet, a day of any zone before and after it."""
    first, last = (span[0] // _DAY_US - 2, span[1] // _DAY_US + 2) if span is not None else (None, None)
    told = [
        (currency, day, rate)
        for currency in sorted(rates)
        for day, rate in _every_day(rates[currency], max_age=app.fx_max_age_days)
        if first is None or last is None or first <= day <= last
    ]
    return hashlib.sha256(repr((app.currency, told)).encode()).hexdigest()


def _every_day(known: Mapping[int, int], *, max_age: int) -> Iterator[tuple[int, int]]:
    """Each day on which a rate holds, and the rate."""
    days = sorted(known)
    for day, later in zip(days, [*days[1:], None], strict=True):
        end = day + max_age + 1 if later is None else min(later, day + max_age + 1)
        yield from ((d, known[day]) for d in range(day, end))


def round_half_away(original: int, rate_e12: int) -> int:
    """An amount in micro-units at a rate, in plain Python.

    >>> round_half_away(5, 500_000_000_000), round_half_away(-5, 500_000_000_000)
    (3, -3)
    """
    whole, rest = divmod(abs(original) * rate_e12, RATE_SCALE)
    rounded = whole + (1 if rest * 2 >= RATE_SCALE else 0)
    return rounded if original >= 0 else -rounded
