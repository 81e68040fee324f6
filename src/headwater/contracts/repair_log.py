"""What repairs changed: each raw value with what it became, counted over the kept events."""

from __future__ import annotations

from pathlib import Path

from headwater.contracts.plan import CheckPlan
from headwater.contracts.repair_plan import raw_column, repairs_of
from headwater.core.contract import Contract, RepairResult
from headwater.core.table import Column, Kind, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, name, sql, union_all

__all__ = ["MOST_LISTED", "log_repairs"]

MOST_LISTED = 10_000
"""How many different values of a column are listed; the rest is counted."""

_PAIRS = "repaired values"
_COLUMNS = (
    Column(name="column_name", kind=Kind.TEXT, about="the repaired column"),
    Column(name="repairs", kind=Kind.TEXT, about="the repairs done, in order"),
    Column(name="from_value", kind=Kind.TEXT, about="the value as it came"),
    Column(name="to_value", kind=Kind.TEXT, about="the value it became"),
    Column(name="n_rows", kind=Kind.INTEGER, about="kept events that hold it"),
)


def log_repairs(
    engine: Engine, contract: Contract, plan: CheckPlan, events: Table, *, folder: Path
) -> tuple[Table | None, tuple[RepairResult, ...]]:
    """Write the table ``repairs`` under ``folder`` and sum it up; nothing where no repair is declared.

    One aggregate over the raw columns of ``events``: rows in quarantine are not counted. Lists the
    ``MOST_LISTED`` most frequent values of each column.
    """
    if not plan.repairs:
        return None, ()
    names = {c: ", ".join(r) for c, r in repairs_of(contract).items()}
    engine.hold(_PAIRS, union_all([_pairs(c, names[c], v, events) for c, v in plan.repairs.items()]))
    ranked = sql(
        "SELECT *, row_number() OVER (PARTITION BY column_name ORDER BY n_rows DESC, from_value) AS place FROM {t}",
        t=name(_PAIRS),
    )
    table = engine.write(
        sql(
            "SELECT column_name, repairs, from_value, to_value, n_rows FROM ({ranked}) AS ranked WHERE place <= {most} ORDER BY column_name, place",
            ranked=ranked,
            most=MOST_LISTED,
        ),
        folder,
        table="repairs",
        columns=_COLUMNS,
    )
    return table, _summed_up(engine, contract, ranked)


def _pairs(column: str, repairs: str, repaired: Sql, events: Table) -> Sql:
    """Each value of a column that its repairs change; the repair is done again on the raw value."""
    return sql(
        "SELECT {column} AS column_name, {repairs} AS repairs, came AS from_value, now AS to_value, count(*) AS n_rows FROM ("
        "SELECT {source} AS came, {repaired} AS now FROM (SELECT {raw} AS {source} FROM {events} e) AS again) AS both_values"
        " WHERE came IS DISTINCT FROM now GROUP BY came, now",
        column=column,
        repairs=repairs,
        source=name(column),
        repaired=repaired,
        raw=name(raw_column(column)),
        events=table_scan(events),
    )


def _summed_up(engine: Engine, contract: Contract, ranked: Sql) -> tuple[RepairResult, ...]:
    found = engine.rows(
        sql(
            "SELECT column_name, CAST(sum(n_rows) AS BIGINT), count(*), count(*) FILTER (WHERE place <= {most}),"
            " CAST(sum(CASE WHEN place <= {most} THEN n_rows ELSE 0 END) AS BIGINT),"
            " max(CASE WHEN place = 1 THEN from_value END), max(CASE WHEN place = 1 THEN to_value END)"
            " FROM ({ranked}) AS ranked GROUP BY column_name",
            most=MOST_LISTED,
            ranked=ranked,
        )
    )
    changed = {row[0]: row[1:] for row in found}
    results: list[RepairResult] = []
    for column, repairs in repairs_of(contract).items():
        n_rows, n_values, n_listed, n_rows_listed, came, now = changed.get(column, (0, 0, 0, 0, None, None))
        results.append(
            RepairResult(
                column=column,
                repairs=repairs,
                n_rows=n_rows,
                n_values=n_values,
                n_listed=n_listed,
                n_rows_listed=n_rows_listed,
                examples=(f"'{came}' became '{now}'",) if came is not None else (),
            )
        )
    return tuple(results)
