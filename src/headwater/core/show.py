"""Results show themselves: in a notebook as HTML, elsewhere as dict, Arrow, pandas or Polars of their main grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape
from typing import Any

from headwater.core.block import Block, Callout, Cell, Form, Grid, Heading, Prose
from headwater.core.table import frame_library

__all__ = ["Shown", "cell_text", "one_line"]

_PREVIEW = 20
_PATTERNS = {Form.SHARE: "z.1%", Form.INTEGER: "z,.0f", Form.MONEY: "z,.2f", Form.NUMBER: "z,.4g"}


class Shown(ABC):
    """A result made of blocks. Its first grid is what ``to_dict`` and its kin give."""

    __slots__ = ()

    @abstractmethod
    def blocks(self) -> tuple[Block, ...]:
        """What an exporter, a page or a notebook shows."""

    def to_dict(self) -> dict[str, list[Cell]]:
        """The main grid as columns."""
        grid = next(b for b in self.blocks() if isinstance(b, Grid))
        rows = list(grid.stream())
        return {f.name: [r[i] for r in rows] for i, f in enumerate(grid.fields)}

    def to_arrow(self) -> Any:
        """The main grid as a ``pyarrow.Table``."""
        return frame_library("pyarrow").table(self.to_dict())

    def to_pandas(self) -> Any:
        """The main grid as a ``pandas.DataFrame`` (needs pandas)."""
        return frame_library("pandas").DataFrame(self.to_dict())

    def to_polars(self) -> Any:
        """The main grid as a ``polars.DataFrame`` (needs polars)."""
        return frame_library("polars").DataFrame(self.to_dict())

    def __str__(self) -> str:
        """What it says in words, and the first rows of its main grid."""
        lines = [one_line(b.text) for b in self.blocks() if isinstance(b, Prose)]
        grid = next((b for b in self.blocks() if isinstance(b, Grid)), None)
        if grid is not None:
            lines.append("  ".join(one_line(f.name) for f in grid.fields))
            rows = [list(r) for _, r in zip(range(_PREVIEW), grid.stream(), strict=False)]
            lines += [
                "  ".join(one_line(cell_text(v, f.form)) for v, f in zip(r, grid.fields, strict=True))
                for r in rows
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(_html(b) for b in self.blocks())


def cell_text(value: Cell, form: Form) -> str:
    """A cell as people read it.

    >>> cell_text(0.1234, Form.SHARE), cell_text(1234567.5, Form.MONEY), cell_text(None, Form.NUMBER)
    ('12.3%', '1,234,567.50', '')
    >>> cell_text(-0.0001, Form.SHARE)
    '0.0%'
    """
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    pattern = "z,.0f" if form is Form.NUMBER and abs(value) >= 10_000 else _PATTERNS.get(form)
    return format(value, pattern) if pattern else str(value)


def one_line(text: str) -> str:
    r"""Text from data on one line: what a terminal would obey and not print becomes a blank.

    >>> one_line("de\x1b]0;title\x07\n")
    'de ]0;title  '
    """
    return "".join(c if c.isprintable() else " " for c in text)


def _html(block: Block) -> str:
    match block:
        case Heading(text=text, level=level):
            return f"<h{level + 1}>{escape(text)}</h{level + 1}>"
        case Prose(text=text):
            return f"<p>{escape(text)}</p>"
        case Callout(finding=f):
            return f"<p><b>{escape(f.severity.value)}</b> {escape(f.what)} {escape(f.why)} <i>{escape(f.do)}</i></p>"
        case Grid():
            return _grid_html(block)
        case _:
            return ""


def _grid_html(grid: Grid) -> str:
    head = "".join(f"<th>{escape(f.label)}</th>" for f in grid.fields)
    rows: list[str] = []
    for number, row in enumerate(grid.stream()):
        if number == _PREVIEW:
            break
        rows.append(
            "<tr>"
            + "".join(
                f"<td>{escape(cell_text(v, f.form))}</td>" for v, f in zip(row, grid.fields, strict=True)
            )
            + "</tr>"
        )
    more = f"<p>{len(rows)} of {grid.n_rows:,} rows</p>" if grid.n_rows > len(rows) else ""
    return f"<table><caption>{escape(grid.title)}</caption><tr>{head}</tr>{''.join(rows)}</table>{more}"
