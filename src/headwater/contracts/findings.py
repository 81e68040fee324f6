"""What a reader must know about a load: the account of rows, the clocks, the ids."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

from headwater.core.contract import Contract, Events, Part, RuleResult
from headwater.core.finding import Finding, Severity
from headwater.core.span import date_of
from headwater.core.table import Table, added, rows_of
from headwater.engine.sources import Relation

__all__ = ["check_result"]

_FEW_ROWS, _EMPTY_DAYS = 0.01, 180


def check_result(
    *,
    contract: Contract,
    parts: Sequence[Part],
    events: Table,
    quarantine: Table,
    rules: tuple[RuleResult, ...],
    relation: Relation,
    layout: str,
    source_fingerprint: str,
    sql_text: str,
) -> Events:
    """Put the account of all parts together, with the findings."""
    days = _days_of(parts)
    findings = [
        *_quarantined(events, quarantine, rules),
        *_far_past(days, n_rows=events.n_rows),
        *_clocks(
            contract,
            offsets=len({o for p in parts for o in p.offsets}),
            naive=sum(p.n_naive for p in parts),
            n_rows=events.n_rows,
            early=sum(p.n_early for p in parts),
            twice=sum(p.n_twice for p in parts),
        ),
        *_float_ids(contract, relation),
    ]
    return Events(
        contract=contract,
        events=events,
        quarantine=quarantine,
        n_rows_in=events.n_rows + quarantine.n_rows,
        rows_are=relation.rows_are,
        rules=rules,
        findings=tuple(findings),
        first_day=days[0][0] if days else 0,
        end_day=days[-1][0] + 1 if days else 0,
        source_fingerprint=source_fingerprint,
        sql=sql_text,
        parts=tuple(parts),
        layout=layout,
        day_fingerprints=days,
    )


def _days_of(parts: Sequence[Part]) -> tuple[tuple[int, str], ...]:
    """The fingerprint of each app day over all parts; they add up."""
    found: dict[int, str] = {}
    for day, print_ in (d for p in parts for d in p.days):
        found[day] = added(found[day], print_) if day in found else print_
    return tuple(sorted(found.items()))


def _far_past(days: Sequence[tuple[int, str]], *, n_rows: int) -> list[Finding]:
    """A few rows far before all others: a clock that was never set."""
    n_before, gap = 0, None
    for (day, mark), (after, _) in pairwise(days):
        n_before += rows_of(mark)
        if after - day >= _EMPTY_DAYS and n_before < n_rows / 2:
            gap = n_before, after
    if gap is None or gap[0] > _FEW_ROWS * n_rows:
        return []
    return [_begins_late(gap[0], date_of(days[0][0]), date_of(gap[1]))]


def _begins_late(n_rows: int, first: date, begins: date) -> Finding:
    return Finding(
        code="log.far_past",
        severity=Severity.WARN,
        what=f"Rows kept that lie far before {begins}, where the log begins in earnest: {n_rows:,}, the first on {first}.",
        why="The log seems to be that long: alarms find their usual day empty and say nothing, users seem that old, and steps by day take long.",
        do=f'Add a rule: rule = "not_before" with on = "{begins}", or correct the times.',
        numbers={"n_rows": n_rows},
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
