"""The ledger and the snapshot: what happened by day, and what was known at a cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headwater.core.block import Block, Field, Form, Grid, Prose, callouts
from headwater.core.errors import UsageError, near_miss
from headwater.core.finding import Finding
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.core.table import Column, Kind, Purpose, Table

__all__ = ["Ledger", "LedgerMeasure", "Snapshot", "Task", "column_grid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMeasure:
    """An additive column of the ledger: whole numbers, ``scale`` of them to one unit (money: 1,000,000).

    ``counts`` says whether it counts things (purchases), so that its days can be a customer's rhythm.
    """

    name: str
    kind: Kind
    unit: str
    scale: int
    counts: bool

    @property
    def label(self) -> str:
        """The name with its unit: ``revenue_gbp``, ``purchases``."""
        return f"{self.name}_{self.unit.lower()}" if self.kind is Kind.MONEY else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger(Shown):
    """One row per user x app day x day it became known, all measures additive; beside it the users.

    ``user_hours`` holds the first 168 hours of each user, ``keys`` each distinct key by user and day, where
    a measure counts them. ``day_fingerprints`` are those of the rows of each app day, ``built_from`` those
    of the events they were built from: a day whose events did not change need not be built again. ``netted``
    holds (day, measure, events below zero, their sum in the measure's scale). ``first_day`` and ``end_day``
    (exclusive) bound the log. 99% of the facts of a day are known ``settle_days`` after it: looking back, a window has
    matured only then. ``one_row_a_day`` is true where no user-day became known on two days.
    """

    days: Table
    users: Table
    user_hours: Table
    keys: Table | None = None
    day_fingerprints: tuple[tuple[int, str], ...] = ()
    built_from: tuple[tuple[int, str], ...] = ()
    netted: tuple[tuple[int, str, int, int], ...] = ()
    measures: tuple[LedgerMeasure, ...]
    first_day: int
    end_day: int
    left_edge_days: int
    settle_days: int
    one_row_a_day: bool
    findings: tuple[Finding, ...]
    sql: str

    def measure(self, name: str) -> LedgerMeasure:
        """The measure of that name. Raises ``UsageError`` (``predict.unknown_measure``) with the near miss."""
        known = {m.name: m for m in self.measures}
        if name not in known:
            raise UsageError(
                "predict.unknown_measure",
                what=f"There is no measure named '{name}'.",
                why="Nothing says how to compute it.",
                do=near_miss(name, [*known, "active_days"]),
            )
        return known[name]

    def to_arrow(self) -> Any:
        """The user-days as a ``pyarrow.Table``."""
        return self.days.to_arrow()

    def to_pandas(self) -> Any:
        """The user-days as a ``pandas.DataFrame``."""
        return self.days.to_pandas()

    def to_polars(self) -> Any:
        """The user-days as a ``polars.DataFrame``."""
        return self.days.to_polars()

    def blocks(self) -> tuple[Block, ...]:
        """What it holds, and the columns of its user-days."""
        held = (
            f"{self.days.n_rows:,} user-days of {self.users.n_rows:,} users, "
            f"{date_of(self.first_day)} to {date_of(self.end_day - 1)}."
        )
        return (
            Prose(text=held),
            column_grid(self.days, "ledger_columns", "The ledger"),
            *callouts(self.findings),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is predicted: a measure (or ``active_days``) over a horizon, read by ``target``'s column.

    ``occasions`` is the measure whose days are a customer's purchase days in the buy-till-you-die models.
    """

    measure: str
    unit: str
    horizon_days: int
    target: str
    occasions: str
    value: str
    level: float = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Shown):
    """One row per user x cutoff: features known by the cutoff (exclusive), targets after it.

    A target is NULL unless its whole window was observed; ``observed_days_<h>d`` says how much was. ``daily``
    counts, for each cutoff and each day before it, the users who had an occasion that day, as known by then.
    """

    rows: Table
    cutoffs: tuple[int, ...]
    horizons: tuple[int, ...]
    measures: tuple[LedgerMeasure, ...]
    first_day: int
    end_day: int
    findings: tuple[Finding, ...]
    sql: str
    daily: Table | None = None

    @property
    def features(self) -> tuple[Column, ...]:
        """The numeric columns a model may learn from."""
        return tuple(c for c in self.rows.columns if c.purpose is Purpose.FEATURE)

    @property
    def attributes(self) -> tuple[Column, ...]:
        """The text columns known by the cutoff that a model may learn from and that group users: country, channel."""
        return tuple(c for c in self.rows.columns if c.purpose is Purpose.ATTRIBUTE)

    def target(self, measure: str, horizon_days: int) -> str:
        """The name of a target column: ``revenue_gbp_next_90d``."""
        labels = {m.name: m.label for m in self.measures} | {"active_days": "active_days"}
        return f"{labels[measure]}_next_{horizon_days}d"

    def to_arrow(self) -> Any:
        """The rows as a ``pyarrow.Table``."""
        return self.rows.to_arrow()

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``."""
        return self.rows.to_pandas()

    def to_polars(self) -> Any:
        """The rows as a ``polars.DataFrame``."""
        return self.rows.to_polars()

    def blocks(self) -> tuple[Block, ...]:
        """What it holds, and what its columns mean."""
        days = ", ".join(str(date_of(c)) for c in self.cutoffs)
        held = f"{self.rows.n_rows:,} rows: every user known at {days}; {len(self.features)} features, {len(self.attributes)} attributes."
        return (
            Prose(text=held),
            column_grid(self.rows, "snapshot_columns", "The snapshot"),
            *callouts(self.findings),
        )


def column_grid(table: Table, name: str, title: str) -> Grid:
    """What the columns of a table mean."""
    fields = (
        Field(name="column", label="Column"),
        Field(name="kind", label="Type"),
        Field(name="unit", label="Unit"),
        Field(name="purpose", label="For"),
        Field(name="known", label="Known"),
        Field(name="about", label="Meaning", form=Form.TEXT),
    )
    rows = [
        (c.name, c.kind.value, c.unit, c.purpose.value, c.known.value.replace("_", " "), c.about)
        for c in table.columns
    ]
    return Grid.of(name, title, fields, rows)
