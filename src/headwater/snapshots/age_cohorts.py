"""How many first days a cohort of newcomers needs: whole weeks, widened until enough users are in it."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.ledger import Ledger
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import sql

__all__ = ["CohortWidth", "cohort_width"]

_ENOUGH = 250
_WEEK = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortWidth:
    """First days a cohort holds, and users of the latest one whose window has ended."""

    days: int
    n_users: int


def cohort_width(
    engine: Engine, ledger: Ledger, *, horizon_days: int, days: int | None = None
) -> CohortWidth:
    """The fewest weeks at which the latest ended cohort has 250 users, or those at which it has most; ``days`` fixes them.

    The latest ended cohort is what intervals and scores are read off. Only cohorts that lie wholly after the
    left edge are looked at.
    """
    rows = engine.rows(
        sql("SELECT first_day, count(*) FROM {u} u GROUP BY first_day", u=table_scan(ledger.users))
    )
    came = {int(d): int(n) for d, n in rows}
    edge, last = ledger.first_day + ledger.left_edge_days, ledger.end_day - 1

    def ended(width: int) -> range:
        end = last - -(-(horizon_days - 1) // width) * width
        return range(end - width + 1, end + 1)

    def width_of(width: int) -> CohortWidth:
        return CohortWidth(days=width, n_users=sum(came.get(d, 0) for d in ended(width) if d >= edge))

    if days is not None:
        return width_of(days)
    best = width_of(_WEEK)
    for weeks in range(2, (last - edge) // _WEEK + 2):
        if best.n_users >= _ENOUGH or ended(_WEEK * weeks).start < edge:
            break
        wider = width_of(_WEEK * weeks)
        best = wider if wider.n_users > best.n_users else best
    return best
