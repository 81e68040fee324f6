"""The parts that columns play in each kind of source beside the events, and the plan that checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.contracts.plan import RESERVED, CheckPlan
from headwater.contracts.rule import BrokenWhen, Columns
from headwater.contracts.rules import RULES
from headwater.contracts.typing import (
    TypedColumn,
    id_text,
    instant_of,
    is_there,
    kind_of_engine_type,
    raw_name,
    typed_column,
)
from headwater.core.contract import App, RuleSpec
from headwater.core.errors import ConfigError, near_miss
from headwater.core.sources import OtherSource, SourceKind
from headwater.core.table import Column, Kind, Purpose
from headwater.engine.relation import Relation
from headwater.engine.sql import Sql, conjunction, name, shim, sql

__all__ = [
    "KINDS",
    "RATE_SCALE",
    "KindOfSource",
    "Role",
    "output_columns",
    "part_name",
    "plan_source",
    "roles_of",
]

RATE_SCALE = 1_000_000_000_000
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """The part a column plays: the settings key, the column it becomes, its type, and what it says."""

    key: str
    column: str
    kind: Kind
    about: str
    required: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfSource:
    """What a kind of source declares: its parts, the part that is its time, the parts of which one row each is allowed."""

    about: str
    roles: tuple[Role, ...]
    time: str | None = None
    unique: tuple[str, ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    any_of: tuple[str, ...] = ()


_USER = Role(key="user", column="user_id", kind=Kind.TEXT, about="the user", required=True)
_AT = Role(key="at", column="at_us", kind=Kind.TIMESTAMP, about="when it happened", required=True)
_DAY = Role(key="day", column="app_day", kind=Kind.DAY, about="the app's day", required=True)
_AMOUNT = Role(key="amount", column="amount", kind=Kind.MONEY, about="the amount in the app's currency")
_CURRENCY = Role(key="currency", column="currency", kind=Kind.TEXT, about="the currency the amount came in")
_CHANNEL = Role(key="channel", column="channel", kind=Kind.TEXT, about="the channel")
_CAMPAIGN = Role(key="campaign", column="campaign", kind=Kind.TEXT, about="the campaign")

KINDS: Mapping[SourceKind, KindOfSource] = {
    SourceKind.USERS: KindOfSource(
        about="one row a user; attributes that change have a row for each change, dated by changed_at",
        roles=(
            _USER,
            Role(key="changed_at", column="changed_us", kind=Kind.TIMESTAMP, about="from when the row holds"),
        ),
        time="changed_at",
        unique=("user", "changed_at"),
    ),
    SourceKind.EXPOSURES: KindOfSource(
        about="one row each time a user met an arm of an experiment",
        roles=(
            Role(key="experiment", column="experiment", kind=Kind.TEXT, about="the experiment", required=True),
            Role(key="arm", column="arm", kind=Kind.TEXT, about="the arm", required=True),
            _USER,
            _AT,
            Role(key="known_at", column="known_us", kind=Kind.TIMESTAMP, about="when the log received it"),
        ),
        time="at",
    ),
    SourceKind.COSTS: KindOfSource(
        about="what was spent on a day, by channel or campaign",
        roles=(_DAY, _CHANNEL, _CAMPAIGN, replace(_AMOUNT, required=True), _CURRENCY),
        time="day",
        any_of=("channel", "campaign"),
    ),
    SourceKind.IMPRESSIONS: KindOfSource(
        about="advertisements shown, to a user or of a campaign",
        roles=(
            replace(_USER, required=False),
            _AT,
            _CAMPAIGN,
            Role(key="n", column="n", kind=Kind.INTEGER, about="how many"),
        ),
        time="at",
        any_of=("user", "campaign"),
    ),
    SourceKind.SUBSCRIPTIONS: KindOfSource(
        about="one row a subscription",
        roles=(
            _USER,
            Role(key="plan", column="plan", kind=Kind.TEXT, about="the plan"),
            Role(key="started_at", column="started_us", kind=Kind.TIMESTAMP, about="when it began", required=True),
            Role(key="ended_at", column="ended_us", kind=Kind.TIMESTAMP, about="when it ended; empty where it runs"),
            _AMOUNT,
            _CURRENCY,
            Role(key="period", column="period", kind=Kind.TEXT, about="what one amount pays for, such as a month"),
        ),
        time="started_at",
        after=(("ended_at", "started_at"),),
    ),
    SourceKind.FX: KindOfSource(
        about="what one unit of a currency was worth in the app's currency, by day",
        roles=(
            _DAY,
            replace(_CURRENCY, about="the currency", required=True),
            Role(
                key="rate", column="rate_e12", kind=Kind.INTEGER, about="the app's currency for one unit", required=True, unit="10^-12",
            ),
        ),
        time="day",
        unique=("day", "currency"),
    ),
}  # fmt: skip


def roles_of(source: OtherSource) -> tuple[Role, ...]:
    """The parts this source gives columns to. Raises ``ConfigError`` (``source.missing_part``)."""
    kind = KINDS[source.kind]
    missing = [r.key for r in kind.roles if r.required and r.key not in source.columns]
    if kind.any_of and not any(key in source.columns for key in kind.any_of):
        missing.append(" or ".join(kind.any_of))
    if missing:
        raise ConfigError(
            "source.missing_part",
            what=f"The source '{source.name}' (kind = \"{source.kind.value}\") does not say which column is: {', '.join(missing)}.",
            why=f"Its rows are {kind.about}; without that they say nothing.",
            do=f'Add it, such as {missing[0].split()[0]} = "COLUMN".',
        )
    return tuple(r for r in kind.roles if r.key in source.columns)


def plan_source(source: OtherSource, app: App, relation: Relation, *, root: Path) -> CheckPlan:
    """Plan the check of a source. Raises ``ConfigError`` where it does not fit its files."""
    roles = roles_of(source)
    present = dict(relation.columns)
    _require_columns(source, present)
    zone = source.time_zone or app.time_zone
    parts = {r.key: _typed(r, source, present, zone) for r in roles}
    named = _kinds_by_name(source, roles, present)
    plain = tuple(typed_column(c, k, present[c], zone) for c, k in named.items())
    kind = KINDS[source.kind]
    dated = kind.time is not None and kind.time in parts and parts[kind.time].kind is Kind.TIMESTAMP
    return CheckPlan(
        zone=app.time_zone if dated else "UTC",
        columns=relation.columns,
        typed=(*parts.values(), *plain),
        user=parts["user"].value if "user" in parts else sql("CAST(NULL AS STRING)"),
        at=_time(kind, parts),
        known=sql("at_us"),
        local=None,
        source_zone=zone,
        root=root,
        checks=_checks(source, app, roles, present, parts=parts, plain=plain),
        rows=relation.rows,
        rows_keeping_aside=relation.rows_keeping_aside,
    )


def output_columns(source: OtherSource, plan: CheckPlan) -> tuple[tuple[Column, Sql], ...]:
    """The columns of the clean table, each with its SQL over the checked rows."""
    found: list[tuple[Column, Sql]] = []
    for role in roles_of(source):
        purpose = Purpose.KEY if role.column == "user_id" else Purpose.FACT
        column = Column(name=role.column, kind=role.kind, unit=role.unit, purpose=purpose, about=role.about)
        found.append((column, name(part_name(role.key))))
        if role.column == "at_us":
            day = Column(name="app_day", kind=Kind.DAY, unit="days since 1970", about="the app's local day")
            found.append((day, sql("app_day")))
    kinds = {t.column: t.kind for t in plan.typed}
    about = "an attribute" if source.kind is SourceKind.USERS else "from the source"
    found += [(Column(name=c, kind=kinds[c], about=about), name(c)) for c in source.keep]
    return tuple(found)


def part_name(key: str) -> str:
    """The typed column of a part inside the check; no source column has such a name by chance."""
    return f"part {key}"


def _typed(role: Role, source: OtherSource, present: Mapping[str, str], zone: str) -> TypedColumn:
    column = source.columns[role.key]
    engine_type = present[column]
    raw, native = raw_name(column), kind_of_engine_type(engine_type)
    there = is_there(raw, native)
    match role:
        case Role(column="user_id"):
            value, unreadable = id_text(raw, engine_type), None
        case Role(column="rate_e12"):
            value = _rate(raw, native)
            unreadable = sql("({t} AND {v} IS NULL)", t=there, v=value)
        case Role(key="currency"):
            value, unreadable = sql("nullif(upper({t}), '')", t=shim("trimmed", raw)), None
        case Role(kind=Kind.TIMESTAMP):
            value = instant_of(raw, engine_type, zone, form=source.at_format)
            unreadable = sql("({t} AND {v} IS NULL)", t=there, v=value)
        case Role(kind=Kind.DAY):
            instant = instant_of(raw, engine_type, "UTC", form=source.at_format)
            value = sql("CAST(floor({us} / 86400000000.0) AS INTEGER)", us=instant)
            unreadable = sql("({t} AND {v} IS NULL)", t=there, v=value)
        case _:
            plain = typed_column(column, role.kind, engine_type, zone)
            value, unreadable = plain.value, plain.unreadable
    return TypedColumn(column=part_name(role.key), kind=role.kind, value=value, unreadable=unreadable)


def _rate(raw: Sql, native: Kind) -> Sql:
    """A rate as a whole number of 10^-12; more than 12 decimals are rounded."""
    text = sql("nullif({t}, '')", t=shim("trimmed", raw)) if native is Kind.TEXT else raw
    return sql(
        "TRY_CAST(TRY_CAST({t} AS DECIMAL(19, 12)) * {scale} AS BIGINT)",
        t=text,
        scale=RATE_SCALE,
    )


def _time(kind: KindOfSource, parts: Mapping[str, TypedColumn]) -> Sql:
    """The time that orders rows: an undated row stands at the beginning of time."""
    if kind.time is None or kind.time not in parts:
        return sql("CAST(0 AS BIGINT)")
    value = parts[kind.time].value
    if parts[kind.time].kind is Kind.DAY:
        return sql("coalesce(CAST({d} AS BIGINT) * {us}, 0)", d=value, us=_DAY_US)
    return sql("coalesce({v}, 0)", v=value)


def _kinds_by_name(
    source: OtherSource, roles: tuple[Role, ...], present: Mapping[str, str]
) -> dict[str, Kind]:
    """The columns that are kept, and those that rules name, with their types."""
    parts = {source.columns[r.key]: Kind.NUMBER if r.column == "rate_e12" else r.kind for r in roles}
    ruled = [c for spec in source.rules for c in spec.columns]
    wanted = dict.fromkeys((*source.keep, *ruled))
    for column in wanted:
        if column.casefold() in RESERVED:
            raise ConfigError(
                "source.reserved_column",
                what=f"The source column '{column}' has the name of one of Headwater's own columns.",
                why="One of the two would hide the other.",
                do="Rename it where the file is written.",
            )
    return {c: source.types.get(c) or parts.get(c) or kind_of_engine_type(present[c]) for c in wanted}


def _require_columns(source: OtherSource, present: Mapping[str, str]) -> None:
    named = [(f"{key} =", c) for key, c in source.columns.items()]
    named += [("keep", c) for c in source.keep] + [("types", c) for c in source.types]
    named += [(f"the rule {r.rule}", c) for r in source.rules for c in r.columns]
    for where, column in named:
        if column not in present:
            raise ConfigError(
                "source.missing_column",
                what=f"In the source '{source.name}', {where} names the column '{column}', which '{source.path}' does not have.",
                why="What it says would be missing from every number built on it.",
                do=near_miss(column, present),
            )


def _checks(
    source: OtherSource,
    app: App,
    roles: tuple[Role, ...],
    present: Mapping[str, str],
    *,
    parts: Mapping[str, TypedColumn],
    plain: tuple[TypedColumn, ...],
) -> tuple[tuple[BrokenWhen, float | None], ...]:
    columns = _columns(source, app, present, plain=plain)
    required = RULES.load("required")().compile(
        RuleSpec(rule="required", columns=tuple(source.columns[r.key] for r in roles if r.required)), columns
    )
    shown = {part_name(key): column for key, column in source.columns.items()}
    unreadable = [
        BrokenWhen(
            code=f"type({shown.get(t.column, t.column)})",
            about=f"{shown.get(t.column, t.column)} is not {_ARTICLES.get(t.kind, 'a time')}",
            condition=t.unreadable,
        )
        for t in (*parts.values(), *plain)
        if t.unreadable is not None
    ]
    found: dict[str, tuple[BrokenWhen, float | None]] = {}
    for one in (*required, *unreadable, *_of_kind(source, parts, columns)):
        found.setdefault(one.code, (one, None))
    for spec in source.rules:
        for one in RULES.load(spec.rule)().compile(spec, columns):
            code = one.code if one.code not in found else f"{one.code} #{len(found)}"
            found[code] = (replace(one, code=code), spec.max_share)
    return tuple(found.values())


def _of_kind(source: OtherSource, parts: Mapping[str, TypedColumn], columns: Columns) -> list[BrokenWhen]:
    """What every source of this kind keeps: one row for each key, ends after beginnings, rates and counts above zero."""
    kind, found = KINDS[source.kind], list[BrokenWhen]()
    key = tuple(source.columns[k] for k in kind.unique if k in parts)
    if key:
        about = f"the {' and '.join(key)} of an earlier row again"
        found.append(BrokenWhen(code=f"unique({', '.join(key)})", about=about, duplicate_of=key))
    for late, early in kind.after:
        if late in parts and early in parts:
            a, b = name(part_name(late)), name(part_name(early))
            about = f"{source.columns[late]} is before {source.columns[early]}"
            found.append(BrokenWhen(code=f"order({source.columns[late]})", about=about, condition=sql("({a} < {b})", a=a, b=b)))  # fmt: skip
    for part, least in (("rate", 1), ("n", 0)):
        if part in parts:
            low = sql("({v} < {n})", v=name(part_name(part)), n=least)
            about = f"{source.columns[part]} is {'not above' if least else 'below'} zero"
            found.append(BrokenWhen(code=f"range({source.columns[part]})", about=about, condition=low))
    either = [source.columns[k] for k in kind.any_of if k in parts]
    if either:
        nothing = [sql("NOT ({t})", t=columns.there[c]) for c in either]
        about = f"neither {' nor '.join(either)} is there" if len(either) > 1 else f"{either[0]} is missing"
        found.append(BrokenWhen(code=f"required({' or '.join(either)})", about=about, condition=sql("({c})", c=conjunction(nothing))))  # fmt: skip
    return found


def _columns(
    source: OtherSource,
    app: App,
    present: Mapping[str, str],
    *,
    plain: tuple[TypedColumn, ...],
) -> Columns:
    """What rules may refer to."""
    return Columns(
        typed={t.column: t.kind for t in plain},
        raw={c: raw_name(c) for c in present},
        there={c: is_there(raw_name(c), kind_of_engine_type(t)) for c, t in present.items()},
        app=app,
        at=sql("at_us"),
        user=source.columns.get("user", ""),
        zone=source.time_zone or app.time_zone,
        unreadable={t.column: t.unreadable for t in plain if t.unreadable is not None},
        ids={c: id_text(raw_name(c), t) for c, t in present.items()},
    )


_ARTICLES = {
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a number",
    Kind.MONEY: "an amount",
    Kind.BOOLEAN: "true or false",
}
