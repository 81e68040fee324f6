"""The declared sources beside the events: users, exposures, costs, impressions, subscriptions, exchange rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headwater.core.block import Block, Field, Form, Grid, Prose, callouts
from headwater.core.contract import RuleResult, RuleSpec
from headwater.core.finding import Finding
from headwater.core.show import Shown
from headwater.core.table import Kind, Table

__all__ = ["OtherSource", "SourceKind", "Sourced"]


class SourceKind(StrEnum):
    """What a source beside the events holds."""

    USERS = "users"
    EXPOSURES = "exposures"
    COSTS = "costs"
    IMPRESSIONS = "impressions"
    SUBSCRIPTIONS = "subscriptions"
    FX = "fx"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSource:
    """One declared source beside the events.

    ``columns`` maps a part (``user``, ``at``, ``amount`` ...) to the source's column; ``keep`` carries further
    columns, which for users are their attributes. ``currency_is`` is one constant for all amounts.
    """

    kind: SourceKind
    name: str
    path: str
    columns: Mapping[str, str]
    table: str | None = None
    keep: tuple[str, ...] = ()
    types: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    currency_is: str | None = None
    at_format: str | None = None
    time_zone: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    rules: tuple[RuleSpec, ...] = ()
    max_share: float = 0.5
    max_broken_files: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced(Shown):
    """A source beside the events, cleaned: the ``rows`` kept, the ``quarantine``, and the account of both.

    ``n_rows_in == rows.n_rows + quarantine.n_rows``, exactly.
    """

    source: OtherSource
    rows: Table
    quarantine: Table
    n_rows_in: int
    rules: tuple[RuleResult, ...]
    findings: tuple[Finding, ...]
    source_fingerprint: str
    sql: str

    def blocks(self) -> tuple[Block, ...]:
        """The account of rows, rule by rule, and the findings."""
        out = self.quarantine.n_rows
        share = out / self.n_rows_in if self.n_rows_in else 0.0
        account = (
            f"{self.n_rows_in:,} rows of {self.source.kind.value} came in from '{self.source.name}'; {self.rows.n_rows:,} are kept "
            f"and {out:,} ({share:.1%}) are in quarantine, none is lost."
        )
        return (Prose(text=account), self.rule_grid(), *callouts(self.findings))

    def rule_grid(self) -> Grid:
        """One row a rule: what it found."""
        fields = (
            Field(name="rule", label="Rule"),
            Field(name="about", label="What is wrong"),
            Field(name="n_rows", label="Rows", form=Form.INTEGER, note="a row may break several rules"),
            Field(name="share", label="Share of rows", form=Form.SHARE),
            Field(name="max_share", label="Allowed", form=Form.SHARE, note="more than this stops the load"),
            Field(name="example", label="First example"),
        )
        rows = [
            (r.code, r.about, r.n_rows, r.share, r.max_share, r.examples[0] if r.examples else None)
            for r in sorted(self.rules, key=lambda r: -r.n_rows)
        ]
        return Grid.of(
            f"data_quality_{self.source.name}", f"What was wrong with {self.source.name}", fields, rows
        )
