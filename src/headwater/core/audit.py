"""What the alarms say of a load as a whole: holes, findings, and the tables they were read off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from headwater.core.block import Block, Cell, Field, Form, Grid, Prose, callouts
from headwater.core.contract import RuleValue
from headwater.core.finding import Finding
from headwater.core.show import Shown
from headwater.core.table import Table

__all__ = ["AlarmResult", "AlarmSpec", "Audit", "Hole", "Listing"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A stretch of time in which events are missing: ``first_us`` to ``end_us`` (exclusive), in UTC microseconds.

    ``dimension`` and ``value`` name whose events are missing (``platform``, ``ios``); both are None where
    everybody's are.
    """

    first_us: int
    end_us: int
    dimension: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSpec:
    """An alarm as written under ``[[alarms]]``: its name on the shelf, whether it is on, its settings."""

    alarm: str
    on: bool = True
    settings: Mapping[str, RuleValue] = field(default_factory=dict[str, RuleValue])


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmResult:
    """What one alarm did: how many tests it made at which level (None: it tests nothing), and what it found.

    ``skipped`` says why it could not look, where it could not.
    """

    alarm: str
    about: str
    n_tests: int
    level: float | None
    n_flagged: int
    skipped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A small table an alarm lays beside its findings: suspects, whales, a distribution."""

    name: str
    title: str
    columns: tuple[str, ...]
    forms: tuple[Form, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def grid(self) -> Grid:
        """The same as a block."""
        fields = [
            Field(name=c, label=c.replace("_", " ").capitalize(), form=f)
            for c, f in zip(self.columns, self.forms, strict=True)
        ]
        return Grid.of(self.name, self.title, fields, self.rows, note=self.note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Shown):
    """What all alarms together say of one load.

    ``false_alarms`` is the most often that a clean load raises any statistical alarm. ``n_scans`` counts
    the passes over the events. ``metrics`` is ``metrics_by_day``: day, metric, dimension, value,
    expected, low, high, flagged.
    """

    alarms: tuple[AlarmResult, ...]
    findings: tuple[Finding, ...]
    holes: tuple[Hole, ...]
    listings: tuple[Listing, ...]
    metrics: Table
    false_alarms: float
    n_scans: int

    def blocks(self) -> tuple[Block, ...]:
        """What was looked at, what was found, and the tables beside it."""
        flagged = sum(a.n_flagged for a in self.alarms)
        tests = sum(a.n_tests for a in self.alarms)
        told = (
            f"{len(self.alarms)} alarms looked at the load as a whole ({tests:,} tests, {self.n_scans} passes over the events): "
            f"{flagged:,} flags, {len(self.holes)} holes. All statistical alarms together are built to raise a false one "
            f"in at most {self.false_alarms:.0%} of clean loads."
        )
        holes = (self.hole_grid(),) if self.holes else ()
        return (
            Prose(text=told),
            self.alarm_grid(),
            *callouts(self.findings),
            *holes,
            *(x.grid() for x in self.listings),
        )

    def alarm_grid(self) -> Grid:
        """One row an alarm: how often it looked and what it found."""
        fields = (
            Field(name="alarm", label="Alarm"),
            Field(name="about", label="What it looks for"),
            Field(name="n_tests", label="Tests", form=Form.INTEGER),
            Field(
                name="level",
                label="Level of each",
                form=Form.NUMBER,
                note="a test raises a flag below this p",
            ),
            Field(name="n_flagged", label="Flags", form=Form.INTEGER),
            Field(name="skipped", label="Not looked at because"),
        )
        rows = [(a.alarm, a.about, a.n_tests, a.level, a.n_flagged, a.skipped) for a in self.alarms]
        return Grid.of("alarms", "What the alarms say", fields, rows)

    def hole_grid(self) -> Grid:
        """One row a hole, in UTC."""
        fields = (
            Field(name="first", label="From (UTC)"),
            Field(name="end", label="To (UTC)"),
            Field(name="hours", label="Hours", form=Form.NUMBER),
            Field(name="dimension", label="Of"),
            Field(name="value", label="Value"),
        )
        return Grid.of("holes", "Holes: events missing", fields, list(self._hole_rows()))

    def _hole_rows(self) -> Iterator[tuple[Cell, ...]]:
        for hole in self.holes:
            hours = (hole.end_us - hole.first_us) / 3_600_000_000
            yield (
                _utc(hole.first_us),
                _utc(hole.end_us),
                hours,
                hole.dimension or "all users",
                hole.value or "",
            )


def _utc(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%d %H:%M")
