"""Guesses that a person must confirm or be told about: time zone, currency, paying events, windows, and the findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headwater.contracts.facts import Facts, Roles, is_reserved
from headwater.contracts.looks import MAX_COLUMNS, Look, sample_rows, value_counts
from headwater.contracts.roles import currency_hint, sounds_like_money
from headwater.core.errors import ConfigError
from headwater.core.finding import Finding, Severity
from headwater.core.span import date_of
from headwater.engine.engine import Engine
from headwater.engine.sources import Relation

__all__ = [
    "Currency",
    "Window",
    "Zone",
    "check_proposal",
    "currency_of",
    "paying_events",
    "repeats_are_errors",
    "window_of",
    "zone_of",
]

_SIGNS = {
    "£": "GBP",
    "€": "EUR",
    "$": "USD",
    "₹": "INR",
    "₩": "KRW",
    "₺": "TRY",
    "₽": "RUB",
    "₫": "VND",
    "฿": "THB",
    "zł": "PLN",
}
_PAYING = (
    "purchase",
    "order",
    "pay",
    "buy",
    "bought",
    "checkout",
    "transaction",
    "sale",
    "renew",
    "subscri",
    "购买",
    "支付",
    "下单",
    "付款",
    "订单",
)
_REFUNDING = ("refund", "return", "chargeback", "退款", "退货")
_MOST_REPEATS = 0.2
_LADDER = (
    (("30d", "90d"), "4w", 236),
    (("14d", "30d"), "2w", 88),
    (("7d", "14d"), "1w", 42),
    (("3d", "7d"), "3d", 20),
    (("1d", "3d"), "1d", 8),
    (("1d",), "1d", 4),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """The zone that cuts the app's days, the zone of times without an offset where it is known, and why."""

    app: str
    source: str | None
    reason: str
    is_certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Currency:
    """The currency, why, whether the data say so, and how many currencies a currency column holds."""

    code: str
    reason: str
    is_certain: bool
    n_currencies: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a log of this length can hold: horizons, the distance of cutoffs, and the left edge in days."""

    horizons: tuple[str, ...]
    every: str
    left_edge_days: int


def window_of(n_days: int) -> Window:
    """Horizons that leave three origins, each with as much history as the longest horizon.

    ``2 x longest + 2 x every`` days are needed: 236 for 90 days every four weeks.
    """
    left_edge = 28 if n_days >= 112 else max(1, n_days // 8)
    fits = next(((h, e) for h, e, needed in _LADDER if n_days >= needed), ((), "1d"))
    return Window(horizons=fits[0], every=fits[1], left_edge_days=left_edge)


def zone_of(facts: Facts) -> Zone:
    """UTC, unless every time carries one offset."""
    form = facts.reading.at_format
    offsets = set(facts.offsets)
    if form is not None and form.startswith("epoch"):
        return Zone(
            app="UTC", source=None, reason="Epoch times are instants; days are cut in UTC.", is_certain=False
        )
    if not offsets:
        return Zone(
            app="UTC",
            source=None,
            reason="The times carry no offset, so they are read as UTC.",
            is_certain=False,
        )
    if offsets <= {"Z", "UTC", "+00:00", "+0000", "+00"}:
        utc = "UTC" if "UTC" in offsets else None
        return Zone(
            app="UTC",
            source=utc,
            reason="The times are written in UTC; days are cut in UTC.",
            is_certain=False,
        )
    if len(offsets) == 1 and not facts.n_naive:
        (offset,) = offsets
        return Zone(
            app=_fixed_zone(offset),
            source=None,
            reason=f"Every time carries the offset {offset}.",
            is_certain=False,
        )
    return Zone(
        app="UTC",
        source=None,
        reason=f"The times carry {len(offsets)} offsets ({', '.join(sorted(offsets)[:4])}).",
        is_certain=False,
    )


def _fixed_zone(offset: str) -> str:
    """``+08:00`` as ``Etc/GMT-8`` (POSIX counts westward); a zone without a name for its offset is left as UTC."""
    digits = offset[1:].replace(":", "").ljust(4, "0")
    if digits == "0530" and offset[0] == "+":
        return "Asia/Kolkata"
    hours = int(digits[:2])
    if digits[2:] != "00" or not 0 < hours <= 12:
        return "UTC"
    return f"Etc/GMT{'-' if offset[0] == '+' else '+'}{hours}"


def currency_of(engine: Engine, relation: Relation, roles: Roles, looks: Sequence[Look]) -> Currency:
    """The currency of a currency column, of a column name, or of a sign; else USD."""
    columns = [
        k.column
        for k in looks
        if {"currency", "币种", "货币"} & set(k.words) and k.n_distinct <= 200 and k.longest == 3
    ]
    if columns:
        (counted,) = value_counts(engine, relation, columns[:1])
        codes = {c: n for c, n in counted.items() if c.isascii() and c.isalpha()}
        if codes:
            most = max(codes, key=lambda c: codes[c])
            return Currency(
                code=most.upper(),
                reason=f"'{columns[0]}' says {most} most often.",
                is_certain=len(codes) == 1,
                n_currencies=len(codes),
            )
    paid = roles.money or roles.money_as_text
    if paid is not None and (code := currency_hint(paid)):
        return Currency(code=code, reason=f"The name '{paid.column}' says so.", is_certain=False)
    for look in (roles.money_as_text, *looks):
        sign = next(
            (
                s
                for s in _SIGNS
                if look is not None
                and look.share(look.n_money_text) > 0.5
                and any(s in e for e in look.examples)
            ),
            None,
        )
        if sign is not None:
            return Currency(code=_SIGNS[sign], reason=f"Amounts are written with {sign}.", is_certain=False)
    if paid is not None and any("\u4e00" <= c <= "\u9fff" for c in paid.column):
        return Currency(
            code="CNY", reason=f"The name '{paid.column}' is Chinese; nothing else says.", is_certain=False
        )
    return Currency(code="USD", reason="Nothing in the data says which currency it is.", is_certain=False)


def paying_events(
    engine: Engine, relation: Relation, roles: Roles
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which event values are purchases, and which besides them should count as revenue (refunds); both empty where all do."""
    if roles.event is None:
        return (), ()
    (counts,) = value_counts(engine, relation, [roles.event.column])
    buying = tuple(
        sorted(
            (v for v in counts if _says(v, _PAYING) and not _says(v, _REFUNDING)), key=lambda v: -counts[v]
        )
    )
    buying = tuple(v for v in buying if "cart" not in v.lower())
    if buying and is_reserved(roles.event.column) and roles.event.column != "event":
        raise _reserved(roles.event.column)
    if not buying or roles.money is None:
        return buying[:5], ()
    (carrying,) = value_counts(engine, relation, [roles.event.column], above_zero=roles.money.column)
    carries = tuple(v for v in buying if v in carrying) or buying
    return carries[:5], tuple(v for v in carrying if _says(v, _REFUNDING))[:5]


def _reserved(column: str) -> ConfigError:
    return ConfigError(
        "source.reserved_column",
        what=f"The event column '{column}' differs from Headwater's own column 'event' only in case, and purchases must be told apart by it.",
        why="Engines do not tell the two apart, so a measure could read the wrong one.",
        do="Rename it where the file is written: event, or event_name.",
    )


def _says(value: str, words: Sequence[str]) -> bool:
    return any(w in value.lower() for w in words)


def repeats_are_errors(roles: Roles, facts: Facts, repeats: tuple[int, int]) -> bool:
    """Whether equal rows can only be the same event twice: rows have a time of day or an order key, and repeats are few."""
    n_repeated, n_seen = repeats
    return 0 < n_repeated <= _MOST_REPEATS * n_seen and (roles.order is not None or facts.reading.n_clock > 0)


def check_proposal(
    relation: Relation,
    looks: Sequence[Look],
    roles: Roles,
    facts: Facts,
    *,
    currency: Currency,
    repeats: tuple[int, int],
) -> tuple[Finding, ...]:
    """What a reader of the proposal must know."""
    found = [
        _ambiguous(facts), _sampled(relation, facts), _unread_times(facts), _text_money(roles, currency), _several_currencies(currency), _short(facts), _no_amount(looks, roles, facts), _wide(relation, looks), _repeats_kept(roles, facts, repeats),
    ]  # fmt: skip
    return tuple(f for f in found if f is not None)


def _no_amount(looks: Sequence[Look], roles: Roles, facts: Facts) -> Finding | None:
    """Amounts none of which is above zero, in the column taken for money or in one that only its name says so of."""
    if roles.money is not None:
        column = roles.money.column
        n_amounts = facts.n_money if facts.n_money_not_above_zero == facts.n_money else 0
    else:
        flat = next((k for k in looks if k.is_numeric and k.high <= 0 and sounds_like_money(k)), None)
        column, n_amounts = ("", 0) if flat is None else (flat.column, flat.n_filled)
    if n_amounts == 0:
        return None
    return Finding(
        code="init.no_amount",
        severity=Severity.WARN,
        what=f"None of the {n_amounts:,} amounts in '{column}' is above zero.",
        why="Revenue of zero or less on every row is nothing to predict.",
        do="Check the export, or name another column in [measures]; 'headwater profile' shows what each holds.",
        numbers={"n_amounts": n_amounts},
    )


def _ambiguous(facts: Facts) -> Finding | None:
    rival, chosen = facts.rival, facts.reading
    if rival is None:
        return None
    return Finding(
        code="init.ambiguous_dates",
        severity=Severity.WARN,
        what=(
            f"'{facts.at.column}' reads as {chosen.at_format} ({date_of(chosen.first_day)} to {date_of(chosen.last_day)}) and"
            f" as {rival.at_format} ({date_of(rival.first_day)} to {date_of(rival.last_day)}): no day is above 12."
        ),
        why="With day and month exchanged every window, cohort and prediction is wrong.",
        do=f'Ask who made the file; the shorter log was proposed. If it is wrong, set at_format = "{rival.at_format}".',
        numbers={"chosen": str(chosen.at_format), "rival": str(rival.at_format)},
    )


def _sampled(relation: Relation, facts: Facts) -> Finding | None:
    n = sample_rows(relation)
    if facts.n_rows <= n:
        return None
    return Finding(
        code="init.sampled",
        severity=Severity.NOTE,
        what=f"Columns were recognized on the first {n:,} of {facts.n_rows:,} rows; missing users, times and amounts were counted on all.",
        why="A value that only comes later was not seen when columns were chosen.",
        do="Read the columns under keep and types once.",
        numbers={"n_sampled": n, "n_rows": facts.n_rows},
    )


def _unread_times(facts: Facts) -> Finding | None:
    n = facts.n_at - facts.reading.n_read
    if not n or n / facts.n_at < 0.001:
        return None
    return Finding(
        code="init.times_unread",
        severity=Severity.WARN,
        what=f"{n:,} of {facts.n_at:,} values of '{facts.at.column}' cannot be read as {facts.reading.at_format or 'an ISO time'} between 1990 and 2099.",
        why="These rows go to quarantine; a second way of writing times in one column loses its events.",
        do="Look at these values; export times in one way.",
        numbers={"n_unread": n, "n_at": facts.n_at},
    )


def _text_money(roles: Roles, currency: Currency) -> Finding | None:
    look = roles.money_as_text
    if look is None:
        return None
    return Finding(
        code="init.money_text",
        severity=Severity.WARN,
        what=f"'{look.column}' looks like money, but {look.n_money_text:,} of {look.n_filled:,} values carry signs or thousands marks, such as '{look.examples[0][:30]}'.",
        why="They are no numbers, so no revenue is proposed.",
        do=f"Export it as a plain number such as 1234.50 ({currency.code}), then run init again.",
        numbers={"n_money_text": look.n_money_text},
    )


def _several_currencies(currency: Currency) -> Finding | None:
    if currency.n_currencies < 2:
        return None
    return Finding(
        code="init.several_currencies",
        severity=Severity.WARN,
        what=f"The amounts are in {currency.n_currencies} currencies; {currency.code} is the most frequent.",
        why="Their sum is in no currency.",
        do="Convert the amounts before loading, or keep one currency with a one_of rule.",
        numbers={"n_currencies": currency.n_currencies},
    )


def _short(facts: Facts) -> Finding | None:
    n_days = facts.reading.last_day - facts.reading.first_day + 1
    if window_of(n_days).horizons:
        return None
    return Finding(
        code="init.too_short",
        severity=Severity.WARN,
        what=f"The log spans {n_days} days.",
        why="Three test origins need at least four days of history and outcome; nothing is predicted.",
        do="Add data, then add a [[predict]] section.",
        numbers={"n_days": n_days},
    )


def _repeats_kept(roles: Roles, facts: Facts, repeats: tuple[int, int]) -> Finding | None:
    n_repeated, n_seen = repeats
    if not n_repeated or repeats_are_errors(roles, facts, repeats):
        return None
    return Finding(
        code="init.repeats_kept",
        severity=Severity.WARN if n_repeated > _MOST_REPEATS * n_seen else Severity.NOTE,
        what=f"{n_repeated:,} of {n_seen:,} rows repeat an earlier one exactly, and are kept.",
        why="Without an order key and a time of day, or where they are this many, equal rows may well be several events; dropping them would lose revenue.",
        do='If they are errors, add a rule: rule = "unique".',
        numbers={"n_repeated": n_repeated, "n_rows": n_seen},
    )


def _wide(relation: Relation, looks: Sequence[Look]) -> Finding | None:
    if len(relation.columns) <= len(looks):
        return None
    return Finding(
        code="init.many_columns",
        severity=Severity.NOTE,
        what=f"Only the first {MAX_COLUMNS} of {len(relation.columns)} columns were looked at.",
        why="The user, the time or the money may stand further right.",
        do="Name them with --user and --at, or in the file.",
        numbers={"n_columns": len(relation.columns)},
    )
