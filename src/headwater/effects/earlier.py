"""Which arms of earlier experiments the users of this one had met: what the carry-over check reads."""

from __future__ import annotations

from headwater.core.table import Table
from headwater.effects.exposed import Exposed
from headwater.effects.facts import N_ELSEWHERE, fact_key
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import sql

__all__ = ["MOST_EARLIER", "earlier_arms"]

MOST_EARLIER = 50  # arms of other experiments, those with most users


def earlier_arms(engine: Engine, exposures: Table, exposed: Exposed) -> dict[str, float]:
    """Users of each arm who had met each arm of another experiment before their first exposure, as facts.

    ``exposures`` is the whole log, of all experiments.
    """
    found = engine.rows(
        sql(
            "SELECT e.experiment, e.arm, u.arm, count(DISTINCT e.user_id) FROM {log} e"
            " JOIN {users} u ON e.user_id = u.user_id"
            " WHERE e.experiment <> {own} AND e.arm IS NOT NULL AND e.at_us < u.exposed_us GROUP BY e.experiment, e.arm, u.arm",
            log=table_scan(exposures),
            users=table_scan(exposed.users),
            own=exposed.experiment,
        )
    )
    counts: dict[str, dict[str, int]] = {}
    for experiment, other, arm, n in found:
        counts.setdefault(f"{experiment}: {other}", {})[str(arm)] = int(n)
    largest = sorted(counts, key=lambda other: (-sum(counts[other].values()), other))[:MOST_EARLIER]
    return {
        fact_key(f"{N_ELSEWHERE}/{other}", arm): float(counts[other].get(arm, 0))
        for other in largest
        for arm in exposed.arms
    }
