"""Rows of a grid, checked on the way: a table that does not hold what it says is refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from headwater.core.block import Cell, Grid
from headwater.core.errors import UsageError

__all__ = ["checked_rows"]


def checked_rows(grid: Grid, *, at_most: int) -> Iterator[tuple[Cell, ...]]:
    """The first ``at_most`` rows of the stream.

    Raises ``UsageError``: ``export.ragged_row`` where a row has another length than the fields,
    ``export.row_count`` where there are fewer or more rows than ``n_rows`` says.
    """
    wanted, found = min(at_most, grid.n_rows), 0
    for row in islice(grid.stream(), grid.n_rows + 1 if at_most >= grid.n_rows else wanted):
        found += 1
        if len(row) != len(grid.fields):
            raise _refused(
                grid, "export.ragged_row", f"has a row of {len(row)} cells for {len(grid.fields)} fields"
            )
        if found <= wanted:
            yield row
    if found != wanted:
        fact = f"says {grid.n_rows:,} rows and streams {'more' if found > wanted else f'{found:,}'}"
        raise _refused(grid, "export.row_count", fact)


def _refused(grid: Grid, code: str, fact: str) -> UsageError:
    return UsageError(
        code,
        what=f"The table '{grid.name}' {fact}.",
        why="A reader would trust a table that is not what it says; nothing was written.",
        do="Give n_rows and rows from the same query.",
    )
