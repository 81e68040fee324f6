"""A grid as lines of text, for a terminal."""

from __future__ import annotations

from itertools import islice

from headwater.core.block import Grid
from headwater.core.show import cell_text, one_line

__all__ = ["grid_text"]

_WIDEST = 70


def grid_text(grid: Grid, *, rows: int = 60) -> str:
    """The first rows of a grid in columns; long cells are cut, line breaks become blanks; its note stands below."""
    head = [one_line(f.label) for f in grid.fields]
    body = [
        [_cut(cell_text(v, f.form)) for v, f in zip(row, grid.fields, strict=True)]
        for row in islice(grid.stream(), rows)
    ]
    widths = [max(len(r[i]) for r in [head, *body]) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in [head, *body]]
    more = [f"... {grid.n_rows - rows:,} more"] if grid.n_rows > rows else []
    return "\n".join([*lines, *more, *([one_line(grid.note)] if grid.note else [])])


def _cut(text: str) -> str:
    plain = one_line(text)
    return plain if len(plain) <= _WIDEST else plain[: _WIDEST - 1] + "…"
