"""The parts the columns play, and what a contract must know about them, counted over all rows of the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from headwater.contracts.looks import Look, time_readings
from headwater.contracts.roles import (
    best,
    event_score,
    is_keepable,
    is_total,
    money_score,
    order_score,
    price_score,
    quantity_score,
    time_score,
    user_score,
)
from headwater.contracts.typing import raw_name, time_column
from headwater.core.contract import Source
from headwater.core.errors import ConfigError, near_miss
from headwater.core.span import day_of
from headwater.engine.engine import Engine
from headwater.engine.sources import Relation
from headwater.engine.sql import Sql, name, shim, sql

__all__ = ["Facts", "Reading", "Roles", "choose_roles", "facts_of", "is_reserved", "repeats_of"]

_DAY_US = 86_400_000_000
_REPEAT_ROWS = 2_000_000
_MAX_KEEP = 8
_EARLIEST, _LATEST = date(1990, 1, 1), date(2099, 12, 31)
_RESERVED = frozenset({
    "user_id", "event", "at_us", "known_us", "app_day", "known_day", "at_offset", "at_twice", "broken", "codes", "source_file",
    "source_row", "raw", "line_hash", "is_broken", "nothing",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which column plays which part. ``money`` is a total, or with ``quantity`` the price of one."""

    user: Look
    times: tuple[Look, ...]
    event: Look | None
    money: Look | None
    quantity: Look | None
    order: Look | None
    keep: tuple[Look, ...]
    money_as_text: Look | None

    @property
    def taken(self) -> tuple[str, ...]:
        """The columns that play a part besides the time."""
        parts = (self.user, self.event, self.money, self.quantity, self.order, *self.keep)
        return tuple(look.column for look in parts if look is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read the time column: rows read, first and last app day in UTC, rows with a time of day, rows after today."""

    at_format: str | None
    n_read: int
    first_day: int
    last_day: int
    n_clock: int
    n_future: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Counts over all rows. ``rival`` is another reading of the time that fits as well and gives other days."""

    n_rows: int
    n_user: int
    n_at: int
    at: Look
    reading: Reading
    rival: Reading | None
    offsets: tuple[str, ...]
    n_naive: int
    n_money: int
    n_money_unread: int
    n_money_not_above_zero: int
    n_quantity_not_above_zero: int
    n_quantity_fraction: int


def choose_roles(looks: Sequence[Look], *, user: str | None = None, at: str | None = None) -> Roles:
    """Give the columns their parts; ``user`` and ``at`` settle theirs. Raises ``ConfigError`` (``init.no_user``, ``init.no_time``)."""
    who = _named(looks, user) or next(iter(best(looks, user_score, at_least=3)), None)
    if who is None:
        raise _nobody(looks)
    rest = [look for look in looks if look is not who]
    times = (_named(looks, at),) if at is not None else best(rest, time_score, at_least=2)
    when = tuple(t for t in times if t is not None and time_readings(t))
    if not when:
        raise no_time(looks, at)
    rest = [look for look in rest if look is not when[0]]
    event = next(iter(best(rest, event_score, at_least=3)), None)
    rest = [look for look in rest if look is not event and not is_reserved(look.column)]
    money, quantity = _money(rest)
    rest = [look for look in rest if look is not money and look is not quantity]
    order = next(iter(best(rest, order_score, at_least=4)), None)
    keep = [look for look in rest if look is not order and is_keepable(look)]
    return Roles(
        user=who,
        times=when,
        event=event,
        money=money,
        quantity=quantity,
        order=order,
        keep=tuple(keep[:_MAX_KEEP]),
        money_as_text=None if money else _money_as_text(rest),
    )


def facts_of(engine: Engine, relation: Relation, roles: Roles, *, today: date | None) -> Facts:
    """Count over all rows; a time column that mostly cannot be read gives way to the next. Raises ``ConfigError`` (``init.no_time``)."""
    for at in roles.times:
        facts = _facts(engine, relation, roles, at, today=today)
        if facts is not None:
            return facts
    raise no_time(roles.times, roles.times[0].column)


def repeats_of(engine: Engine, relation: Relation) -> tuple[int, int]:
    """How many rows repeat an earlier one exactly, and among how many first rows (at most 2,000,000)."""
    columns = [name(c) for c, _ in relation.columns]
    n, distinct = engine.one(
        sql(
            "SELECT count(*), count(DISTINCT h) FROM (SELECT {h} AS h FROM {rows} LIMIT {n})",
            h=shim("quick_hash", *columns),
            rows=relation.rows,
            n=_REPEAT_ROWS,
        )
    )
    return n - distinct, n


def is_reserved(column: str) -> bool:
    """Whether Headwater's own ``events`` has a column of this name, so that a source column cannot stand in a measure."""
    return column.casefold() in _RESERVED


def no_time(looks: Sequence[Look], at: str | None) -> ConfigError:
    """No column can be read as the time of the event."""
    seen = (
        f"'{at}' cannot be read as a time (it holds {_example(looks, at)})"
        if at
        else "no column looks like the time of the event"
    )
    return ConfigError(
        "init.no_time",
        what=f"In {_columns(looks)}, {seen}.",
        why="Without a time there is no before and after, so nothing can be predicted or checked.",
        do="Name the column with --at COLUMN; write times as 2026-08-01 09:30:00, or as epoch seconds in a column called timestamp.",
    )


def _named(looks: Sequence[Look], column: str | None) -> Look | None:
    if column is None:
        return None
    found = next((look for look in looks if look.column == column), None)
    if found is None:
        raise ConfigError(
            "source.missing_column",
            what=f"There is no column '{column}'.",
            why="It cannot be the user or the time.",
            do=near_miss(column, [look.column for look in looks]),
        )
    return found


def _nobody(looks: Sequence[Look]) -> ConfigError:
    return ConfigError(
        "init.no_user",
        what=f"In {_columns(looks)}, none looks like the user.",
        why="Every number here is about users; without an id that repeats there is nobody to follow.",
        do="Name the column with --user COLUMN, or call it user_id; if the first line is data, add a line of column names above it.",
    )


def _columns(looks: Sequence[Look]) -> str:
    names = ", ".join(look.column for look in looks[:12]) + (" ..." if len(looks) > 12 else "")
    return f"the {len(looks)} columns ({names})" if len(looks) > 1 else f"the only column ({names})"


def _example(looks: Sequence[Look], column: str) -> str:
    found = next((look.examples for look in looks if look.column == column), ())
    return f"'{found[0][:40]}'" if found else "no value"


def _money(looks: Sequence[Look]) -> tuple[Look | None, Look | None]:
    """The amount, and the quantity to multiply it by where the amount is the price of one."""
    found = best(looks, money_score, at_least=4)
    if not found:
        return None, None
    total = next((look for look in found if is_total(look)), None)
    price = next((look for look in found if price_score(look) >= 4), None)
    quantity = next(
        iter(best([look for look in looks if look is not price], quantity_score, at_least=2)), None
    )
    if total is not None or price is None:
        return total or found[0], None
    return price, quantity


def _money_as_text(looks: Sequence[Look]) -> Look | None:
    """A column of amounts written with currency signs or thousands marks, which no engine reads as a number."""
    return next(
        (look for look in looks if look.share(look.n_money_text) > 0.5 and not time_readings(look)), None
    )


def _facts(engine: Engine, relation: Relation, roles: Roles, at: Look, *, today: date | None) -> Facts | None:
    forms = time_readings(at)
    readings = [c for i in range(len(forms)) for c in _reading(i, today)]
    query = sql(
        "SELECT {fixed}, {readings} FROM {rows}",
        fixed=_fixed(roles),
        readings=readings,
        rows=_rows(relation, roles, at, forms),
    )
    row = engine.one(query)
    fixed, spans = row[: -len(readings)], row[-len(readings) :]
    found = [_as_reading(form, spans[5 * i : 5 * (i + 1)]) for i, form in enumerate(forms)]
    chosen = min(found, key=lambda r: (-r.n_read, r.last_day - r.first_day))
    n_rows, n_user, n_at, offsets, n_naive, *amounts = fixed
    if n_at == 0 or chosen.n_read / n_at < 0.5:
        return None
    n_money, money_unread, money_low, quantity_low, quantity_fraction = amounts
    return Facts(
        n_rows=n_rows, n_user=n_user, n_at=n_at, at=at, reading=chosen, rival=_rival(chosen, found),
        offsets=tuple(o for o in offsets or () if o), n_naive=n_naive, n_money=n_money, n_money_unread=money_unread,
        n_money_not_above_zero=money_low, n_quantity_not_above_zero=quantity_low, n_quantity_fraction=quantity_fraction,
    )  # fmt: skip


def _rows(relation: Relation, roles: Roles, at: Look, forms: Sequence[str | None]) -> Sql:
    """All rows with the user, the time in each reading, and the amounts as numbers."""
    columns = [look.column for look in (roles.user, at, roles.money, roles.quantity) if look is not None]
    raw = [sql("{c} AS {r}", c=name(c), r=raw_name(c)) for c in dict.fromkeys(columns)]
    return sql(
        "(SELECT *, {money} AS money, {quantity} AS quantity, {who} AS who, {text} AS at_text, {read} FROM (SELECT {raw} FROM {rows}))",
        money=_number(roles.money), quantity=_number(roles.quantity), who=_text(roles.user), text=_text(at),
        read=[sql("{t} AS {n}", t=_instant(at, form), n=name(f"at {i}")) for i, form in enumerate(forms)],
        raw=raw, rows=relation.rows,
    )  # fmt: skip


def _rival(chosen: Reading, found: Sequence[Reading]) -> Reading | None:
    """Another reading that reads as many values and gives other days."""
    days = (chosen.first_day, chosen.last_day)
    return next((r for r in found if r.n_read == chosen.n_read and (r.first_day, r.last_day) != days), None)


def _fixed(roles: Roles) -> list[Sql]:
    money = _text(roles.money)
    offset = sql(
        "CASE WHEN {has} OR at_text LIKE '% UTC' THEN regexp_extract(at_text, '(Z|UTC|[+-]\\d\\d(:?\\d\\d)?)$', 1) ELSE '' END",
        has=shim("has_offset", sql("at_text")),
    )
    return [
        sql("count(*)"),
        sql("count(who)"),
        sql("count(at_text)"),
        sql("list_slice(list_sort(list(DISTINCT {o})), 1, 20)", o=offset),
        sql("count(*) FILTER (WHERE {o} = '')", o=offset),
        sql("count({m})", m=money),
        sql("count(*) FILTER (WHERE {m} IS NOT NULL AND (money IS NULL OR NOT isfinite(money)))", m=money),
        sql("count(*) FILTER (WHERE money <= 0)"),
        sql("count(*) FILTER (WHERE quantity <= 0)"),
        sql("count(*) FILTER (WHERE isfinite(quantity) AND quantity <> floor(quantity))"),
    ]


def _text(look: Look | None) -> Sql:
    return (
        sql("nullif(trim(CAST({r} AS VARCHAR)), '')", r=raw_name(look.column))
        if look
        else sql("CAST(NULL AS VARCHAR)")
    )


def _number(look: Look | None) -> Sql:
    return sql("TRY_CAST({t} AS DOUBLE)", t=_text(look))


def _instant(at: Look, form: str | None) -> Sql:
    """The time as the gate will read it, in UTC, where it lies between 1990 and 2099."""
    source = Source(path="", user="", at=at.column, at_format=form)
    us = time_column(at.column, source, at.engine_type, "UTC")
    return sql(
        "CASE WHEN {us} >= {low} AND {us} < {high} THEN {us} END",
        us=us,
        low=day_of(_EARLIEST) * _DAY_US,
        high=(day_of(_LATEST) + 1) * _DAY_US,
    )


def _reading(index: int, today: date | None) -> list[Sql]:
    us = name(f"at {index}")
    end = (day_of(today or _LATEST) + 1) * _DAY_US
    return [
        sql("count({us})", us=us),
        sql("coalesce(min({us}) FILTER (WHERE {us} < {end}), 0)", us=us, end=end),
        sql("coalesce(max({us}) FILTER (WHERE {us} < {end}), 0)", us=us, end=end),
        sql("count(*) FILTER (WHERE {us} % {day} <> 0)", us=us, day=_DAY_US),
        sql("count(*) FILTER (WHERE {us} >= {end})", us=us, end=end),
    ]


def _as_reading(form: str | None, found: Sequence[int]) -> Reading:
    n_read, first, last, clock, future = found
    return Reading(
        at_format=form,
        n_read=n_read,
        first_day=first // _DAY_US,
        last_day=last // _DAY_US,
        n_clock=clock,
        n_future=future,
    )
