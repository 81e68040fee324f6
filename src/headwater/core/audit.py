"""What the alarms say of a load as a whole: holes, findings, and the tables they were read off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from headwater.core.block import Block, Cell, Field, Form, Grid, Prose, callouts
from headwater.core.contract import RuleValue
from headwater.core.finding import Finding
from headwater.core.show import Shown
from headwater.core.table import Table

__all__ = ["AlarmResult", "AlarmSpec", "Audit", "Hole", "Listing"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_US = 3_600_000_000


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

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.end_us - self.first_us) / _HOUR_US

    def span(self, zone: str) -> str:
        """From when to when by the clocks of a time zone, which is named."""
        return f"from {_local(self.first_us, zone)} to {_local(self.end_us, zone)} ({zone})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSpec:
    """An alarm as written under ``[[alarms]]``: its name on the shelf, whether it is on, its settings."""

    alarm: str
    on: bool = True
    settings: Mapping[str, RuleValue] = field(default_factory=dict[str, RuleValue])


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmResult:
    """What one alarm did: how many tests it made at which level (None: it tests nothing), and what it found.

    ``n_flagged`` counts what ``flags_are`` names (days of a series, holes, users); ``n_findings`` what is told of
    them. ``skipped`` says why it could not look, where it could not.
    """

    alarm: str
    about: str
    n_tests: int
    level: float | None
    n_flagged: int
    flags_are: str = ""
    n_findings: int = 0
    skipped: str = ""

    @property
    def found(self) -> str:
        """What it found, in words: ``9 days of a series, told in 2 findings``."""
        if self.skipped:
            return f"not looked at: {self.skipped}"
        if not self.n_flagged:
            return "nothing"
        return f"{_counted(self.n_flagged, self.flags_are)}, told in {_counted(self.n_findings, 'findings')}"


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
    expected, low, high, flagged. Times are told by the clocks of ``time_zone``.
    """

    alarms: tuple[AlarmResult, ...]
    findings: tuple[Finding, ...]
    holes: tuple[Hole, ...]
    listings: tuple[Listing, ...]
    metrics: Table
    false_alarms: float
    n_scans: int
    time_zone: str = "UTC"

    def blocks(self) -> tuple[Block, ...]:
        """What was looked at, what was found, and the tables beside it."""
        tests = sum(a.n_tests for a in self.alarms)
        told = (
            f"{len(self.alarms)} alarms looked at the load as a whole ({tests:,} tests, {self.n_scans} passes over the events): "
            f"{_counted(len(self.findings), 'findings')}, {_counted(len(self.holes), 'holes')}. All statistical alarms together are built to raise a false one "
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
            Field(name="found", label="What it found"),
        )
        rows = [(a.alarm, a.about, a.n_tests, a.found) for a in self.alarms]
        note = (
            "Flagged days of a series that follow each other make one finding. A value that only follows everybody, or a "
            "day that is told as a hole, is not told again, and of each alarm at most ten findings are told."
        )
        return Grid.of("alarms", "What the alarms say", fields, rows, note=note)

    def hole_grid(self) -> Grid:
        """One row a hole, by the app's clocks."""
        fields = (
            Field(name="first", label=f"From ({self.time_zone})"),
            Field(name="end", label=f"To ({self.time_zone})"),
            Field(name="hours", label="Hours", form=Form.NUMBER),
            Field(name="dimension", label="Of"),
            Field(name="value", label="Value"),
        )
        return Grid.of("holes", "Holes: events missing", fields, list(self._hole_rows()))

    def _hole_rows(self) -> Iterator[tuple[Cell, ...]]:
        for hole in self.holes:
            yield (
                _local(hole.first_us, self.time_zone),
                _local(hole.end_us, self.time_zone),
                hole.hours,
                hole.dimension or "all users",
                hole.value or "",
            )


def _counted(n: int, plural: str) -> str:
    """A number and what it counts: ``1 hole``, ``2 days of a series``."""
    first, blank, rest = plural.partition(" ")
    return f"{n:,} {first.removesuffix('s') if n == 1 else first}{blank}{rest}"


def _local(us: int, zone: str) -> str:
    moment = (_EPOCH + timedelta(microseconds=us)).astimezone(ZoneInfo(zone))
    return moment.strftime("%Y-%m-%d %H:%M")
