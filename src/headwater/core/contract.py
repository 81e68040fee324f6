"""What the sources promise, and the measures read off them. Filled from ``headwater.toml`` or in Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headwater.core.block import Block, Cell, Field, Form, Grid, Prose, callouts
from headwater.core.finding import Finding
from headwater.core.identity import Identity, IdentityMap
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.core.table import Kind, Table, joined

__all__ = [
    "Aggregate",
    "App",
    "Contract",
    "Events",
    "Measure",
    "Part",
    "RepairResult",
    "RepairSpec",
    "RuleResult",
    "RuleSpec",
    "RuleValue",
    "Source",
]

_LONGEST_EXAMPLE = 140

RuleValue = str | int | float | bool | tuple[str, ...] | tuple[int | float, ...] | None


class Aggregate(StrEnum):
    """How a measure adds up. ``COUNT_DISTINCT`` counts a key once, on the app day it was first seen."""

    SUM = "sum"
    COUNT = "count"
    COUNT_DISTINCT = "count_distinct"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The app: its name, the zone that cuts its days, its currency, its launch, and the edge of its log.

    ``left_edge_days``: users first seen within so many days of the log's first day may not be new.
    ``fx_max_age_days``: an exchange rate holds for its day and so many days after it.
    """

    name: str
    time_zone: str
    currency: str
    launched_on: str | None = None
    left_edge_days: int = 28
    fx_max_age_days: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One declared source of events.

    ``event`` is a column or, in ``event_is``, one constant. ``at_format`` is a strptime format, or
    ``epoch_s``, ``epoch_ms``, ``epoch_us``; ``time_zone`` reads times that carry no offset. ``table`` is the
    table of a database or catalog. Money is in the currency of the column ``currency``, or in ``currency_is``;
    without both, in the app's.
    """

    path: str
    user: str
    at: str
    event: str | None = None
    event_is: str | None = None
    known_at: str | None = None
    keep: tuple[str, ...] = ()
    types: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    at_format: str | None = None
    time_zone: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    table: str | None = None
    currency: str | None = None
    currency_is: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number named once. ``expression`` is over source columns; ``where`` keeps some events only."""

    name: str
    aggregate: Aggregate
    expression: str = ""
    unit: str = ""
    where: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """A data rule as written: its name on the shelf, its columns, its settings, the share it may break."""

    rule: str
    columns: tuple[str, ...] = ()
    settings: Mapping[str, RuleValue] = field(default_factory=dict[str, RuleValue])
    max_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairSpec:
    """A repair as written: its name on the shelf, its columns, its settings; ``aliases`` maps a value to its spellings."""

    repair: str
    columns: tuple[str, ...]
    settings: Mapping[str, RuleValue] = field(default_factory=dict[str, RuleValue])
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Everything the gate needs: the app, its source, its measures, its repairs, its rules, and the overall gate."""

    app: App
    source: Source
    measures: tuple[Measure, ...]
    rules: tuple[RuleSpec, ...]
    max_share: float = 0.5
    repairs: tuple[RepairSpec, ...] = ()
    identity: Identity | None = None
    max_broken_files: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What one rule found: rows that break it (a row may break several), the users among them, the money in them.

    ``n_users`` is None where a row has no columns to name a user by. ``money`` is the sum of the measure
    ``money_of`` over these rows, in whole units of ``money_unit``; None where no measure is money or none
    of the rows can be valued. ``certainty`` is ``"certain"`` where the rule cannot be wrong about a row,
    else ``"likely"`` with ``doubt`` saying why. ``proposal`` is the line to write or the fix.
    """

    code: str
    about: str
    n_rows: int
    share: float
    max_share: float | None
    examples: tuple[str, ...] = ()
    n_users: int | None = None
    money: float | None = None
    money_of: str = ""
    money_unit: str = ""
    certainty: str = "certain"
    doubt: str = ""
    proposal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairResult:
    """What the repairs of one column changed in the kept events.

    ``n_values`` counts the different raw values changed, of which ``n_listed`` (the most frequent) stand in
    the table ``repairs``; ``n_rows_listed`` of ``n_rows`` rows hold one of these.
    """

    column: str
    repairs: tuple[str, ...]
    n_rows: int
    n_values: int
    n_listed: int
    n_rows_listed: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some files of the source, checked: what an unchanged file need not be checked for again.

    ``sources`` are the files with a fingerprint of their bytes, ``span`` the first and last instant in them
    (microseconds), ``timeless`` whether rows of them have no readable time, ``repeats`` a fingerprint of the rows among them that repeat others ('' where none does),
    ``days`` the fingerprints of the kept rows by app day, the rest counts of kept rows:
    ``n_naive`` times without an offset, ``n_early`` known before they happened, ``n_twice`` in an hour that
    the clocks show twice; ``offsets`` are the different offsets that times carry; ``links`` a fingerprint of the
    exchange rates and owners of devices its rows may meet.
    """

    sources: tuple[tuple[str, str], ...]
    span: tuple[int, int] | None
    timeless: bool
    repeats: str
    events: Table
    quarantine: Table
    days: tuple[tuple[int, str], ...]
    n_naive: int
    n_early: int
    n_twice: int
    offsets: tuple[str, ...]
    links: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(Shown):
    """The log, cleaned: the ``events`` kept, the ``quarantine``, and the account of both.

    ``n_rows_in == events.n_rows + quarantine.n_rows``, exactly. ``first_day`` and ``end_day`` bound the
    log in app days, the end exclusive. ``n_scans`` counts the passes the check made over the source.
    ``repairs`` lists each repaired value: column, as it came, as it is now, rows; ``repaired`` sums it up.
    """

    contract: Contract
    events: Table
    quarantine: Table
    n_rows_in: int
    rows_are: str
    rules: tuple[RuleResult, ...]
    findings: tuple[Finding, ...]
    first_day: int
    end_day: int
    source_fingerprint: str
    sql: str
    n_scans: int = 0
    repairs: Table | None = None
    repaired: tuple[RepairResult, ...] = ()
    parts: tuple[Part, ...] = ()
    layout: str = ""
    day_fingerprints: tuple[tuple[int, str], ...] = ()
    identity: IdentityMap | None = None

    def events_on(self, days: Collection[int]) -> Table:
        """The events of the parts that hold rows of these app days; rows of other days may be among them."""
        wanted = set(days)
        near = [p.events for p in self.parts if wanted.intersection(d for d, _ in p.days)]
        few = bool(near) and len(near) < len(self.parts)
        return joined(near, columns=self.events.columns) if few else self.events

    def blocks(self) -> tuple[Block, ...]:
        """The account of rows, rule by rule, and the findings."""
        kept, out = self.events.n_rows, self.quarantine.n_rows
        share = out / self.n_rows_in if self.n_rows_in else 0.0
        span = f"{date_of(self.first_day)} to {date_of(self.end_day - 1)}" if kept else "no day"
        account = (
            f"{self.n_rows_in:,} rows came in; {kept:,} are kept and {out:,} ({share:.1%}) are in quarantine, none is lost. "
            f"The log kept runs from {span}."
        )
        examples = (self.example_grid(),) if any(r.n_rows for r in self.rules) else ()
        grids = (self.rule_grid(), *examples, *((self.repair_grid(),) if self.repaired else ()))
        return (Prose(text=account), *grids, *callouts(self.findings))

    def rule_grid(self) -> Grid:
        """One row a rule: what it found."""
        unit = next((r.money_unit for r in self.rules if r.money is not None), "")
        of = next((r.money_of for r in self.rules if r.money is not None), "")
        fields = (
            Field(name="rule", label="Rule"),
            Field(name="about", label="What is wrong"),
            Field(name="n_rows", label="Rows", form=Form.INTEGER, note="a row may break several rules"),
            Field(name="share", label="Share of rows", form=Form.SHARE),
            Field(name="max_share", label="Allowed", form=Form.SHARE, note="more than this stops the load"),
            Field(name="n_users", label="Users", form=Form.INTEGER, note="of these rows"),
            Field(name="money", label="Money in them", form=Form.MONEY, unit=unit, note=of),
        )
        rows = [
            (r.code, r.about, r.n_rows, r.share, r.max_share, r.n_users, r.money)
            for r in sorted(self.rules, key=lambda r: -r.n_rows)
        ]
        return Grid.of("data_quality", "What was wrong with the data", fields, rows)

    def example_grid(self) -> Grid:
        """One row a rule that was broken: how sure it is, an example, and what may be done."""
        fields = (
            Field(name="rule", label="Rule"),
            Field(name="certainty", label="How sure"),
            Field(name="example", label="First example"),
            Field(name="proposal", label="What to do"),
        )
        rows = [_example_row(r) for r in sorted(self.rules, key=lambda r: -r.n_rows) if r.n_rows]
        return Grid.of("broken_rules", "An example of each, and what to do", fields, rows)

    def repair_grid(self) -> Grid:
        """One row a repaired column: how many rows and values changed, with the most frequent change."""
        fields = (
            Field(name="column", label="Column"),
            Field(name="repairs", label="Repairs"),
            Field(name="n_rows", label="Rows changed", form=Form.INTEGER),
            Field(name="n_values", label="Values changed", form=Form.INTEGER),
            Field(name="n_listed", label="Values listed", form=Form.INTEGER, note="in the table repairs"),
            Field(name="example", label="Most frequent change"),
        )
        rows = [
            (
                r.column,
                ", ".join(r.repairs),
                r.n_rows,
                r.n_values,
                r.n_listed,
                _shortened(r.examples[0]) if r.examples else None,
            )
            for r in self.repaired
        ]
        return Grid.of("data_repairs", "What was repaired", fields, rows)


def _example_row(r: RuleResult) -> tuple[Cell, ...]:
    sure = f"{r.certainty}: {r.doubt}" if r.doubt else r.certainty
    return (r.code, sure, _shortened(r.examples[0]) if r.examples else None, r.proposal)


def _shortened(raw: str) -> str:
    return raw if len(raw) <= _LONGEST_EXAMPLE else raw[: _LONGEST_EXAMPLE - 1] + "…"
