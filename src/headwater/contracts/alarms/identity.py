"""Identity: one user on very many devices, one device with very many users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headwater.contracts.alarm import Heard, Scope, number_of, text_of
from headwater.contracts.looks import words_of
from headwater.core.audit import AlarmSpec, Listing
from headwater.core.block import Form
from headwater.core.contract import Events
from headwater.core.errors import ConfigError, near_miss
from headwater.core.finding import Finding, Severity
from headwater.engine.engine import table_scan
from headwater.engine.sql import name, sql

__all__ = ["Identity"]

_DEVICE_WORDS = frozenset(
    {"device", "deviceid", "idfa", "idfv", "gaid", "aaid", "cookie", "fingerprint", "installation"}
)
_NOT_A_DEVICE = frozenset({"type", "model", "os", "brand", "class", "category", "name", "kind", "language"})
_SHOWN = 20
_PAIRS = "device users"


class Identity:
    """Users by device and devices by user, where a column is a device."""

    about: ClassVar[str] = "one device with many users, one user with many devices"
    statistical: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, float | str]] = {"device": "", "max_users": 5, "max_devices": 10}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``device`` (a kept column; guessed by its name), ``max_users`` (5 a device), ``max_devices`` (10 a user)."""
        if scope.engine is None or scope.events is None:
            return Heard(skipped="there are no events at hand")
        device = _device_column(text_of(spec, "device"), scope.events)
        if device is None:
            return Heard(skipped="no column is a device")
        engine, pairs = scope.engine, name(_PAIRS)
        engine.hold(
            _PAIRS,
            sql(
                "SELECT CAST({d} AS STRING) AS device, user_id, CAST(count(*) AS BIGINT) AS n FROM {scan} WHERE {d} IS NOT NULL GROUP BY CAST({d} AS STRING), user_id",
                d=name(device),
                scan=table_scan(scope.events.events),
            ),
        )
        most = {
            "device": int(number_of(spec, "max_users")),
            "user_id": int(number_of(spec, "max_devices")),
        }
        found = {
            one: engine.rows(
                sql(
                    "SELECT {one}, CAST(count(*) AS BIGINT) AS others, CAST(sum(n) AS BIGINT) AS n FROM {pairs} GROUP BY {one} HAVING count(*) > {most} ORDER BY others DESC, {one}",
                    one=name(one),
                    pairs=pairs,
                    most=limit,
                )
            )
            for one, limit in most.items()
        }
        return Heard(
            n_flagged=sum(map(len, found.values())),
            flags_are="ids",
            findings=(
                *_shared(device, found["device"], most["device"]),
                *_many(device, found["user_id"], most["user_id"]),
            ),
            listings=tuple(_listing(one, rows) for one, rows in found.items() if rows),
            n_scans=1,
        )


def _device_column(given: str, events: Events) -> str | None:
    columns = [c.name for c in events.events.columns]
    if given:
        if given not in columns:
            raise ConfigError(
                "alarm.unknown_column",
                what=f"The alarm 'identity' names the column '{given}', which the events do not have.",
                why="It would look at nothing.",
                do=f"Add it to keep. {near_miss(given, columns)}",
            )
        return given
    words = {c: set(words_of(c)) for c in columns}
    return next((c for c, w in words.items() if w & _DEVICE_WORDS and not w & _NOT_A_DEVICE), None)


def _shared(device: str, rows: list[tuple[str, int, int]], limit: int) -> tuple[Finding, ...]:
    n_rows = sum(r[2] for r in rows)
    what = (
        f"{len(rows):,} values of '{device}' belong to more than {limit} users each (the most: {rows[0][1]:,}), with {n_rows:,} events."
        if rows
        else ""
    )
    return (_finding("alarm.shared_device", what, rows, n_rows),) if rows else ()


def _many(device: str, rows: list[tuple[str, int, int]], limit: int) -> tuple[Finding, ...]:
    n_rows = sum(r[2] for r in rows)
    what = (
        f"{len(rows):,} users have more than {limit} values of '{device}' each (the most: {rows[0][1]:,}), with {n_rows:,} events."
        if rows
        else ""
    )
    return (_finding("alarm.many_devices", what, rows, n_rows),) if rows else ()


def _finding(code: str, what: str, rows: list[tuple[str, int, int]], n_rows: int) -> Finding:
    return Finding(
        code=code,
        severity=Severity.WARN,
        what=what,
        why="Who is who is not certain: people are counted too often, or several as one. By a fixed rule, not by a test.",
        do="Look for an empty or default id, a shared terminal or a reseller; declare an identity map if devices and logins shall be joined.",
        numbers={"n_found": len(rows), "most": rows[0][1], "n_rows": n_rows},
    )


def _listing(one: str, rows: list[tuple[str, int, int]]) -> Listing:
    shared = one == "device"
    return Listing(
        name="shared_devices" if shared else "many_devices",
        title="Devices of many users" if shared else "Users of many devices",
        columns=("device" if shared else "user_id", "users" if shared else "devices", "events"),
        forms=(Form.ID, Form.INTEGER, Form.INTEGER),
        rows=tuple(rows[:_SHOWN]),
        note=f"{len(rows):,} found, {_SHOWN} shown." if len(rows) > _SHOWN else "",
    )
