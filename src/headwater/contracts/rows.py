"""The rows of a source inside a check: raw values after repairs, and the typed columns beside them."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.contracts.link import linked
from headwater.contracts.plan import CheckPlan
from headwater.contracts.typing import came_name, raw_name, without_nan
from headwater.engine.relation import FILE, ROW
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["joined_up", "raw_rows", "typed_rows"]


def raw_rows(plan: CheckPlan, rows: Sql) -> Sql:
    """Raw values after repairs (``raw_name``), before them where a column is repaired (``came_name``), and the place."""
    values = [
        sql("{v} AS {r}", v=plan.repairs.get(c, without_nan(name(c), t)), r=raw_name(c))
        for c, t in plan.columns
    ]
    came = [sql("{c} AS {r}", c=name(c), r=came_name(c)) for c in plan.repairs]
    return sql(
        "SELECT {values}, {file}, {row} FROM {rows} AS source",
        values=commas([*values, *came]),
        file=name(FILE),
        row=name(ROW),
        rows=rows,
    )


def typed_rows(plan: CheckPlan, rows: Sql | None = None) -> Sql:
    """Raw values beside ``user_id``, ``at_us``, ``known_us`` and the typed columns; of ``plan.rows`` by default."""
    values = [sql(", {v} AS {c}", v=t.value, c=name(t.column)) for t in plan.typed]
    typed = sql(
        "SELECT *, {known} AS known_us FROM (SELECT *, {user} AS user_id, {at} AS at_us{values} FROM ({raw}) AS came) AS typed",
        user=plan.user,
        at=plan.at,
        known=plan.known,
        values=joined_up(values),
        raw=raw_rows(plan, plan.rows if rows is None else rows),
    )
    for link in plan.links:
        typed = linked(typed, link, columns=_all_columns(plan))
    return typed


def _all_columns(plan: CheckPlan) -> tuple[Sql, ...]:
    raw = [raw_name(c) for c, _ in plan.columns] + [came_name(c) for c in plan.repairs]
    own = [name(c) for c in (FILE, ROW, "user_id", "at_us", "known_us")]
    return (*raw, *own, *(name(t.column) for t in plan.typed))


def joined_up(parts: Sequence[Sql]) -> Sql:
    """Parts one after the other."""
    return Sql(tuple(piece for part in parts for piece in part.pieces))
