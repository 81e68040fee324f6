"""Bots: users too fast, too regular or too tireless to be people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from headwater.contracts.alarm import Heard, Scope, number_of
from headwater.core.audit import AlarmSpec, Listing
from headwater.core.block import Form
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger
from headwater.core.table import Kind
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import name, sql

__all__ = ["Bots"]

_MOST_SUSPECTS = 2_000
_SHOWN = 50
_LEAST_GAPS = 100
_LEAST_GAP_US = 2_000_000
_SUSPECTS, _EVENTS = "bot suspects", "bot events"


class Bots:
    """Users who act too often in a minute, with gaps too even, or in too many hours of a day; listed, not removed.

    Events of one user at the same instant (the lines of an order) are one moment.
    """

    about: ClassVar[str] = "users too fast, too regular or too tireless to be people"
    statistical: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, float | str]] = {
        "least_events": 100,
        "per_minute": 120,
        "regular": 0.25,
        "hours": 22,
    }

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``least_events`` (100 in a day make a suspect), ``per_minute`` (120 moments), ``regular`` (0.25), ``hours`` (22).

        ``regular`` bounds the spread of the gaps between events: their 90th less their 10th percentile, over the
        median. Of people's gaps it is about 3. At most 2,000 suspects, the busiest, are looked at.
        """
        if scope.engine is None or scope.events is None or scope.ledger is None:
            return Heard(skipped="there are no events at hand")
        least = int(number_of(spec, "least_events"))
        n_suspects = _suspects(scope.engine, scope.ledger, least)
        if not n_suspects:
            return Heard()
        bounds = _Bounds(
            per_minute=number_of(spec, "per_minute"),
            regular=number_of(spec, "regular"),
            hours=number_of(spec, "hours"),
        )
        looked = _looked_at(scope)
        bots = [(row, why) for row in looked if (why := bounds.reasons(row))]
        findings = (_finding(scope, bots, n_suspects),) if bots else ()
        listings = (_listing(bots),) if bots else ()
        return Heard(n_flagged=len(bots), flags_are="users", findings=findings, listings=listings, n_scans=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    per_minute: float
    regular: float
    hours: float

    def reasons(self, row: dict[str, Any]) -> str:
        """Why a suspect is taken for a machine; empty where nothing says so."""
        found: list[str] = []
        if row["per_minute"] >= self.per_minute:
            found.append(f"{row['per_minute']:,} moments in a minute")
        even = row["spread"] is not None and row["spread"] <= self.regular
        if even and row["n_gaps"] >= _LEAST_GAPS and row["gap"] >= _LEAST_GAP_US:
            found.append(f"a gap of {row['gap'] / 1e6:,.1f} seconds, again and again")
        if row["hours"] >= self.hours:
            found.append(f"active in {row['hours']} hours of one day")
        return "; ".join(found)


def _suspects(engine: Engine, ledger: Ledger, least: int) -> int:
    """The busiest users, off the ledger: no event is read."""
    return engine.hold(
        _SUSPECTS,
        sql(
            "SELECT user_id, max(n) AS most FROM (SELECT user_id, app_day, CAST(sum(n_events) AS BIGINT) AS n FROM {days}"
            " GROUP BY user_id, app_day) d GROUP BY user_id HAVING max(n) >= {least} ORDER BY most DESC, user_id LIMIT {k}",
            days=table_scan(ledger.days),
            least=least,
            k=_MOST_SUSPECTS,
        ),
    )


def _looked_at(scope: Scope) -> list[dict[str, Any]]:
    """One row a suspect: events, the busiest minute, the gaps within an hour, the most hours of a day."""
    engine, events, ledger = scope.engine, scope.events, scope.ledger
    if engine is None or events is None or ledger is None:
        return []
    engine.hold(
        _EVENTS,
        sql(
            "SELECT e.user_id AS user_id, e.at_us AS at_us, min(e.app_day) AS app_day, CAST(count(*) AS BIGINT) AS n FROM {scan} e"
            " JOIN {s} s ON e.user_id = s.user_id GROUP BY e.user_id, e.at_us",
            scan=table_scan(events.events),
            s=name(_SUSPECTS),
        ),
    )
    paid = next((m for m in ledger.measures if m.kind is Kind.MONEY), None)
    money = sql("CAST(sum({m}) AS BIGINT)", m=name(paid.name)) if paid else sql("CAST(0 AS BIGINT)")
    query = sql(
        "SELECT g.user_id AS user_id, g.n AS n_events, g.per_minute AS per_minute, g.n_gaps AS n_gaps, g.p50 AS gap,"
        " (g.p90 - g.p10) / nullif(g.p50, 0.0) AS spread, h.hours AS hours, p.money AS money"
        " FROM (SELECT user_id, CAST(sum(n) AS BIGINT) AS n, CAST(max(in_minute) AS BIGINT) AS per_minute, CAST(count(gap) AS BIGINT) AS n_gaps,"
        " percentile_cont(0.1) WITHIN GROUP (ORDER BY gap) AS p10, percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS p50,"
        " percentile_cont(0.9) WITHIN GROUP (ORDER BY gap) AS p90 FROM ({gaps}) t GROUP BY user_id) g"
        " JOIN (SELECT user_id, max(hours) AS hours FROM (SELECT user_id, app_day, CAST(count(DISTINCT floor(CAST(at_us AS DOUBLE) / 3600000000.0)) AS BIGINT) AS hours"
        " FROM {events} GROUP BY user_id, app_day) d GROUP BY user_id) h ON g.user_id = h.user_id"
        " JOIN (SELECT user_id, {money} AS money FROM {days} GROUP BY user_id) p ON g.user_id = p.user_id ORDER BY g.n DESC, g.user_id",
        gaps=sql(
            "SELECT user_id, n, in_minute, CASE WHEN at_us - before < 3600000000 THEN CAST(at_us - before AS DOUBLE) END AS gap FROM"
            " (SELECT user_id, n, at_us, lag(at_us) OVER (PARTITION BY user_id ORDER BY at_us) AS before,"
            " count(*) OVER (PARTITION BY user_id ORDER BY at_us RANGE BETWEEN 59999999 PRECEDING AND CURRENT ROW) AS in_minute FROM {e}) w",
            e=name(_EVENTS),
        ),
        events=name(_EVENTS),
        money=money,
        days=table_scan(ledger.days),
    )
    scale = paid.scale if paid else 1
    return [{**row, "money": (row["money"] or 0) / scale} for row in engine.arrow(query).to_pylist()]


def _finding(scope: Scope, bots: list[tuple[dict[str, Any], str]], n_suspects: int) -> Finding:
    n_events = sum(row["n_events"] for row, _ in bots)
    total = int(scope.tally.daily[0].sum())
    money = sum(row["money"] for row, _ in bots)
    capped = (
        f" Only the {_MOST_SUSPECTS:,} busiest users were looked at." if n_suspects >= _MOST_SUSPECTS else ""
    )
    return Finding(
        code="alarm.bots",
        severity=Severity.WARN,
        what=(
            f"{len(bots):,} users behave like machines ({bots[0][0]['user_id']}: {bots[0][1]}); they make {n_events:,} events"
            f" ({n_events / max(total, 1):.1%}) and {money:,.0f} {scope.tally.money_name or 'money'}.{capped}"
        ),
        why="Rates, shares and forecasts are theirs as much as people's. By fixed rules, not by a test: a person may do as much.",
        do="Look at the list; block them where the log is written, or set their ids aside with a rule. They are not removed here.",
        numbers={"n_users": len(bots), "n_rows": n_events, "money": round(money, 2)},
    )


def _listing(bots: list[tuple[dict[str, Any], str]]) -> Listing:
    return Listing(
        name="bots",
        title="Users that behave like machines",
        columns=("user_id", "why", "events", "per_minute", "spread_of_gaps", "hours_of_a_day", "money"),
        forms=(Form.ID, Form.TEXT, Form.INTEGER, Form.INTEGER, Form.NUMBER, Form.INTEGER, Form.MONEY),
        rows=tuple(
            (r["user_id"], why, r["n_events"], r["per_minute"], r["spread"], r["hours"], r["money"])
            for r, why in bots[:_SHOWN]
        ),
        note=f"{len(bots):,} found, the busiest {_SHOWN} shown." if len(bots) > _SHOWN else "",
    )
