"""Users who alone are a large part of a total: whales, resellers, test accounts."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger, Task
from headwater.core.table import Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, sql

__all__ = ["LARGE_SHARE", "HeavyUser", "heavy_finding", "heavy_users"]

LARGE_SHARE = 0.10
"""As far as a total may be off and still go into a plan: one user of this share can move it as far."""
_TIMES_EVEN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class HeavyUser:
    """A user, the share of all that is expected, and of all that came in as many days before; None where it is not large."""

    user_id: str
    expected: float | None
    came: float | None

    @property
    def largest(self) -> float:
        """The larger of both shares."""
        return max(self.expected or 0.0, self.came or 0.0)


def heavy_users(
    engine: Engine, ledger: Ledger, forecast: Table, task: Task, *, value: Sql
) -> tuple[HeavyUser, ...]:
    """Who holds ``LARGE_SHARE`` of the forecast or of the window just ended, and ten times an even share; the largest first.

    ``value`` adds up what user-days brought.
    """
    expected = _large(
        engine, sql("SELECT user_id, forecast AS v FROM {f}", f=table_scan(forecast)), n=forecast.n_rows
    )
    window = sql(
        "SELECT user_id, {v} AS v FROM {d} WHERE app_day >= {a} AND app_day < {b} GROUP BY user_id",
        v=value,
        d=table_scan(ledger.days),
        a=ledger.end_day - task.horizon_days,
        b=ledger.end_day,
    )
    came = _large(engine, window, n=forecast.n_rows)
    found = [
        HeavyUser(user_id=u, expected=expected.get(u), came=came.get(u))
        for u in dict.fromkeys([*expected, *came])
    ]
    return tuple(sorted(found, key=lambda u: (-u.largest, u.user_id)))


def heavy_finding(found: tuple[HeavyUser, ...], task: Task) -> Finding | None:
    """What is to be said of them; None where there are none."""
    if not found:
        return None
    first = found[0]
    numbers = {"n_users": len(found), "user": first.user_id, "share": first.largest}
    one = len(found) == 1
    return Finding(
        code="forecast.heavy_user",
        severity=Severity.WARN,
        what=f"{' '.join(_said(u, task) for u in found)} By the rule of {LARGE_SHARE:.0%} and ten times an even share {'this user is' if one else 'these users are'} too large a part of a total.",
        why=f"The total, its interval and every mean hang on {'one user' if one else f'{len(found)} users'}: a test account makes them false, a whale that stops takes that share along.",
        do='Look at the user. A test account: set its rows aside ([[rules]] rule = "matches" on the column of user ids) and run again. A true customer: say the total with and without, and forecast that one by hand.',
        numbers=numbers,
    )


def _large(engine: Engine, values: Sql, *, n: int) -> dict[str, float]:
    rows = engine.rows(
        sql(
            "SELECT user_id, v, (SELECT sum(v) FROM ({all}) a WHERE v > 0) FROM ({own}) o WHERE v > 0 ORDER BY v DESC, user_id LIMIT {k}",
            all=values,
            own=values,
            k=round(1 / LARGE_SHARE),
        )
    )
    least = max(LARGE_SHARE, _TIMES_EVEN / n)
    return {str(user): float(v / total) for user, v, total in rows if v / total >= least}


def _said(user: HeavyUser, task: Task) -> str:
    expected = (
        None
        if user.expected is None
        else f"is {user.expected:.0%} of all {task.measure} expected in {task.horizon_days} days"
    )
    came = (
        None
        if user.came is None
        else f"brought {user.came:.0%} of what came in the {task.horizon_days} days before"
    )
    return f"User '{user.user_id}' {' and '.join(s for s in (expected, came) if s)}."
