"""Propose a contract for a file or folder nobody has described: each choice with its reason and how sure it is.

Columns are recognized on the first rows (``looks``, ``roles``); what the rules need (missing users, broken
times, refunds, the span of the log) is counted over all rows (``facts``). Nothing is read row by row in Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from pathlib import Path

from headwater.contracts.arrival import Arrival, arrivals_of, check_arrivals, known_column
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
from headwater.contracts.infer_measures import propose_measures
from headwater.contracts.looks import Look, encoding_of, look_at, sample_rows
from headwater.contracts.mixed import Unread, check_mixed, mixed_columns, unread_of
from headwater.contracts.recognize import no_rows, require_data
from headwater.contracts.rule_dates import dated, future_rule
from headwater.contracts.spellings import spelled, spellings_of
from headwater.contracts.trial import Trial, evidence, try_rules
from headwater.core.contract import App, Contract, Measure, RepairSpec, RuleSpec, Source
from headwater.core.finding import Finding
from headwater.core.span import date_of
from headwater.core.table import Kind
from headwater.engine.engine import Engine
from headwater.engine.sources import (
    MOST_BROKEN_LOOKED_AT,
    Relation,
    SiftedFiles,
    check_broken_files,
    find_files,
    open_relation,
    read_sifted,
    require_closed_quotes,
)

__all__ = ["Choice", "Proposal", "Sure", "contract_of", "propose"]

_RARE = 0.05
_SPELLED = 200


class Sure(StrEnum):
    """How sure a choice is: ``SURE`` where the values leave no other, ``CONFIRM`` where a person must say."""

    SURE = "sure"
    LIKELY = "likely"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice: the setting it fills (``sources.user``, ``measures.revenue``, ``repairs.0``, ``rules.0``), why, and how sure it is."""

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
    repairs: tuple[RepairSpec, ...] = ()

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
    require_data(path)
    files = find_files(path)
    encoding = encoding_of(files)
    return read_sifted(
        engine,
        files,
        lambda sifted: _looked(engine, path, sifted, encoding=encoding, user=user, at=at, today=today),
        encoding=encoding,
        max_broken_files=MOST_BROKEN_LOOKED_AT,
    )


def _looked(
    engine: Engine,
    path: Path,
    sifted: SiftedFiles,
    *,
    encoding: str,
    user: str | None,
    at: str | None,
    today: date | None,
) -> Proposal:
    relation = open_relation(engine, sifted.files, encoding=encoding)
    looks = look_at(engine, relation)
    _require_rows(looks, path)
    roles = choose_roles(looks, user=user, at=at)
    facts = facts_of(engine, replace(relation, rows=relation.rows_keeping_aside), roles, today=today)
    require_closed_quotes(engine, relation)
    currency = currency_of(engine, relation, roles, looks)
    repeats = repeats_of(engine, relation)
    mixed = mixed_columns(looks, roles)
    arrivals = arrivals_of(engine, relation, looks, facts, taken=roles.taken)
    draft = _Draft(
        roles=roles, facts=facts, zone=zone_of(facts), currency=currency, window=window_of(facts.reading.last_day - facts.reading.first_day + 1),
        buying=paying_events(engine, relation, roles), repeats=repeats, path=path, encoding=encoding, format=relation.format, user_named=user is not None, at_named=at is not None,
        mixed=mixed, unread=unread_of(engine, relation, mixed | _amounts(roles, facts)), repairs=_repairs(engine, relation, roles), today=today,
        known=known_column(arrivals),
    )  # fmt: skip
    proposal = draft.proposal(
        n_looked=min(facts.n_rows, sample_rows(relation)),
        findings=(
            *check_broken_files(sifted.files, sifted.broken),
            *check_proposal(relation, looks, roles, facts, currency=currency, repeats=repeats),
            *check_mixed([draft.unread[c] for c in mixed]),
            *check_arrivals(arrivals),
        ),
    )
    tried = [dated(rule, today=today) for rule in proposal.rules]
    return _allowing(proposal, try_rules(engine, relation, contract_of(proposal), tried))


def contract_of(proposal: Proposal) -> Contract:
    """The contract a proposal stands for, without its rules: what rules are tried under."""
    return Contract(
        app=App(name=proposal.name, time_zone=proposal.time_zone, currency=proposal.currency),
        source=proposal.source,
        measures=proposal.measures,
        rules=(),
        repairs=proposal.repairs,
    )


def _amounts(roles: Roles, facts: Facts) -> dict[str, Kind]:
    """The columns that are calculated with."""
    whole = Kind.NUMBER if facts.n_quantity_fraction else Kind.INTEGER
    found = ((roles.quantity, whole), (roles.money, Kind.MONEY))
    return {look.column: kind for look, kind in found if look is not None}


def _repairs(engine: Engine, relation: Relation, roles: Roles) -> tuple[tuple[RepairSpec, str], ...]:
    """Repairs of columns of few values whose spellings differ in case or blanks only.

    Events are left as they are: ``Purchase`` of the client and ``purchase`` of the server may be two things.
    """
    looks = [look for look in roles.keep if look.kind is Kind.TEXT]
    taken = {c.casefold() for c, _ in relation.columns}
    few = [
        look.column
        for look in looks
        if look.n_distinct <= _SPELLED and f"raw_{look.column}".casefold() not in taken
    ]
    found = [spelled(c, values) for c, values in spellings_of(engine, relation, few).items()]
    return tuple(repair for one in found for repair in one.repairs)


def _allowing(proposal: Proposal, trial: Trial) -> Proposal:
    """The proposal with what the gate itself counted: each rule's share, its reason, and the gate of all."""
    rules = tuple(
        replace(rule, max_share=_allowed(trial.share(n)))
        for rule, n in zip(proposal.rules, trial.broken, strict=True)
    )
    said = {
        f"rules.{i}": evidence(rule, n, trial.n_rows)
        for i, (rule, n) in enumerate(zip(rules, trial.broken, strict=True))
    }
    choices = tuple(
        replace(c, reason=f"{said[c.setting]} {c.reason}".rstrip()) if c.setting in said else c
        for c in proposal.choices
    )
    together = trial.share(trial.n_broken) if trial.n_broken is not None else 1.0
    return replace(proposal, rules=rules, choices=choices, max_share=max(0.05, _allowed(together)))


def _require_rows(looks: tuple[Look, ...], path: Path) -> None:
    if not looks or looks[0].n_rows == 0:
        raise no_rows(str(path))


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
    format: str
    user_named: bool
    at_named: bool
    mixed: Mapping[str, Kind]
    unread: Mapping[str, Unread]
    repairs: tuple[tuple[RepairSpec, str], ...]
    today: date | None
    known: Arrival | None

    def proposal(self, *, n_looked: int, findings: tuple[Finding, ...]) -> Proposal:
        measures = propose_measures(self.roles, self.facts, unit=self.currency.code, buying=self.buying)
        names = [m.name for m, _ in measures]
        rules = self._rules()
        choices = [
            *self._source_choices(),
            *(Choice(setting=f"measures.{m.name}", reason=why, sure=Sure.LIKELY) for m, why in measures),
            *(
                Choice(setting=f"repairs.{i}", reason=why, sure=Sure.LIKELY)
                for i, (_, why) in enumerate(self.repairs)
            ),
            *(Choice(setting=f"rules.{i}", reason=why, sure=Sure.SURE) for i, (_, why) in enumerate(rules)),
            Choice(setting="predict", reason=self._window_reason(), sure=Sure.LIKELY),
        ]
        return Proposal(
            name=_app_name(self.path), format=self.format, n_rows=self.facts.n_rows, n_looked=n_looked,
            first_on=date_of(self.facts.reading.first_day), last_on=date_of(self.facts.reading.last_day),
            time_zone=self.zone.app, currency=self.currency.code, left_edge_days=self.window.left_edge_days, source=self._source(),
            measures=tuple(m for m, _ in measures), rules=tuple(r for r, _ in rules), max_share=1.0,
            target=next((n for n in ("revenue", "purchases") if n in names), "active_days"), occasions="purchases" if "purchases" in names else None,
            horizons=self.window.horizons, every=self.window.every, origins=3, choices=tuple(choices), findings=findings, repairs=tuple(r for r, _ in self.repairs),
        )  # fmt: skip

    def _share(self, n: int) -> float:
        return n / self.facts.n_rows

    def _source(self) -> Source:
        roles = self.roles
        types = _amounts(roles, self.facts) | dict.fromkeys(self.mixed, Kind.TEXT)
        return Source(
            path=str(self.path), user=roles.user.column, at=self.facts.at.column, at_format=self.facts.reading.at_format, time_zone=self.zone.source,
            event=roles.event.column if roles.event else None, event_is=None if roles.event else self._event_is(),
            known_at=self.known.column if self.known else None,
            keep=tuple(k.column for k in roles.keep), types=types, encoding=self.encoding,
        )  # fmt: skip

    def _event_is(self) -> str:
        return "purchase" if self.roles.money or self.roles.order else "event"

    def _rules(self) -> list[tuple[RuleSpec, str]]:
        """Rules with what is to be said beside the counts; how many rows break them is found by trying them."""
        facts, roles = self.facts, self.roles
        found = [(RuleSpec(rule="required", columns=(roles.user.column,)), "")]
        if repeats_are_errors(roles, facts, self.repeats):
            found.append((RuleSpec(rule="unique"), ""))
        low = self._share(facts.n_money_not_above_zero)
        if roles.money is not None and roles.quantity is not None and 0 < low <= _RARE:
            above = RuleSpec(rule="range", columns=(roles.money.column,), settings={"above": 0})
            found.append((above, "A price is above zero."))
        last_on = date_of(facts.reading.last_day)
        if self.today is not None:
            rule, why = future_rule(last_on, today=self.today, zone=self.zone.app)
            found += [(rule, why)] if facts.reading.n_future or rule.settings["after"] == "today" else []
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
        time = f"{facts.reading.n_read:,} of {facts.n_at:,} values read as {read}, {date_of(facts.reading.first_day)} to {date_of(facts.reading.last_day)}."
        return [
            Choice(setting="app.time_zone", reason=self.zone.reason, sure=Sure.CONFIRM),
            Choice(setting="app.currency", reason=self.currency.reason, sure=Sure.SURE if self.currency.is_certain else Sure.CONFIRM),
            Choice(setting="sources.user", reason=self._user_reason(), sure=Sure.SURE if self.user_named else _sure(user.rows_per_value >= 1.2)),
            Choice(setting="sources.at", reason=time, sure=Sure.CONFIRM if facts.rival else Sure.SURE if self.at_named else _sure(len(roles.times) == 1)),
            event,
            *([Choice(setting="sources.known_at", reason=self.known.reason, sure=Sure.LIKELY if self.known.is_load else Sure.CONFIRM)] if self.known else []),
            *([Choice(setting="sources.keep", reason="Few, short values: good for cohorts. Free text and what looks personal is left out.", sure=Sure.LIKELY)] if roles.keep else []),
            *([Choice(setting="sources.types", reason=self._types_reason(), sure=Sure.SURE)] if self.unread else []),
            *([Choice(setting="sources.encoding", reason="The file is not UTF-8; check that accents look right.", sure=Sure.CONFIRM)] if self.encoding != "utf-8" else []),
            *([Choice(setting="sources.time_zone", reason="The times say UTC.", sure=Sure.SURE)] if self.zone.source else []),
        ]  # fmt: skip

    def _types_reason(self) -> str:
        amounts = [c for c in self.unread if c not in self.mixed]
        told = (
            [f"{' and '.join(amounts)} {'is' if len(amounts) == 1 else 'are'} calculated with."]
            if amounts
            else []
        )
        told += [
            f"{self.unread[c].told}: these rows go to quarantine." for c in amounts if self.unread[c].told
        ]
        told += [
            f'{self.unread[c].told}: kept as text, so that no row is lost; as "{kind}" it could be calculated with, and these rows would go to quarantine.'
            for c, kind in self.mixed.items()
        ]
        return " ".join(told)

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


def _app_name(path: Path) -> str:
    stem = path.resolve().name.split(".")[0] if "*" not in path.name else path.resolve().parent.name
    return (stem or "app")[:100]
