"""Which text columns of users are attributes: those of few values. An id, an item or a device is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.core.table import Purpose, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import commas, name, sql

__all__ = ["ALWAYS_FEW", "MOST_VALUES", "ROWS_A_VALUE", "mark_attributes"]

MOST_VALUES, ALWAYS_FEW, ROWS_A_VALUE = 200, 20, 5


def mark_attributes(engine: Engine, table: Table, columns: Sequence[str]) -> Table:
    """The table, those of its ``columns`` that have few values with the purpose ``ATTRIBUTE``.

    Few are 20 values, or one for every five rows, but never more than 200; a column without any value is
    left out.
    """
    if not columns:
        return table
    counts = engine.one(
        sql(
            "SELECT {counts} FROM {t} t",
            counts=commas([sql("count(DISTINCT {c})", c=name(c)) for c in columns]),
            t=table_scan(table),
        )
    )
    most = min(MOST_VALUES, max(ALWAYS_FEW, table.n_rows // ROWS_A_VALUE))
    few = {c for c, n in zip(columns, counts, strict=True) if 0 < n <= most}
    marked = tuple(replace(c, purpose=Purpose.ATTRIBUTE) if c.name in few else c for c in table.columns)
    return replace(table, columns=marked)
