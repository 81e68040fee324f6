"""What two loads differ in, as nouns, and what a reader must know of it."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.block import Block, Field, Form, Grid, Prose, callouts
from headwater.core.finding import Finding, Severity
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.core.table import Kind
from headwater.engine.renamed import Renamed

__all__ = ["Day", "LoadComparison", "NewValue", "Shift", "findings_of"]

_LARGE, _MODERATE = 0.25, 0.1
_SURE = 1e-6
_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far a column's distribution moved: PSI over ``n_cells`` values or bins, and the p of their table."""

    column: str
    kind: Kind
    psi: float
    p_value: float
    n_cells: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewValue:
    """A value that only one of the loads has: its rows, their share of that load, its first day (None: no time)."""

    column: str
    value: str
    n_rows: int
    share: float
    first_day: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """Rows of one day (UTC) in each load."""

    day: int
    n_now: int
    n_last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadComparison(Shown):
    """Two loads side by side. ``retyped`` holds column, type last, type now; ``renamed`` pairs of ``gone`` and ``added``."""

    now: str
    last: str
    n_rows_now: int
    n_rows_last: int
    added: tuple[str, ...]
    gone: tuple[str, ...]
    renamed: tuple[Renamed, ...]
    retyped: tuple[tuple[str, str, str], ...]
    at: str | None
    days: tuple[Day, ...]
    new_values: tuple[NewValue, ...]
    lost_values: tuple[NewValue, ...]
    shifts: tuple[Shift, ...]
    findings: tuple[Finding, ...]

    @property
    def restated(self) -> tuple[Day, ...]:
        """Days before the last load's final one whose rows are not as many as they were; the final one may have been cut."""
        known = [d for d in self.days if d.n_last]
        return tuple(d for d in known[:-1] if d.n_now != d.n_last)

    def blocks(self) -> tuple[Block, ...]:
        """What differs, the shifts, the new values, the restated days."""
        told = f"{self.n_rows_now:,} rows now, {self.n_rows_last:,} in the load before ({self.n_rows_now - self.n_rows_last:+,})."
        grids = [self.shift_grid()]
        grids += (
            [self._value_grid("new_values", "Values that are new", self.new_values)]
            if self.new_values
            else []
        )
        grids += (
            [self._value_grid("lost_values", "Values that are gone", self.lost_values)]
            if self.lost_values
            else []
        )
        grids += [self._day_grid()] if self.restated else []
        return (Prose(text=told), *callouts(self.findings), *grids)

    def shift_grid(self) -> Grid:
        """One row a column, the furthest moved first."""
        fields = (
            Field(name="column", label="Column"),
            Field(name="kind", label="Compared by"),
            Field(
                name="psi", label="PSI", form=Form.NUMBER, note="0.1 is moderate, 0.25 large, by convention"
            ),
            Field(
                name="p_value", label="p", form=Form.NUMBER, note="takes rows for independent: a lower bound"
            ),
        )
        rows = [
            (s.column, "values" if s.kind is Kind.TEXT else "size", s.psi, s.p_value) for s in self.shifts
        ]
        return Grid.of("shifts", "How far each column moved", fields, rows)

    def _value_grid(self, called: str, title: str, values: tuple[NewValue, ...]) -> Grid:
        fields = (
            Field(name="column", label="Column"),
            Field(name="value", label="Value"),
            Field(name="n_rows", label="Rows", form=Form.INTEGER),
            Field(name="share", label="Share", form=Form.SHARE),
            Field(name="first_on", label="First day", form=Form.DATE),
        )
        rows = [
            (v.column, v.value, v.n_rows, v.share, None if v.first_day is None else str(date_of(v.first_day)))
            for v in values
        ]
        return Grid.of(called, title, fields, rows)

    def _day_grid(self) -> Grid:
        fields = (
            Field(name="day", label="Day (UTC)", form=Form.DATE),
            Field(name="n_last", label="Rows last", form=Form.INTEGER),
            Field(name="n_now", label="Rows now", form=Form.INTEGER),
        )
        rows = [(str(date_of(d.day)), d.n_last, d.n_now) for d in self.restated]
        return Grid.of("restated_days", "Past days that were restated", fields, rows)


def findings_of(found: LoadComparison) -> tuple[Finding, ...]:
    """What must be known of a comparison, the weightiest first."""
    return (*_columns(found), *_restated(found), *_new(found), *_moved(found))


def _columns(found: LoadComparison) -> list[Finding]:
    told = [_renamed(pair) for pair in found.renamed]
    gone = tuple(c for c in found.gone if c not in {r.gone for r in found.renamed})
    added = tuple(c for c in found.added if c not in {r.new for r in found.renamed})
    if gone:
        told.append(
            Finding(
                code="load.columns_gone",
                severity=Severity.WARN,
                what=f"{len(gone)} columns are gone: {_some(gone)}.",
                why="What is read off them would be missing or stop the load.",
                do="Ask who writes the file; correct the contract if it is meant.",
                numbers={"n_columns": len(gone)},
            )
        )
    if found.retyped:
        named = [f"{c} ({was} to {now})" for c, was, now in found.retyped]
        told.append(
            Finding(
                code="load.types_changed",
                severity=Severity.WARN,
                what=f"{len(found.retyped)} columns have another type: {_some(named)}.",
                why="Values may have been rounded, or be read another way.",
                do="Ask who writes the file; declare the type in the contract.",
                numbers={"n_columns": len(found.retyped)},
            )
        )
    if added:
        told.append(
            Finding(
                code="load.columns_added",
                severity=Severity.NOTE,
                what=f"{len(added)} columns are new: {_some(added)}.",
                why="Nothing reads them yet.",
                do="Add to keep what shall be carried.",
                numbers={"n_columns": len(added)},
            )
        )
    return told


def _renamed(pair: Renamed) -> Finding:
    return Finding(
        code="load.renamed",
        severity=Severity.WARN,
        what=f"{pair.told[0].upper()}{pair.told[1:]}.",
        why="Settings that name the old column stop the load, or read nothing.",
        do=f"If it was renamed, write '{pair.new}' for '{pair.gone}' in headwater.toml, or have the file written as before.",
        numbers={"gone": pair.gone, "new": pair.new, "same": round(pair.same, 4)},
    )


def _restated(found: LoadComparison) -> list[Finding]:
    days = found.restated
    if not days:
        return []
    fewer = sum(max(0, d.n_last - d.n_now) for d in days)
    more = sum(max(0, d.n_now - d.n_last) for d in days)
    return [
        Finding(
            code="load.restated",
            severity=Severity.WARN if fewer else Severity.NOTE,
            what=f"{len(days)} past days were restated, the first {date_of(days[0].day)}: {more:,} rows more, {fewer:,} rows fewer than in the load before.",
            why="Figures of those days, already reported, will change; rows that vanish may be a lost delivery.",
            do="Late rows are normal; ask who writes the log about rows that are gone.",
            numbers={"n_days": len(days), "n_rows_more": more, "n_rows_fewer": fewer},
        )
    ]


def _new(found: LoadComparison) -> list[Finding]:
    if not found.new_values:
        return []
    named = [
        f"{v.column} = {v.value} ({v.share:.1%})" for v in sorted(found.new_values, key=lambda v: -v.n_rows)
    ]
    return [
        Finding(
            code="load.new_values",
            severity=Severity.NOTE,
            what=f"{len(found.new_values)} values are new: {_some(named)}.",
            why="Filters and rules that name values do not know them.",
            do="Add them to one_of rules and filters, or map them with a repair of aliases.",
            numbers={"n_values": len(found.new_values), "n_rows": sum(v.n_rows for v in found.new_values)},
        )
    ]


def _moved(found: LoadComparison) -> list[Finding]:
    moved = [s for s in found.shifts if s.psi >= _MODERATE and s.p_value < _SURE]
    if not moved:
        return []
    named = [f"{s.column} (PSI {s.psi:.2f})" for s in moved]
    return [
        Finding(
            code="load.shift",
            severity=Severity.WARN if moved[0].psi >= _LARGE else Severity.NOTE,
            what=f"{len(moved)} columns are distributed otherwise: {_some(named)}.",
            why="By convention 0.1 is a moderate and 0.25 a large shift; it says that something moved, not that it is wrong.",
            do="Look for a new source, another unit or a season; the values that moved are in the tables.",
            numbers={"n_columns": len(moved), "largest_psi": round(moved[0].psi, 4)},
        )
    ]


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
