"""The rows of a snapshot a model asks for: those of one cutoff, those whose target has matured, or grouped counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.ledger import Snapshot
from headwater.engine.arrays import column_floats, read_arrow
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import commas, name, sql

__all__ = ["grouped_counts", "hole_share", "mature_rows", "rows_at"]


def rows_at(snapshot: Snapshot, cutoff: int, columns: Sequence[str]) -> pa.Table:
    """The rows of one cutoff, in user order. Raises ``DataError`` (``snapshot.no_column``), as all here do."""
    _require_columns(snapshot, columns)
    rows = read_arrow(snapshot.rows, _with_cutoff(columns))
    return rows.filter(pc.equal(rows.column("cutoff"), cutoff))


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
