"""What a check will look at: the typed columns, the clocks, and every condition that breaks a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from headwater.contracts.link import Link
from headwater.contracts.repair_plan import raw_column, repaired_columns
from headwater.contracts.rule import BrokenWhen, Columns
from headwater.contracts.rules import RULES
from headwater.contracts.typing import (
    TypedColumn,
    id_text,
    is_there,
    kind_of_engine_type,
    local_time,
    raw_name,
    source_columns,
    time_column,
    typed_column,
    user_column,
)
from headwater.core.contract import Contract, RuleSpec
from headwater.core.errors import ConfigError
from headwater.core.table import Column, Kind, Purpose
from headwater.engine.sources import Relation
from headwater.engine.sql import Sql, shim, sql

__all__ = ["QUARANTINE", "RESERVED", "CheckPlan", "event_columns", "plan_checks"]

_MAX_CHECKS = 60


QUARANTINE = (
    Column(name="codes", kind=Kind.TEXT, about="the codes of all rules the row broke"),
    Column(name="source_file", kind=Kind.TEXT, about="the file the row came from"),
    Column(name="source_row", kind=Kind.INTEGER, about="its place in the file"),
    Column(name="line_hash", kind=Kind.TEXT, about="md5 of the raw row"),
    Column(name="raw", kind=Kind.TEXT, about="the row as it came"),
)


RESERVED = frozenset(
    {
        "user_id",
        "event",
        "at_us",
        "known_us",
        "app_day",
        "known_day",
        "at_offset",
        "at_twice",
        "broken",
        "is_broken",
    }
    | {c.name for c in QUARANTINE}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPlan:
    """The SQL of each part of the check; ``checks`` holds every condition with the share it may break.

    ``rows`` and ``rows_keeping_aside`` may be any subset of the source's rows. ``repairs`` gives the
    repaired value of a column, whose raw value stays in ``events`` under ``raw_column(column)``. ``marks``
    names held relations (``__file``, ``__row``, ``bits``) of what only other rows can tell, each row once;
    ``n_scans`` counts the passes over the source, this plan's own pass among them. ``links`` are joined to
    the typed rows, before any condition looks at them.
    """

    zone: str
    columns: tuple[tuple[str, str], ...]
    typed: tuple[TypedColumn, ...]
    user: Sql
    at: Sql
    known: Sql
    local: Sql | None
    source_zone: str
    root: Path
    checks: tuple[tuple[BrokenWhen, float | None], ...]
    rows: Sql
    rows_keeping_aside: Sql
    repairs: Mapping[str, Sql] = field(default_factory=dict[str, Sql])
    marks: tuple[str, ...] = ()
    n_scans: int = 1
    links: tuple[Link, ...] = ()


def plan_checks(contract: Contract, relation: Relation, *, root: Path) -> CheckPlan:
    """Plan a check. Raises ``ConfigError`` where the contract does not fit the source."""
    source, app = contract.source, contract.app
    present = dict(relation.columns)
    zone = source.time_zone or app.time_zone
    repairs = repaired_columns(contract, present)
    kept = {c: k for c, k in source_columns(contract, present).items() if not _already_there(c, contract)}
    declared = {c: k for c, k in source.types.items() if c in present and not _already_there(c, contract)}
    kinds = kept | {c: k for c, k in declared.items() if c not in kept}
    _require_free(kinds, present)
    _require_free_raw(repairs, kinds)
    typed = tuple(typed_column(c, k, present[c], zone) for c, k in kinds.items())
    at = time_column(source.at, source, present[source.at], zone)
    known = (
        time_column(source.known_at, source, present[source.known_at], zone)
        if source.known_at
        else sql("at_us")
    )
    local = local_time(source.at, source, present[source.at])
    columns = _columns(contract, present, kinds=kinds, typed=typed, zone=zone)
    return CheckPlan(
        zone=app.time_zone,
        columns=relation.columns,
        typed=typed,
        user=user_column(source, present[source.user]),
        at=at,
        known=known,
        local=local,
        source_zone=zone,
        root=root,
        checks=_checks(contract, columns, typed, _skipped_hour(local, zone)),
        rows=relation.rows,
        rows_keeping_aside=relation.rows_keeping_aside,
        repairs=repairs,
    )


def _columns(
    contract: Contract,
    present: Mapping[str, str],
    *,
    kinds: Mapping[str, Kind],
    typed: Sequence[TypedColumn],
    zone: str,
) -> Columns:
    """What rules may refer to."""
    source = contract.source
    there = {c: is_there(raw_name(c), kind_of_engine_type(t)) for c, t in present.items()}
    times = {source.at: sql("at_us")} | ({source.known_at: sql("known_us")} if source.known_at else {})
    unreadable = {t.column: t.unreadable for t in typed if t.unreadable is not None}
    unreadable |= {c: sql("({v} IS NULL AND {t})", v=v, t=there[c]) for c, v in times.items()}
    return Columns(
        typed=kinds,
        raw={c: raw_name(c) for c in present},
        there=there,
        app=contract.app,
        at=sql("at_us"),
        known=sql("known_us") if source.known_at else None,
        event=raw_name(source.event) if source.event else None,
        user=source.user,
        zone=zone,
        unreadable=unreadable,
        ids={c: id_text(raw_name(c), t) for c, t in present.items()},
    )


def event_columns(plan: CheckPlan) -> tuple[Column, ...]:
    """The columns of ``events``."""
    fixed = (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY, about="the user"),
        Column(name="event", kind=Kind.TEXT, about="what happened"),
        Column(name="at_us", kind=Kind.TIMESTAMP, unit="us since 1970 UTC", about="when it happened"),
        Column(name="known_us", kind=Kind.TIMESTAMP, unit="us since 1970 UTC", about="when it became known"),
        Column(name="app_day", kind=Kind.DAY, unit="days since 1970", about="the app's local day"),
        Column(
            name="known_day",
            kind=Kind.DAY,
            unit="days since 1970",
            about="the app's local day it became known",
        ),
    )
    came = tuple(
        Column(name=raw_column(c), kind=Kind.TEXT, about=f"{c} as it came, before repairs")
        for c in plan.repairs
    )
    return (
        fixed + tuple(Column(name=t.column, kind=t.kind, about="from the source") for t in plan.typed) + came
    )


def _already_there(column: str, contract: Contract) -> bool:
    """Whether ``events`` holds this source column anyway, under the same name."""
    return {"event": contract.source.event, "user_id": contract.source.user}.get(column) == column


def _require_free(kinds: Mapping[str, Kind], present: Mapping[str, str]) -> None:
    """Refuse source columns whose names Headwater's own columns have."""
    taken = RESERVED | {f"{part} {c}".casefold() for c in present for part in ("raw", "came")}
    for column in kinds:
        if column.casefold() in taken:
            raise ConfigError(
                "source.reserved_column",
                what=f"The source column '{column}' has the name of one of Headwater's own columns.",
                why="One of the two would hide the other.",
                do="Rename it where the file is written"
                + (', or write event = "event" in place of event_is.' if column == "event" else "."),
            )


def _require_free_raw(repairs: Mapping[str, Sql], kinds: Mapping[str, Kind]) -> None:
    """Refuse repairs whose raw column has the name of another column of ``events``."""
    taken = RESERVED | {c.casefold() for c in kinds}
    for column in repairs:
        if raw_column(column).casefold() in taken:
            raise ConfigError(
                "repair.raw_taken",
                what=f"The raw values of the repaired column '{column}' would stand in '{raw_column(column)}', which is another column's name.",
                why="One of the two would hide the other, and the repair could not be undone.",
                do=f"Do not keep '{raw_column(column)}', or rename it where the file is written.",
            )


def _skipped_hour(local: Sql | None, zone: str) -> tuple[BrokenWhen, ...]:
    """Times that a clock going forward skips: no instant has them. A bare date stays on its day."""
    if local is None or zone == "UTC":
        return ()
    condition = sql(
        "({here} <> {local} AND {local} <> date_trunc('day', {local}))",
        here=shim("local_at", sql("at_us"), zone),
        local=local,
    )
    return (
        BrokenWhen(
            code="time(skipped)",
            about=f"the clocks of {zone} skip this time",
            condition=condition,
            proposal="Say under time_zone what the times mean; UTC has no such hour.",
        ),
    )


def _checks(
    contract: Contract, columns: Columns, typed: Sequence[TypedColumn], clocks: tuple[BrokenWhen, ...]
) -> tuple[tuple[BrokenWhen, float | None], ...]:
    source = contract.source
    times = (source.at, *([source.known_at] if source.known_at else []))
    always = RULES.load("required")().compile(
        RuleSpec(rule="required", columns=(source.user, *times)), columns
    )
    unreadable_times = [_unreadable_time(c, columns.unreadable[c]) for c in times]
    types = [
        BrokenWhen(
            code=f"type({t.column})",
            about=f"{t.column} is not {_article(t.kind)}",
            condition=t.unreadable,
            proposal=_readable(t),
        )
        for t in typed
        if t.unreadable is not None
    ]
    found: dict[str, tuple[BrokenWhen, float | None]] = {
        c.code: (c, None) for c in (*always, *unreadable_times, *clocks, *types)
    }
    for spec in contract.rules:
        for one in RULES.load(spec.rule)().compile(spec, columns):
            code = _free_code(one, found)
            found[code] = (replace(one, code=code), spec.max_share)
    if len(found) > _MAX_CHECKS:
        raise ConfigError(
            "rule.too_many",
            what=f"The contract makes {len(found)} checks; one pass holds {_MAX_CHECKS}.",
            why="The bits of one number say which rules a row breaks.",
            do="Merge rules, or declare fewer typed columns.",
        )
    return tuple(found.values())


def _unreadable_time(column: str, condition: Sql) -> BrokenWhen:
    return BrokenWhen(
        code=f"type({column})",
        about=f"{column} is not a time between the years 1 and 9999",
        condition=condition,
        proposal='Where most rows break this, say how times are written: at_format = "%d/%m/%Y %H:%M" under [[sources]]; where few do, ask who writes these rows.',
    )


def _free_code(one: BrokenWhen, found: Mapping[str, tuple[BrokenWhen, float | None]]) -> str:
    """The check's code; numbered where another check has it, so that neither is lost."""
    code, copy = one.code, 1
    while code in found and _asks(found[code][0]) != _asks(one):
        copy += 1
        code = f"{one.code} #{copy}"
    return code


def _asks(one: BrokenWhen) -> tuple[object, ...]:
    """What two checks must share to be one."""
    return one.condition, one.duplicate_of, one.of_whole_row, one.among, one.near


def _readable(column: TypedColumn) -> str:
    """What makes values of this column readable."""
    if column.kind in {Kind.MONEY, Kind.NUMBER, Kind.INTEGER}:
        return f'[[repairs]] repair = "parse_number", columns = ["{column.column}"], or strip_trailing for junk at the end.'
    return f'Correct the type: types = {{ {column.column} = "text" }}.'


def _article(kind: Kind) -> str:
    return {
        "integer": "a whole number",
        "number": "a number",
        "money": "an amount",
        "boolean": "true or false",
    }.get(kind.value, "a time")
