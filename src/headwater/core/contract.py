"""What the sources promise, and the measures read off them. Filled from ``headwater.toml`` or in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headwater.core.block import Block, Field, Form, Grid, Prose, callouts
from headwater.core.finding import Finding
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.core.table import Kind, Table

__all__ = [
    "Aggregate",
    "App",
    "Contract",
    "Events",
    "Measure",
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
    """

    name: str
    time_zone: str
    currency: str
    launched_on: str | None = None
    left_edge_days: int = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One declared source of events.

    ``event`` is a column or, in ``event_is``, one constant. ``at_format`` is a strptime format, or
    ``epoch_s``, ``epoch_ms``, ``epoch_us``; ``time_zone`` reads times that carry no offset.
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
class Contract:
    """Everything the gate needs: the app, its source, its measures, its rules, and the overall gate."""

    app: App
    source: Source
    measures: tuple[Measure, ...]
    rules: tuple[RuleSpec, ...]
    max_share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What one rule found: rows that break it (a row may break several) and the users among them."""

    code: str
    about: str
    n_rows: int
    share: float
    max_share: float | None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(Shown):
    """The log, cleaned: the ``events`` kept, the ``quarantine``, and the account of both.

    ``n_rows_in == events.n_rows + quarantine.n_rows``, exactly. ``first_day`` and ``end_day`` bound the
    log in app days, the end exclusive.
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

    def blocks(self) -> tuple[Block, ...]:
        """The account of rows, rule by rule, and the findings."""
        kept, out = self.events.n_rows, self.quarantine.n_rows
        share = out / self.n_rows_in if self.n_rows_in else 0.0
        span = f"{date_of(self.first_day)} to {date_of(self.end_day - 1)}" if kept else "no day"
        account = (
            f"{self.n_rows_in:,} rows came in; {kept:,} are kept and {out:,} ({share:.1%}) are in quarantine, none is lost. "
            f"The log kept runs from {span}."
        )
        return (Prose(text=account), self.rule_grid(), *callouts(self.findings))

    def rule_grid(self) -> Grid:
        """One row a rule: what it found and what it may find."""
        fields = (
            Field(name="rule", label="Rule"),
            Field(name="about", label="What is wrong"),
            Field(name="n_rows", label="Rows", form=Form.INTEGER, note="a row may break several rules"),
            Field(name="share", label="Share of rows", form=Form.SHARE),
            Field(name="max_share", label="Allowed", form=Form.SHARE, note="more than this stops the load"),
            Field(name="example", label="First example"),
        )
        rows = [
            (
                r.code,
                r.about,
                r.n_rows,
                r.share,
                r.max_share,
                _shortened(r.examples[0]) if r.examples else None,
            )
            for r in sorted(self.rules, key=lambda r: -r.n_rows)
        ]
        return Grid.of("data_quality", "What was wrong with the data", fields, rows)


def _shortened(raw: str) -> str:
    return raw if len(raw) <= _LONGEST_EXAMPLE else raw[: _LONGEST_EXAMPLE - 1] + "…"
