"""Order: events that arrive after later events of the same user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headwater.contracts.alarm import Heard, Scope, number_of
from headwater.core.audit import AlarmSpec
from headwater.core.finding import Finding, Severity
from headwater.engine.engine import table_scan
from headwater.engine.sql import shim, sql

__all__ = ["Order"]


class Order:
    """The share of events that became known after a later event of the same user, among one in 64 users."""

    about: ClassVar[str] = "events arrive after later ones of the same user"
    statistical: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, float | str]] = {"max_share": 0.05}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``max_share`` (0.05: more than this is a note)."""
        most = number_of(spec, "max_share")
        if scope.engine is None or scope.events is None or scope.events.contract.source.known_at is None:
            return Heard(skipped="the source has no known_at")
        n, late, users = scope.engine.one(
            sql(
                "SELECT count(*), count(*) FILTER (WHERE at_us < before), count(DISTINCT CASE WHEN at_us < before THEN user_id END) FROM"
                " (SELECT user_id, at_us, max(at_us) OVER (PARTITION BY user_id ORDER BY known_us, at_us ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before"
                " FROM {scan} WHERE {bucket} = 0) o",
                scan=table_scan(scope.events.events),
                bucket=shim("bucket", sql("user_id")),
            )
        )
        share = late / n if n else 0.0
        findings = (_finding(n, late, users, share),) if share > most else ()
        return Heard(n_flagged=len(findings), findings=findings, n_scans=1)


def _finding(n: int, late: int, users: int, share: float) -> Finding:
    return Finding(
        code="alarm.order",
        severity=Severity.NOTE,
        what=f"{late:,} of {n:,} events ({share:.1%}) of one in 64 users arrived after a later event of the same user; {users:,} of these users are touched.",
        why="What reads the log in the order of its arrival (sequences, first touch) reads it wrong.",
        do="Nothing, where order is read off the time of the event, as it is here. For a column that must grow, declare the rule ordered.",
        numbers={"n_rows": late, "share": share, "n_users": users},
    )
