"""Build the ledger day by day: user-days, users, first hours. Days whose events did not change are kept.

Every measure becomes whole numbers at a fixed scale before it is summed, so totals do not depend on the
order of rows or threads, nor on whether days came one by one or all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headwater.core.contract import Events
from headwater.core.ledger import Ledger
from headwater.core.table import Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import sql
from headwater.ledgers.days import (
    KEY_COLUMNS,
    day_columns,
    days_query,
    days_touched_by_keys,
    keys_query,
    on_days,
    write_by_day,
)
from headwater.ledgers.findings import ledger_findings, netted_by_day
from headwater.ledgers.hours import FIRST_HOURS, write_hours
from headwater.ledgers.measures import CompiledMeasure, compile_measures
from headwater.ledgers.users import Touched, write_users

__all__ = ["FIRST_HOURS", "build_ledger"]


def build_ledger(engine: Engine, events: Events, *, folder: Path, earlier: Ledger | None = None) -> Ledger:
    """Build ``ledger``, ``users``, ``user_hours`` and ``keys`` under ``folder``.

    Parameters
    ----------
    earlier
        A ledger of the same settings over an earlier state of the log: the days whose events are as they
        were are taken over from it, and what is built is the same as without it.

    Raises
    ------
    ConfigError
        A measure that cannot be computed.
    """
    kinds = {c.name: c.kind for c in events.events.columns}
    compiled = compile_measures(events.contract.measures, kinds, currency=events.contract.app.currency)
    late = events.contract.source.known_at is not None or events.contract.identity is not None
    changed = _changed_days(events, earlier)
    keys = _write_keys(engine, events, compiled, folder=folder, changed=changed, earlier=earlier)
    if keys is not None and earlier is not None:
        changed |= days_touched_by_keys(engine, changed, keys=keys, earlier=earlier.keys)
    query = days_query(compiled, table_scan(events.events_on(changed)), keys=keys, days=changed, late=late)
    days, prints = write_by_day(
        engine,
        query,
        folder,
        table="ledger",
        columns=day_columns(compiled),
        built=changed,
        earlier=None if earlier is None else earlier.days,
        prints=() if earlier is None else earlier.day_fingerprints,
    )
    touched = None if earlier is None else Touched(days=frozenset(changed), earlier=earlier)
    users = write_users(engine, events, days, folder=folder, touched=touched, late=late)
    hours = write_hours(engine, events, compiled, users, folder=folder, touched=touched, late=late)
    settle_days = _settle_days(engine, days) if late else 0
    sums = [(c.measure, c.amount) for c in compiled if c.amount is not None and not c.measure.counts]
    netted = netted_by_day(engine, events, sums, changed=changed, earlier=earlier)
    return Ledger(
        days=days,
        users=users,
        user_hours=hours,
        keys=keys,
        day_fingerprints=prints,
        built_from=events.day_fingerprints,
        netted=netted,
        measures=tuple(c.measure for c in compiled),
        first_day=events.first_day,
        end_day=events.end_day,
        left_edge_days=events.contract.app.left_edge_days,
        settle_days=settle_days,
        one_row_a_day=not late or _one_row_a_day(engine, days),
        findings=ledger_findings(
            engine,
            events,
            days,
            n_users=users.n_rows,
            settle_days=settle_days,
            sums=[measure for measure, _ in sums],
            netted=netted,
        ),
        sql=engine.text(query),
    )


def _changed_days(events: Events, earlier: Ledger | None) -> set[int]:
    """Days whose events are new, changed or gone; all days where there is nothing to build on."""
    now = set(events.day_fingerprints)
    before = set[tuple[int, str]]() if earlier is None else set(earlier.built_from)
    return {day for day, _ in now ^ before}


def _write_keys(
    engine: Engine,
    events: Events,
    compiled: Sequence[CompiledMeasure],
    *,
    folder: Path,
    changed: set[int],
    earlier: Ledger | None,
) -> Table | None:
    if all(c.key is None for c in compiled):
        return None
    inside = sql(
        "(SELECT * FROM {s} s WHERE {i})", s=table_scan(events.events_on(changed)), i=on_days(changed)
    )
    table, _ = write_by_day(
        engine,
        keys_query(compiled, inside),
        folder,
        table="keys",
        columns=KEY_COLUMNS,
        built=changed,
        earlier=None if earlier is None else earlier.keys,
    )
    return table


def _one_row_a_day(engine: Engine, days: Table) -> bool:
    user_days = sql(
        "SELECT count(*) FROM (SELECT DISTINCT user_id, app_day FROM {s} s) d", s=table_scan(days)
    )
    return bool(engine.one(user_days)[0] == days.n_rows)


def _settle_days(engine: Engine, days: Table) -> int:
    """Within how many days 99% of the user-days have become known."""
    late = sql("percentile_cont(0.99) WITHIN GROUP (ORDER BY known_day - app_day)")
    (settle,) = engine.one(
        sql("SELECT coalesce(CAST(ceil({late}) AS INTEGER), 0) FROM {s} s", late=late, s=table_scan(days))
    )
    return max(0, settle)
