"""Devices and logins joined into one user, deterministically: the map, its conflicts, and the plan that uses it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headwater.contracts.link import Link
from headwater.contracts.plan import CheckPlan
from headwater.contracts.rows import typed_rows
from headwater.contracts.rule import BrokenWhen
from headwater.contracts.typing import id_text, raw_name
from headwater.core.contract import Contract
from headwater.core.errors import ConfigError, near_miss
from headwater.core.finding import Finding, Severity
from headwater.core.identity import Identity, IdentityMap
from headwater.core.table import Column, Kind, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, name, shim, sql

__all__ = ["by_identity", "identity_of"]

_PAIRS, _OWNERS, _DAYS = "identity pairs", "identity owners", "identity days"
_PREFIX = "device:"
_LISTED = 5
_LONG_DAYS = 28

_COLUMNS = (
    Column(name="device_id", kind=Kind.TEXT, about="the device"),
    Column(name="login_id", kind=Kind.TEXT, about="the login; NULL for events without one"),
    Column(name="first_us", kind=Kind.TIMESTAMP, unit="us since 1970 UTC", about="the pair's first event"),
    Column(
        name="linked_us", kind=Kind.TIMESTAMP, unit="us since 1970 UTC", about="when the pair became known"
    ),
    Column(name="n_events", kind=Kind.INTEGER, about="events of the pair"),
    Column(
        name="conflict", kind=Kind.TEXT, about="several logins on the device, several devices of the login"
    ),
)


def identity_of(engine: Engine, contract: Contract, plan: CheckPlan, *, folder: Path) -> IdentityMap:
    """Work out who each device belongs to, in one pass over the plan's rows. Raises ``ConfigError`` (``source.missing_column``).

    Rows whose time cannot be read say nothing of who belongs to whom.
    """
    identity = _declared(contract, plan)
    device, login = _ids(identity, plan)
    engine.hold(
        _DAYS,
        sql(
            "SELECT device_id, login_id, day, known_day, min(at_us) AS first_us, min(known_us) AS linked_us, count(*) AS n_events FROM"
            " (SELECT {device} AS device_id, {login} AS login_id, at_us, known_us, {day} AS day, {known_day} AS known_day FROM ({rows}) AS seen"
            " WHERE at_us IS NOT NULL AND known_us IS NOT NULL) AS named WHERE device_id IS NOT NULL GROUP BY device_id, login_id, day, known_day",
            device=device,
            login=login,
            day=_day(sql("at_us"), plan),
            known_day=_day(sql("known_us"), plan),
            rows=typed_rows(replace(plan, links=())),
        ),
    )
    engine.hold(
        _PAIRS,
        sql(
            "SELECT device_id, login_id, min(first_us) AS first_us, min(linked_us) AS linked_us, CAST(sum(n_events) AS BIGINT) AS n_events"
            " FROM {days} d GROUP BY device_id, login_id",
            days=name(_DAYS),
        ),
    )
    rows = engine.write(_with_conflicts(), folder, table="identity", columns=_COLUMNS)
    made = _mapped(engine, identity, rows)
    return replace(made, findings=(*made.findings, *_past(engine)))


def by_identity(engine: Engine, contract: Contract, plan: CheckPlan, known: IdentityMap) -> CheckPlan:
    """The plan with ``user_id`` and ``known_us`` after the map: a link is known no earlier than it was."""
    identity = known.identity
    engine.hold(_OWNERS, _owners(known.rows))
    device, login = _ids(identity, plan)
    owner, linked_us = (
        name("map owner"),
        name("map linked"),
    )
    link = Link(
        held=_OWNERS,
        on=sql("{d} = {device} AND {login} IS NULL", d=name("map device"), device=device, login=login),
        values={
            "user_id": sql("CASE WHEN {login} IS NOT NULL THEN {login} WHEN {o} IS NOT NULL THEN {o} ELSE concat({p}, {device}) END", login=login, o=owner, p=_PREFIX, device=device),
            "known_us": sql("CASE WHEN {l} > known_us THEN {l} ELSE known_us END", l=linked_us),
        },
        print=lambda _: hashlib.sha256(known.rows.fingerprint.encode()).hexdigest()[:16],
    )  # fmt: skip
    nobody = BrokenWhen(
        code=f"required({identity.login} or {identity.device})",
        about=f"neither {identity.login} nor {identity.device} is there",
        condition=sql("({login} IS NULL AND {device} IS NULL)", login=login, device=device),
    )
    asked = {f"required({c})" for c in (identity.device, identity.login)} & {
        f"required({contract.source.user})"
    }
    checks = tuple(one for one in plan.checks if one[0].code not in asked)
    return replace(
        plan, links=(link, *plan.links), checks=(*checks, (nobody, None)), n_scans=plan.n_scans + 1
    )


def _declared(contract: Contract, plan: CheckPlan) -> Identity:
    identity = contract.identity
    if identity is None:
        raise ValueError("the contract declares no identity")
    present = dict(plan.columns)
    for key, column in (("device", identity.device), ("login", identity.login)):
        if column not in present:
            raise ConfigError(
                "source.missing_column",
                what=f"[identity] {key} names the column '{column}', which '{contract.source.path}' does not have.",
                why="Nobody's devices could be joined.",
                do=near_miss(column, present),
            )
    return identity


def _ids(identity: Identity, plan: CheckPlan) -> tuple[Sql, Sql]:
    present = dict(plan.columns)
    return (
        id_text(raw_name(identity.device), present[identity.device]),
        id_text(raw_name(identity.login), present[identity.login]),
    )


def _day(us: Sql, plan: CheckPlan) -> Sql:
    if plan.zone == "UTC":
        return sql("CAST(floor({us} / 86400000000.0) AS INTEGER)", us=us)
    return shim("local_day", us, plan.zone)


def _past(engine: Engine) -> list[Finding]:
    """What was known before its link was: no snapshot at a cutoff between the two days has it."""
    moved = sql(
        "SELECT d.device_id, o.linked_day - d.day AS lag, d.n_events FROM {days} d JOIN"
        " (SELECT device_id, min(known_day) AS linked_day FROM {days} l WHERE login_id IS NOT NULL GROUP BY device_id HAVING count(DISTINCT login_id) = 1) o"
        " ON d.device_id = o.device_id WHERE d.login_id IS NULL AND d.known_day < o.linked_day",
        days=name(_DAYS),
    )
    lags = engine.rows(
        sql("SELECT lag, CAST(sum(n_events) AS BIGINT) AS n FROM ({m}) m GROUP BY lag ORDER BY lag", m=moved)
    )
    if not lags:
        return []
    (n_devices,) = engine.one(sql("SELECT count(DISTINCT device_id) FROM ({m}) m", m=moved))
    n_events = sum(n for _, n in lags)
    median, share = _median(lags), sum(n for lag, n in lags if lag > _LONG_DAYS) / n_events
    return [
        Finding(
            code="identity.past",
            severity=Severity.WARN,
            what=f"{n_events:,} events without a login, on {n_devices:,} devices, were linked to a login on a later day than they became known: the median event {median:,} days after it happened, {share:.0%} of them more than {_LONG_DAYS} days after.",
            why="Snapshots at cutoffs before the link lack these events, though at that time they were there, under the device: the past is of fewer users than were served, and its totals of users without a login are too small.",
            do="For backtests over that time leave [identity] out, or start the cutoffs after most links.",
            numbers={
                "n_events_linked_later": n_events,
                "n_devices_linked_later": n_devices,
                "median_days": median,
                "share_over_28_days": share,
            },
        )
    ]


def _median(counts: Sequence[tuple[int, int]]) -> int:
    """The (lower) median of values given in order with how often each came."""
    below, half = 0, (sum(n for _, n in counts) + 1) // 2
    for value, n in counts:
        below += n
        if below >= half:
            return value
    raise ValueError("the median of nothing")


def _with_conflicts() -> Sql:
    """Each pair with what stands against it."""
    return sql(
        "SELECT device_id, login_id, first_us, linked_us, n_events,"
        " CASE WHEN n_logins > 1 AND n_devices > 1 THEN 'several logins; several devices' WHEN n_logins > 1 THEN 'several logins' WHEN n_devices > 1 THEN 'several devices' END AS conflict"
        " FROM (SELECT *, count(login_id) OVER (PARTITION BY device_id) AS n_logins,"
        " CASE WHEN login_id IS NULL THEN 0 ELSE count(*) OVER (PARTITION BY login_id) END AS n_devices FROM {pairs}) AS counted"
        " ORDER BY device_id, login_id",
        pairs=name(_PAIRS),
    )


def _owners(rows: Table) -> Sql:
    """The devices on which exactly one login was ever seen."""
    return sql(
        "SELECT device_id AS {device}, min(login_id) AS {owner}, min(linked_us) AS {linked} FROM {s} s"
        " WHERE login_id IS NOT NULL GROUP BY device_id HAVING count(*) = 1",
        device=name("map device"),
        owner=name("map owner"),
        linked=name("map linked"),
        s=table_scan(rows),
    )


def _mapped(engine: Engine, identity: Identity, rows: Table) -> IdentityMap:
    n_devices, n_logins, n_shared, n_left, n_many, n_odd = engine.one(
        sql(
            "SELECT count(DISTINCT device_id), count(DISTINCT login_id), count(DISTINCT CASE WHEN {shared} THEN device_id END),"
            " CAST(coalesce(sum(CASE WHEN {shared} AND login_id IS NULL THEN n_events END), 0) AS BIGINT),"
            " count(DISTINCT CASE WHEN conflict LIKE '%several devices' AND login_id IS NOT NULL THEN login_id END),"
            " count(DISTINCT CASE WHEN login_id LIKE {odd} THEN login_id END) FROM {s} s",
            shared=sql("conflict LIKE 'several logins%'"),
            odd=f"{_PREFIX}%",
            s=table_scan(rows),
        )
    )
    shared = _listed(engine, rows, of="device_id", conflict="several logins%")
    many = _listed(engine, rows, of="login_id", conflict="%several devices")
    made = IdentityMap(
        identity=identity,
        rows=rows,
        n_devices=n_devices,
        n_logins=n_logins,
        n_shared_devices=n_shared,
        n_events_left=n_left,
        findings=(),
    )
    return replace(
        made, findings=tuple(_findings(made, shared=shared, many=many, n_many=n_many, n_odd=n_odd))
    )


def _listed(engine: Engine, rows: Table, *, of: str, conflict: str) -> str:
    found = engine.rows(
        sql(
            "SELECT {of}, count(*) AS n FROM {s} s WHERE conflict LIKE {c} AND login_id IS NOT NULL GROUP BY {of} ORDER BY n DESC, {of} LIMIT {k}",
            of=name(of),
            s=table_scan(rows),
            c=conflict,
            k=_LISTED,
        )
    )
    return ", ".join(f"'{one}' ({n:,})" for one, n in found)


def _findings(made: IdentityMap, *, shared: str, many: str, n_many: int, n_odd: int) -> list[Finding]:
    numbers = {
        "n_devices": made.n_devices,
        "n_logins": made.n_logins,
        "n_shared_devices": made.n_shared_devices,
    }
    found = [
        Finding(
            code="identity.rule",
            severity=Severity.NOTE,
            what=f"{made.n_devices:,} devices and {made.n_logins:,} logins were joined into users. {made.identity.rule()}",
            why="Who counts as one user decides every number about users.",
            do="Nothing, if that is meant. The table identity lists every pair.",
            numbers=numbers,
        )
    ]
    if made.n_shared_devices:
        found.append(
            Finding(
                code="identity.shared_devices",
                severity=Severity.WARN,
                what=f"{made.n_shared_devices:,} devices had several logins: {shared}. Their {made.n_events_left:,} events without a login stay with the device.",
                why="Whose these events were cannot be known; giving them to one login would invent its past.",
                do="Look at them in the table identity; a kiosk or a test device is better left out by a rule.",
                numbers=numbers | {"n_events_left": made.n_events_left},
            )
        )
    if n_many:
        found.append(
            Finding(
                code="identity.many_devices",
                severity=Severity.NOTE,
                what=f"{n_many:,} logins used several devices; the most: {many}.",
                why="Their devices count as one user. A login with very many devices is often shared or automated.",
                do="Look at the first of them in the table identity.",
                numbers={"n_logins_of_many_devices": n_many},
            )
        )
    if n_odd:
        found.append(
            Finding(
                code="identity.prefix",
                severity=Severity.WARN,
                what=f"{n_odd:,} logins begin with '{_PREFIX}', as the users of devices without a login do.",
                why="Such a login and a device of that id would count as one user.",
                do="Give these logins another form where the file is written.",
                numbers={"n_logins": n_odd},
            )
        )
    return found
