"""Propose a contract for a file or folder nobody has described: each choice with its reason and how sure it is.

Columns are recognized on the first rows (``looks``, ``roles``); what the rules need (missing users, broken
times, refunds, the span of the log) is counted over all rows (``facts``). Nothing is read row by row in Python.
"""

from __future__ import annotations

import json
import keyword
import math
import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

from headwater.contracts.facts import Facts, Roles, choose_roles, facts_of, repeats_of
from headwater.contracts.hunches import (
    Currency,
    Window,
    Zone,
    check_proposal,
    currency_of,
    paying_events,
    repeats_are_errors,
    window_of,
    zone_of,
)
from headwater.contracts.looks import Look, encoding_of, look_at, sample_rows
from headwater.contracts.roles import money_divisor
from headwater.core.contract import Aggregate, Measure, RuleSpec, Source
from headwater.core.errors import DataError
from headwater.core.finding import Finding
from headwater.core.span import date_of
from headwater.core.table import Kind
from headwater.engine.engine import Engine
from headwater.engine.sources import find_files, open_relation

__all__ = ["Choice", "Proposal", "Sure", "propose"]

_RARE = 0.05


class Sure(StrEnum):
    """How sure a choice is: ``SURE`` where the values leave no other, ``CONFIRM`` where a person must say."""

    SURE = "sure"
    LIKELY = "likely"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice: the setting it fills (``sources.user``, ``measures.revenue``, ``rules.0``), why, and how sure it is."""

    setting: str
    reason: str
    sure: Sure


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A contract proposed for a source, with a reason for each choice.

    ``target`` is a measure or ``active_days``; ``horizons`` is empty where the log is too short to test a
    prediction. ``n_looked`` of ``n_rows`` rows were used to recognize columns. Days are inclusive, in UTC.
    """

    name: str
    format: str
    n_rows: int
    n_looked: int
    first_on: date
    last_on: date
    time_zone: str
    currency: str
    left_edge_days: int
    source: Source
    measures: tuple[Measure, ...]
    rules: tuple[RuleSpec, ...]
    max_share: float
    target: str
    occasions: str | None
    horizons: tuple[str, ...]
    every: str
    origins: int
    choices: tuple[Choice, ...]
    findings: tuple[Finding, ...]

    def choice(self, setting: str) -> Choice | None:
        """The choice that filled a setting, None where it was not made."""
        return next((c for c in self.choices if c.setting == setting), None)


def propose(
    engine: Engine, path: Path, *, user: str | None = None, at: str | None = None, today: date | None = None
) -> Proposal:
    """Look at a file or folder and propose its contract.

    Parameters
    ----------
    path
        A file, a folder or a glob: CSV, TSV, JSON lines, Parquet, Excel, also packed.
    user, at
        The user and the time column, where the caller knows them.
    today
        The last day an event can have happened; without it no event is taken to lie in the future.

    Raises
    ------
    SourceError
        The files cannot be read.
    ConfigError
        No column is the user (``init.no_user``) or the time (``init.no_time``).
    DataError
        There are columns but no row (``source.no_rows``).
    """
    encoding = encoding_of(find_files(path))
    relation = open_relation(engine, path, encoding=encoding)
    looks = look_at(engine, relation)
    _require_rows(looks, path)
    roles = choose_roles(looks, user=user, at=at)
    facts = facts_of(engine, relation, roles, today=today)
    currency = currency_of(engine, relation, roles, looks)
    repeats = repeats_of(engine, relation)
    draft = _Draft(
        roles=roles, facts=facts, zone=zone_of(facts), currency=currency, window=window_of(facts.reading.last_day - facts.reading.first_day + 1),
        buying=paying_events(engine, relation, roles), repeats=repeats, path=path, encoding=encoding, user_named=user is not None, at_named=at is not None,
    )  # fmt: skip
    return draft.proposal(
        format=relation.format,
        n_looked=min(facts.n_rows, sample_rows(relation)),
        findings=check_proposal(relation, looks, roles, facts, currency=currency, repeats=repeats),
    )


def _require_rows(looks: tuple[Look, ...], path: Path) -> None:
    if not looks or looks[0].n_rows == 0:
        raise DataError(
            "source.no_rows",
            what=f"'{path}' has {len(looks)} columns but no row.",
            why="An empty export says nothing about its columns.",
            do="Export it again and check the date range.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    roles: Roles
    facts: Facts
    zone: Zone
    currency: Currency
    window: Window
    buying: tuple[tuple[str, ...], tuple[str, ...]]
    repeats: tuple[int, int]
    path: Path
    encoding: str
    user_named: bool
    at_named: bool

    def proposal(self, *, format: str, n_looked: int, findings: tuple[Finding, ...]) -> Proposal:
        measures = self._measures()
        names = [m.name for m, _ in measures]
        rules = self._rules()
        shares = [r.max_share or 0.0 for r, _ in rules] + [
            self._share(self.facts.n_at - self.facts.reading.n_read),
            self._share(self.facts.n_money_unread),
        ]
        choices = [
            *self._source_choices(),
            *(Choice(setting=f"measures.{m.name}", reason=why, sure=Sure.LIKELY) for m, why in measures),
            *(Choice(setting=f"rules.{i}", reason=why, sure=Sure.SURE) for i, (_, why) in enumerate(rules)),
            Choice(setting="predict", reason=self._window_reason(), sure=Sure.LIKELY),
        ]
        return Proposal(
            name=_app_name(self.path), format=format, n_rows=self.facts.n_rows, n_looked=n_looked,
            first_on=date_of(self.facts.reading.first_day), last_on=date_of(self.facts.reading.last_day),
            time_zone=self.zone.app, currency=self.currency.code, left_edge_days=self.window.left_edge_days, source=self._source(),
            measures=tuple(m for m, _ in measures), rules=tuple(r for r, _ in rules), max_share=min(1.0, max(0.05, math.ceil(sum(shares) * 100) / 100)),
            target=next((n for n in ("revenue", "purchases") if n in names), "active_days"), occasions="purchases" if "purchases" in names else None,
            horizons=self.window.horizons, every=self.window.every, origins=3, choices=tuple(choices), findings=findings,
        )  # fmt: skip

    def _share(self, n: int) -> float:
        return n / self.facts.n_rows

    def _source(self) -> Source:
        roles = self.roles
        types = {
            k.column: kind
            for k, kind in ((roles.quantity, self._quantity_kind()), (roles.money, Kind.MONEY))
            if k is not None
        }
        return Source(
            path=str(self.path), user=roles.user.column, at=self.facts.at.column, at_format=self.facts.reading.at_format, time_zone=self.zone.source,
            event=roles.event.column if roles.event else None, event_is=None if roles.event else self._event_is(),
            keep=tuple(k.column for k in roles.keep), types=types, encoding=self.encoding,
        )  # fmt: skip

    def _event_is(self) -> str:
        return "purchase" if self.roles.money or self.roles.order else "event"

    def _quantity_kind(self) -> Kind:
        return Kind.NUMBER if self.facts.n_quantity_fraction else Kind.INTEGER

    def _measures(self) -> list[tuple[Measure, str]]:
        revenue, purchases = self._revenue(), self._purchases()
        if revenue is None and purchases is None:
            return [
                (
                    Measure(name="actions", aggregate=Aggregate.COUNT),
                    "No column looks like money or an order, so rows are counted.",
                )
            ]
        return [m for m in (revenue, purchases) if m is not None]

    def _revenue(self) -> tuple[Measure, str] | None:
        money, quantity = self.roles.money, self.roles.quantity
        if money is None:
            return None
        amount = _column(money.column)
        divisor = money_divisor(money)
        if divisor > 1:
            amount = f"{amount} / {divisor}"
        text = f"{_column(quantity.column)} * {amount}" if quantity else amount
        named = f"'{money.column}' looks like the {'price of one' if quantity else 'amount of a row'}"
        why = f"{named}{f', {quantity.column!r} like how many' if quantity else ''}; what is below zero counts as refunds."
        return Measure(
            name="revenue",
            aggregate=Aggregate.SUM,
            expression=text,
            unit=self.currency.code,
            where=self._is_event(*self.buying),
        ), why

    def _purchases(self) -> tuple[Measure, str] | None:
        order, where = self.roles.order, self._where_bought()
        if order is not None:
            why = f"'{order.column}' looks like the key of an order ({order.n_distinct:,} in {order.n_filled:,} rows looked at)."
            return Measure(
                name="purchases",
                aggregate=Aggregate.COUNT_DISTINCT,
                expression=_column(order.column),
                where=where,
            ), why
        if self.roles.money is None and not self.buying[0]:
            return None
        return Measure(
            name="purchases", aggregate=Aggregate.COUNT, where=where
        ), "No column looks like the key of an order, so rows that paid are counted."

    def _where_bought(self) -> str | None:
        """Bought, not returned: by the event, by the quantity, or by the amount."""
        facts, money, quantity = self.facts, self.roles.money, self.roles.quantity
        bought = self._is_event(self.buying[0], ())
        if bought is not None:
            return bought
        if quantity is not None:
            return f"{_column(quantity.column)} > 0" if facts.n_quantity_not_above_zero else None
        return (
            f"{_column(money.column)} > 0"
            if money
            and (facts.n_money_not_above_zero or facts.n_money < facts.n_rows or self.roles.order is None)
            else None
        )

    def _is_event(self, buying: tuple[str, ...], besides: tuple[str, ...]) -> str | None:
        if self.roles.event is None or not buying:
            return None
        values = [*buying, *besides]
        column = _column(self.roles.event.column)
        return (
            f"{column} == {_literal(values[0])}"
            if len(values) == 1
            else f"{column} in [{', '.join(_literal(v) for v in values)}]"
        )

    def _rules(self) -> list[tuple[RuleSpec, str]]:
        facts, roles = self.facts, self.roles
        missing = self._share(facts.n_rows - facts.n_user)
        found = [
            (
                RuleSpec(rule="required", columns=(roles.user.column,), max_share=_allowed(missing)),
                f"{missing:.1%} of the rows have no user." if missing else "Every row has a user so far.",
            )
        ]
        n_repeated, n_seen = self.repeats
        share = n_repeated / n_seen if n_seen else 0.0
        if repeats_are_errors(roles, facts, self.repeats):
            found.append(
                (
                    RuleSpec(rule="unique", max_share=_allowed(share)),
                    f"{n_repeated:,} of {n_seen:,} rows repeat an earlier one exactly; the first one stays.",
                )
            )
        low = self._share(facts.n_money_not_above_zero)
        if roles.money is not None and roles.quantity is not None and 0 < low <= _RARE:
            why = f"{facts.n_money_not_above_zero:,} rows ({low:.2%}) have a price of zero or less."
            found.append(
                (
                    RuleSpec(
                        rule="range",
                        columns=(roles.money.column,),
                        settings={"above": 0},
                        max_share=_allowed(low),
                    ),
                    why,
                )
            )
        late = self._share(facts.reading.n_future)
        if facts.reading.n_future:
            found.append(
                (
                    RuleSpec(rule="not_future", settings={"after": "today"}, max_share=_allowed(late)),
                    f"{facts.reading.n_future:,} rows are dated after today.",
                )
            )
        return found

    def _source_choices(self) -> list[Choice]:
        facts, roles = self.facts, self.roles
        user = roles.user
        read = facts.reading.at_format or "ISO dates and times"
        event = (
            Choice(
                setting="sources.event",
                reason=f"'{roles.event.column}' holds {roles.event.n_distinct} names of what happened.",
                sure=Sure.LIKELY,
            )
            if roles.event
            else Choice(
                setting="sources.event_is",
                reason=f"No column says what happened, so every row is called '{self._event_is()}'.",
                sure=Sure.LIKELY,
            )
        )
        amounts = [k.column for k in (roles.quantity, roles.money) if k is not None]
        time = f"{facts.reading.n_read:,} of {facts.n_at:,} values read as {read}, {date_of(facts.reading.first_day)} to {date_of(facts.reading.last_day)}."
        return [
            Choice(setting="app.time_zone", reason=self.zone.reason, sure=Sure.CONFIRM),
            Choice(setting="app.currency", reason=self.currency.reason, sure=Sure.SURE if self.currency.is_certain else Sure.CONFIRM),
            Choice(setting="sources.user", reason=self._user_reason(), sure=Sure.SURE if self.user_named else _sure(user.rows_per_value >= 1.2)),
            Choice(setting="sources.at", reason=time, sure=Sure.CONFIRM if facts.rival else Sure.SURE if self.at_named else _sure(len(roles.times) == 1)),
            event,
            *([Choice(setting="sources.keep", reason="Few, short values: good for cohorts. Free text and what looks personal is left out.", sure=Sure.LIKELY)] if roles.keep else []),
            *([Choice(setting="sources.types", reason=f"{' and '.join(amounts)} {'is' if len(amounts) == 1 else 'are'} calculated with.", sure=Sure.SURE)] if amounts else []),
            *([Choice(setting="sources.encoding", reason="The file is not UTF-8; check that accents look right.", sure=Sure.CONFIRM)] if self.encoding != "utf-8" else []),
            *([Choice(setting="sources.time_zone", reason="The times say UTC.", sure=Sure.SURE)] if self.zone.source else []),
        ]  # fmt: skip

    def _user_reason(self) -> str:
        look = self.roles.user
        return f"{look.n_distinct:,} different values in the first {look.n_rows:,} rows, {look.rows_per_value:.1f} rows each{'' if self.user_named else '; its name says user'}."

    def _window_reason(self) -> str:
        n_days = self.facts.reading.last_day - self.facts.reading.first_day + 1
        return f"The log spans {n_days} days: room for 3 test origins with as much history as the longest horizon."


def _sure(certain: bool) -> Sure:
    return Sure.SURE if certain else Sure.LIKELY


def _allowed(share: float) -> float:
    """A share a bit above the one seen, so that tomorrow's load does not fail: a tenth more, at least 1 %."""
    return min(1.0, max(0.01, math.ceil(share * 110) / 100))


def _column(column: str) -> str:
    """A column inside an expression; ``col("...")`` where its name is no plain word."""
    plain = (
        column.isidentifier()
        and not keyword.iskeyword(column)
        and unicodedata.normalize("NFKC", column) == column
    )
    return column if plain else f"col({_literal(column)})"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _app_name(path: Path) -> str:
    stem = path.resolve().name.split(".")[0] if "*" not in path.name else path.resolve().parent.name
    return (stem or "app")[:100]
