"""The groups in which forecasts are judged and added up: the month users began, their tenure, each attribute."""

from __future__ import annotations

from headwater.core.ledger import Snapshot
from headwater.engine.arrays import column_floats
from headwater.evaluation.grouping import Grouping, by_month, by_tenure
from headwater.snapshots.rows import rows_at

__all__ = ["MONTH", "groups_of"]

MONTH = "month first seen"
_TENURE = "tenure"


def groups_of(snapshot: Snapshot, cutoff: int) -> dict[str, Grouping]:
    """By kind, the group of each user of a cutoff, in the order of the snapshot's rows."""
    attributes = [c.name for c in snapshot.attributes]
    rows = rows_at(snapshot, cutoff, ("tenure_days", *attributes))
    tenure = column_floats(rows, "tenure_days")
    return {
        MONTH: by_month(cutoff - tenure),
        _TENURE: by_tenure(tenure),
        **{name: Grouping.of(rows.column(name)) for name in attributes},
    }
