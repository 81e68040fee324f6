"""What is in a file, for a person: one entry a column, suspicious things first."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.block import Block, Cell, Field, Form, Grid, Prose, callouts
from headwater.core.finding import Finding
from headwater.core.show import Shown

__all__ = ["ColumnProfile", "Profile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """One column. Counts are over all rows; ``n_distinct`` is approximate, ``top`` and ``bars`` are of the rows looked at.

    ``least`` and ``largest`` are exact: numbers as they are written, times as ISO in UTC; empty for text.
    ``quantiles`` are the least, 1%, 25%, 50%, 75%, 99% and largest number as floats (approximate but for the
    ends); empty for text and ids.
    ``suspicions`` say what a person should look at first.
    """

    column: str
    engine_type: str
    reads_as: str
    n_filled: int
    n_distinct: int
    least: str
    largest: str
    quantiles: tuple[float, ...]
    bars: str
    top: tuple[tuple[str, int], ...]
    suspicions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Shown):
    """A file, folder or glob. ``n_looked`` first rows were used for top values and bars; all rows for the rest."""

    path: str
    format: str
    n_files: int
    n_rows: int
    n_looked: int
    columns: tuple[ColumnProfile, ...]
    findings: tuple[Finding, ...]

    def blocks(self) -> tuple[Block, ...]:
        """What it is, what is suspicious, and every column."""
        files = f"{self.n_files:,} files of {self.format}" if self.n_files > 1 else self.format
        told = (
            f"{self.n_rows:,} rows, {len(self.columns)} columns, {files}."
            f" Top values and bars are of the first {self.n_looked:,} rows; numbers of different values are approximate."
        )
        odd = [g for g in (self.suspicion_grid(),) if g.n_rows]
        return (Prose(text=told), *odd, *callouts(self.findings), self.column_grid())

    def suspicion_grid(self) -> Grid:
        """What to look at first, one row a suspicion."""
        fields = (Field(name="column", label="Column"), Field(name="suspicion", label="Look at this first"))
        rows = [(c.column, s) for c in self.columns for s in c.suspicions]
        return Grid.of("suspicions", "Suspicious", fields, rows)

    def column_grid(self) -> Grid:
        """One row a column."""
        fields = (
            Field(name="column", label="Column"),
            Field(name="engine_type", label="Type"),
            Field(name="reads_as", label="Reads as"),
            Field(name="filled", label="Filled", form=Form.SHARE),
            Field(name="n_distinct", label="Different", form=Form.INTEGER, note="approximate"),
            Field(name="low", label="Least"),
            Field(name="median", label="Median", form=Form.NUMBER),
            Field(name="high", label="Largest"),
            Field(name="bars", label="Shape"),
            Field(name="top", label="Most frequent"),
        )
        return Grid.of("columns", "Columns", fields, [self._row(c) for c in self.columns])

    def _row(self, c: ColumnProfile) -> tuple[Cell, ...]:
        median = c.quantiles[3] if c.quantiles else None
        top = ", ".join(f"{v} ({n / max(self.n_looked, 1):.0%})" for v, n in c.top[:3])
        share = c.n_filled / self.n_rows if self.n_rows else 0.0
        return (
            c.column,
            c.engine_type.lower(),
            c.reads_as,
            share,
            c.n_distinct,
            c.least or None,
            median,
            c.largest or None,
            c.bars,
            top,
        )
