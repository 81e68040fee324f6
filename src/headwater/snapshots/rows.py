"""The rows of a snapshot a model asks for: those of one cutoff, those whose target has matured, or grouped counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.ledger import Snapshot
from headwater.engine.arrays import column_floats, read_arrow, read_arrow_in_parts
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import commas, name, sql

__all__ = ["grouped_counts", "hole_share", "mature_rows", "rows_at", "rows_in_parts", "rows_taken"]


def rows_at(snapshot: Snapshot, cutoff: int, columns: Sequence[str]) -> pa.Table:
    """The rows of one cutoff, in user order. Raises ``DataError`` (``snapshot.no_column``), as all here do."""
    _require_columns(snapshot, columns)
    rows = read_arrow(snapshot.rows, _with_cutoff(columns))
    return rows.filter(pc.equal(rows.column("cutoff"), cutoff))


def rows_in_parts(snapshot: Snapshot, cutoff: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of one cutoff, in user order, some at a time: what is made of each part need not be held with the rest."""
    _require_columns(snapshot, columns)
    for part in read_arrow_in_parts(snapshot.rows, _with_cutoff(columns)):
        rows = part.filter(pc.equal(part.column("cutoff"), cutoff))
        if rows.num_rows:
            yield rows


def rows_taken(
    snapshot: Snapshot, cutoff: int, columns: Sequence[str], places: NDArray[np.int64]
) -> pa.Table:
    """Some rows of one cutoff, by their places in it and in the order of these; the others are not held."""
    order = np.argsort(places, kind="stable")
    wanted, begin = places[order], 0
    taken: list[pa.Table] = []
    for rows in rows_in_parts(snapshot, cutoff, columns):
        inside = wanted[(wanted >= begin) & (wanted < begin + rows.num_rows)]
        taken.append(rows.take(pa.array(inside - begin)))
        begin += rows.num_rows
    if not taken:
        return rows_at(snapshot, cutoff, columns)
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    return pa.concat_tables(taken, promote_options="default").take(pa.array(back))


def mature_rows(snapshot: Snapshot, target: str, columns: Sequence[str]) -> pa.Table:
    """The rows whose target window was observed to its end, of all cutoffs."""
    _require_columns(snapshot, (*columns, target))
    rows = read_arrow(snapshot.rows, _with_cutoff((*columns, target)))
    return rows.filter(pc.is_valid(rows.column(target)))


def _require_columns(snapshot: Snapshot, columns: Sequence[str]) -> None:
    known = {c.name for c in snapshot.rows.columns}
    missing = [c for c in columns if c not in known]
    if missing:
        raise DataError(
            "snapshot.no_column",
            what=f"The snapshot has no column {', '.join(missing)}.",
            why="What reads it would be another model without it.",
            do="At an age take a model that reads the snapshot's own features (lightgbm_hurdle), or cohort_mean: occasions by day are counted at a cutoff only.",
        )


def grouped_counts(
    engine: Engine, snapshot: Snapshot, cutoff: int, columns: Sequence[str]
) -> tuple[tuple[NDArray[np.float64], ...], NDArray[np.float64]]:
    """The distinct combinations of some columns at a cutoff and how many users have each, grouped in the engine.

    Users for whom the first column is NULL are left out.
    """
    _require_columns(snapshot, columns)
    keys = commas([name(c) for c in columns])
    rows = engine.arrow(
        sql(
            "SELECT {keys}, CAST(count(*) AS DOUBLE) AS n_users FROM {scan} WHERE cutoff = {c} AND {first} IS NOT NULL GROUP BY {keys} ORDER BY {keys}",
            keys=keys,
            scan=table_scan(snapshot.rows),
            c=cutoff,
            first=name(columns[0]),
        )
    )
    return tuple(column_floats(rows, c) for c in columns), column_floats(rows, "n_users")


def _with_cutoff(columns: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*columns, "cutoff"]))


def hole_share(snapshot: Snapshot, cutoff: int, *, horizon_days: int) -> float:
    """The share of the days of a cutoff's target windows that lie in holes of the log, averaged over users."""
    column = f"hole_days_{horizon_days}d"
    if column not in {c.name for c in snapshot.rows.columns}:
        return 0.0
    lost = column_floats(rows_at(snapshot, cutoff, (column,)), column)
    return float(lost.mean()) / horizon_days if lost.size else 0.0
