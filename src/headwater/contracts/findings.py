"""What a reader must know about a load: the account of rows, the clocks, the ids."""

from __future__ import annotations

from headwater.core.contract import Contract, Events, RuleResult
from headwater.core.finding import Finding, Severity
from headwater.core.table import Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sources import Relation
from headwater.engine.sql import Sql, sql

__all__ = ["check_result"]


def check_result(
    engine: Engine,
    *,
    contract: Contract,
    events: Table,
    quarantine: Table,
    rules: tuple[RuleResult, ...],
    relation: Relation,
    source_fingerprint: str,
    query: Sql,
) -> Events:
    """Put the account together and add the findings that need one look at the kept rows."""
    first, last, offsets, naive, early, twice = engine.one(
        sql(
            "SELECT coalesce(min(app_day), 0), coalesce(max(app_day), -1), count(DISTINCT nullif(at_offset, '')), count(*) FILTER (WHERE at_offset = ''),"
            " count(*) FILTER (WHERE known_day < app_day), count(*) FILTER (WHERE at_twice) FROM {scan}",
            scan=table_scan(events),
        )
    )
    n_in = events.n_rows + quarantine.n_rows
    findings = [
        *_quarantined(events, quarantine, rules),
        *_clocks(contract, offsets=offsets, naive=naive, n_rows=events.n_rows, early=early, twice=twice),
        *_float_ids(contract, relation),
    ]
    return Events(
        contract=contract,
        events=events,
        quarantine=quarantine,
        n_rows_in=n_in,
        rows_are=relation.rows_are,
        rules=rules,
        findings=tuple(findings),
        first_day=first,
        end_day=last + 1,
        source_fingerprint=source_fingerprint,
        sql=engine.text(query),
    )


def _quarantined(events: Table, quarantine: Table, rules: tuple[RuleResult, ...]) -> list[Finding]:
    n_in = events.n_rows + quarantine.n_rows
    if quarantine.n_rows == 0 or n_in == 0:
        return []
    broken = sorted((r for r in rules if r.n_rows), key=lambda r: -r.n_rows)
    causes = ", ".join(f"{r.code} {r.n_rows:,}" for r in broken[:4])
    share = quarantine.n_rows / n_in
    return [
        Finding(
            code="quarantine.rows",
            severity=Severity.WARN if share > 0.01 else Severity.NOTE,
            what=f"{quarantine.n_rows:,} of {n_in:,} rows ({share:.1%}) are in quarantine: {causes}.",
            why="Every number below is about the rows kept; a row may break several rules, so the counts add to more.",
            do="Look at the quarantine table; if a rule is wrong, change it and run again.",
            numbers={"n_quarantined": quarantine.n_rows, "n_rows_in": n_in},
        )
    ]


def _clocks(
    contract: Contract, *, offsets: int, naive: int, n_rows: int, early: int, twice: int
) -> list[Finding]:
    found: list[Finding] = []
    zone = contract.source.time_zone or contract.app.time_zone
    if offsets and naive:
        found.append(
            Finding(
                code="time.mixed_offsets",
                severity=Severity.WARN,
                what=f"{naive:,} of {n_rows:,} times carry no offset, the others carry {offsets} different ones.",
                why=f"Times without an offset were read as {zone}; if that is wrong, their days are wrong.",
                do="Say under time_zone what the times without an offset mean, or split the source in two.",
                numbers={"n_naive": naive, "n_offsets": offsets},
            )
        )
    elif offsets > 1:
        found.append(
            Finding(
                code="time.several_offsets",
                severity=Severity.NOTE,
                what=f"Times carry {offsets} different offsets; each was read as the instant it names.",
                why=f"Days are cut in {contract.app.time_zone}, so one user's evening may fall on the next app day.",
                do="Nothing, if that is meant.",
                numbers={"n_offsets": offsets},
            )
        )
    if early:
        found.append(
            Finding(
                code="time.known_before",
                severity=Severity.WARN,
                what=f"{early:,} rows became known before the day they happened.",
                why="A clock is wrong; a snapshot would know them too early.",
                do="Check the columns at and known_at.",
                numbers={"n_rows": early},
            )
        )
    if twice:
        found.append(
            Finding(
                code="time.repeated_hour",
                severity=Severity.NOTE,
                what=f"{twice:,} times fall in the hour that the clocks of {zone} show twice in autumn.",
                why="Which of the two was meant cannot be known; one of them was taken. Days do not change, hours may.",
                do="Export times in UTC or with an offset.",
                numbers={"n_rows": twice},
            )
        )
    return found


def _float_ids(contract: Contract, relation: Relation) -> list[Finding]:
    kinds = dict(relation.columns)
    if not kinds[contract.source.user].upper().startswith(("DOUBLE", "FLOAT", "REAL")):
        return []
    return [
        Finding(
            code="ids.float",
            severity=Severity.WARN,
            what=f"The user column '{contract.source.user}' is stored as a floating-point number.",
            why="Ids above 9,007,199,254,740,992 lose their last digits: two users may have become one.",
            do="Export the ids as text.",
        )
    ]
