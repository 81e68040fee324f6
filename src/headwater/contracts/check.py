"""The quality gate: read the source once, keep what the contract allows, set the rest aside with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headwater.contracts.findings import check_result
from headwater.contracts.plan import QUARANTINE, CheckPlan, event_columns, plan_checks
from headwater.contracts.query import checked_query, mark_duplicates
from headwater.core.contract import Contract, Events, RuleResult
from headwater.core.errors import DataError, GateError
from headwater.core.span import date_of
from headwater.core.table import Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sources import Relation, open_relation, require_closed_quotes
from headwater.engine.sql import Sql, commas, sql

__all__ = ["check", "check_gate", "require_gate", "require_past"]


def check(
    engine: Engine,
    contract: Contract,
    *,
    root: Path,
    folder: Path,
    source_fingerprint: str,
    skip: Sequence[Path] = (),
) -> Events:
    """Check a source against its contract and write ``events`` and ``quarantine`` under ``folder``.

    Reads the source once, and once more only where a rule asks for duplicates. Raises ``ConfigError``
    where the contract does not fit the source; a gate that fails is told by ``check_gate``. Nothing under
    ``skip`` is data.
    """
    source = contract.source
    relation = open_relation(
        engine, root / source.path, delimiter=source.delimiter, encoding=source.encoding, skip=skip
    )
    plan = plan_checks(contract, relation, root=root)
    plan = mark_duplicates(engine, plan)
    query = checked_query(contract, plan)
    parts = folder / "checked"
    parts.parent.mkdir(parents=True, exist_ok=True)
    engine.run(
        sql(
            "COPY ({q}) TO {path} (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (is_broken), ROW_GROUP_SIZE 122880)",
            q=query,
            path=str(parts),
        )
    )
    require_closed_quotes(engine, relation)
    unreadable = _write_unreadable(engine, relation, root, folder / "unreadable.parquet")
    events = engine.adopt(_files(engine, parts, "false", query), table="events", columns=event_columns(plan))
    quarantine = engine.adopt(
        [*_files(engine, parts, "true", query), unreadable], table="quarantine", columns=QUARANTINE
    )
    rules = _rule_results(engine, plan, quarantine, n_rows_in=events.n_rows + quarantine.n_rows)
    return check_result(
        engine,
        contract=contract,
        events=events,
        quarantine=quarantine,
        rules=rules,
        relation=relation,
        source_fingerprint=source_fingerprint,
        query=query,
    )


def check_gate(events: Events) -> tuple[str, ...]:
    """Which gates the load fails, as sentences; none when it passes."""
    failed = [
        f"{r.share:.1%} of rows break {r.code} (allowed {r.max_share:.1%})"
        for r in events.rules
        if r.max_share is not None and r.share > r.max_share
    ]
    share = events.quarantine.n_rows / events.n_rows_in if events.n_rows_in else 0.0
    if share > events.contract.max_share:
        failed.append(f"{share:.1%} of rows are in quarantine (allowed {events.contract.max_share:.1%})")
    return tuple(failed)


def require_past(events: Events, today: int) -> None:
    """Raise ``GateError`` where a kept event is dated more than a day after ``today`` (an app day).

    One event in the year 2099 would make every window look complete and every user inactive.
    """
    if events.events.n_rows and events.end_day - 1 > today + 1:
        raise GateError(
            "gate.future",
            what=f"The last kept event is dated {date_of(events.end_day - 1)}, today is {date_of(today)}.",
            why="The log would seem to reach that far, and every user to have been silent since.",
            do='Add a rule: rule = "not_future" with after = "today", or correct the times.',
        )


def require_gate(events: Events) -> None:
    """Raise ``GateError`` where the load fails the gate, ``DataError`` where nothing is left."""
    if events.n_rows_in == 0:
        raise DataError(
            "source.no_rows",
            what=f"'{events.contract.source.path}' has columns but no row.",
            why="An empty load is often a failed export; nothing can be learned from it.",
            do="Export it again and check the date range.",
        )
    if events.events.n_rows == 0:
        worst = max(events.rules, key=lambda r: r.n_rows)
        raise GateError(
            "gate.nothing_left",
            what=f"All {events.n_rows_in:,} rows are in quarantine; the rule broken most is {worst.code} ({worst.n_rows:,} rows).",
            why="There is no event to build on.",
            do=f"Look at the quarantine ({events.quarantine.files[0]}), then correct the source or the rule. Example: {worst.examples[0] if worst.examples else 'none'}",
        )
    failed = check_gate(events)
    if failed:
        raise GateError(
            "gate.failed",
            what="; ".join(failed) + ".",
            why="Numbers built on this load would be about another population.",
            do=f"Look at the quarantine ({events.quarantine.files[0]}); correct the source, or raise max_share if the loss is understood.",
        )


def _files(engine: Engine, parts: Path, broken: str, query: Sql) -> list[Path]:
    found = sorted((parts / f"is_broken={broken}").glob("*.parquet"))
    if found:
        return found
    empty = parts / f"none-{broken}.parquet"
    parts.mkdir(parents=True, exist_ok=True)
    engine.run(
        sql(
            "COPY (SELECT * EXCLUDE (is_broken) FROM ({q}) LIMIT 0) TO {p} (FORMAT parquet)",
            q=query,
            p=str(empty),
        )
    )
    return [empty]


def _write_unreadable(engine: Engine, relation: Relation, root: Path, path: Path) -> Path:
    none = sql("SELECT '' AS f, 0 AS r, '' AS why, '' AS line LIMIT 0")
    aside = relation.broken or none
    engine.run(
        sql(
            "COPY (SELECT CAST(0 AS BIGINT) AS broken, concat('unreadable(', why, ')') AS codes, replace(CAST(f AS VARCHAR), {root}, '') AS source_file, CAST(r AS BIGINT) AS source_row,"
            " md5(CAST(line AS VARCHAR)) AS line_hash, CAST(line AS VARCHAR) AS raw FROM ({aside}) AS t(f, r, why, line)) TO {path} (FORMAT parquet)",
            aside=aside,
            root=f"{root}/",
            path=str(path),
        )
    )
    return path


def _rule_results(
    engine: Engine, plan: CheckPlan, quarantine: Table, *, n_rows_in: int
) -> tuple[RuleResult, ...]:
    scan = table_scan(quarantine)
    counts = [
        sql("count(*) FILTER (WHERE (CAST(broken AS BIGINT) & {b}) <> 0)", b=1 << i)
        for i in range(len(plan.checks))
    ]
    samples = [
        sql("arg_min(raw, source_row, 3) FILTER (WHERE (CAST(broken AS BIGINT) & {b}) <> 0)", b=1 << i)
        for i in range(len(plan.checks))
    ]
    row = engine.one(sql("SELECT {c}, {s} FROM {scan}", c=commas(counts), s=commas(samples), scan=scan))
    n = len(plan.checks)
    results = [
        RuleResult(
            code=one.code,
            about=one.about,
            n_rows=row[i],
            share=row[i] / n_rows_in if n_rows_in else 0.0,
            max_share=limit,
            examples=tuple(row[n + i] or ()),
        )
        for i, (one, limit) in enumerate(plan.checks)
    ]
    aside = engine.rows(
        sql(
            "SELECT codes, count(*), arg_min(raw, source_row, 3) FROM {scan} WHERE broken = 0 GROUP BY codes ORDER BY codes",
            scan=scan,
        )
    )
    results += [
        RuleResult(
            code=code,
            about="the line could not be split into columns",
            n_rows=k,
            share=k / n_rows_in,
            max_share=None,
            examples=tuple(e or ()),
        )
        for code, k, e in aside
    ]
    return tuple(results)
