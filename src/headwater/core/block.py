"""Blocks: all that an exporter ever sees. A result turns itself into blocks; an exporter turns blocks into a file.

Text in a block is plain text from anywhere, data included: the exporter escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from headwater.core.finding import Finding, Severity

__all__ = [
    "Block",
    "Callout",
    "Cell",
    "Chart",
    "ChartKind",
    "Code",
    "Document",
    "Field",
    "Form",
    "Grid",
    "Heading",
    "Page",
    "Prose",
    "Role",
    "WhatIf",
    "WhatIfInput",
    "WhatIfOutput",
    "callouts",
]

Cell = str | int | float | bool | None


class Form(StrEnum):
    """How a cell is shown. The stored value never changes: a share is 0 to 1, money is in whole units."""

    TEXT = "text"
    ID = "id"
    INTEGER = "integer"
    NUMBER = "number"
    SHARE = "share"
    MONEY = "money"
    DATE = "date"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column of a grid: its stable name, the label people read, how cells are shown, the unit and a note."""

    name: str
    label: str
    form: Form = Form.TEXT
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading; level 1 is the document's own title."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """One paragraph. ``lead`` marks the sentence a stakeholder reads first."""

    text: str
    lead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Text to copy as it is (SQL, TOML), behind a title."""

    title: str
    text: str
    language: str = "sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table. ``stream`` opens a fresh iterator of rows each time, so a large grid is never held.

    ``preview`` caps the rows a page shows; a workbook or file writes all ``n_rows``.
    ``name`` is stable between runs (an Excel Table takes it, so pivots survive next week's file).
    """

    name: str
    title: str
    fields: tuple[Field, ...]
    n_rows: int
    stream: Callable[[], Iterator[tuple[Cell, ...]]] = field(repr=False, compare=False)
    note: str = ""
    preview: int = 200

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        fields: Sequence[Field],
        rows: Iterable[tuple[Cell, ...]],
        *,
        note: str = "",
        preview: int = 200,
    ) -> Grid:
        """A grid of rows already at hand."""
        held = tuple(rows)
        return cls(
            name=name,
            title=title,
            fields=tuple(fields),
            n_rows=len(held),
            stream=lambda: iter(held),
            note=note,
            preview=preview,
        )


class ChartKind(StrEnum):
    """The few pictures a report needs."""

    LINE = "line"
    BAR = "bar"
    POINT_INTERVAL = "point_interval"
    CALIBRATION = "calibration"


class Role(StrEnum):
    """What a column of a chart's rows is drawn as."""

    X = "x"
    Y = "y"
    SERIES = "series"
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture of a small table: ``fields`` and ``rows`` are its data, ``roles`` maps role to field name.

    ``finding`` is the one sentence the picture shows; it is the caption and the text for screen readers.
    """

    name: str
    title: str
    kind: ChartKind
    fields: tuple[Field, ...]
    rows: tuple[tuple[Cell, ...], ...]
    roles: tuple[tuple[Role, str], ...]
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Callout:
    """A finding set apart."""

    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfInput:
    """A number the reader may change."""

    name: str
    label: str
    value: float
    form: Form
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfOutput:
    """A live result: ``formula`` over input names (Excel's own syntax), ``value`` what Python computes for it."""

    name: str
    label: str
    value: float
    form: Form
    formula: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """A small live model. A workbook writes the formulas; a page shows the values. Later outputs may use earlier ones."""

    name: str
    title: str
    inputs: tuple[WhatIfInput, ...]
    outputs: tuple[WhatIfOutput, ...]
    note: str = ""


Block = Heading | Prose | Code | Grid | Chart | Callout | WhatIf


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A run of blocks with a name: a section of a report, a sheet of a workbook."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    analyst: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What an exporter writes: a title, one lead sentence, pages, and provenance lines for the foot."""

    title: str
    lead: str
    pages: tuple[Page, ...]
    provenance: tuple[tuple[str, str], ...] = ()


def callouts(findings: Iterable[Finding]) -> tuple[Callout, ...]:
    """Findings as callouts, the weightiest first."""
    order = {Severity.BLOCK: 0, Severity.WARN: 1, Severity.NOTE: 2}
    return tuple(Callout(finding=f) for f in sorted(findings, key=lambda f: order[f.severity]))
