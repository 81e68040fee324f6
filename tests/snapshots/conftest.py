"""A snapshot by hand: one user, one cutoff, plain Python over the events that were known."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Line:
    """An event: whole app days, an order, money in pence."""

    user: str
    day: int
    known: int
    order: str
    pence: int


def features_by_hand(
    lines: list[Line], user: str, cutoff: int, windows: tuple[int, ...] = (7, 28, 90)
) -> dict[str, Any] | None:
    """Every feature of the shelf for one user, straight from the events; None where the user was not known."""
    seen = [x for x in lines if x.user == user and x.day < cutoff and x.known < cutoff]
    if not seen:
        return None
    days = sorted({x.day for x in seen})
    spent: dict[int, int] = defaultdict(int)
    first_sight: dict[str, int] = {}
    for x in seen:
        spent[x.day] += x.pence
        if x.pence > 0:
            first_sight[x.order] = min(x.day, first_sight.get(x.order, x.day))
    orders: dict[int, int] = defaultdict(int)
    for day in first_sight.values():
        orders[day] += 1
    return {
        **_when(days, cutoff, windows),
        **_how_much(days, spent, cutoff, windows),
        **_how_often(days, orders, cutoff, windows),
        **_occasions(days=days, on=days, spent=spent, orders=orders, label="active_days", cutoff=cutoff),
        **_occasions(days=days, on=sorted(orders), spent=spent, orders=orders, label="orders", cutoff=cutoff),
    }


def _when(days: list[int], cutoff: int, windows: tuple[int, ...]) -> dict[str, Any]:
    n, tenure, since = len(days), cutoff - days[0], cutoff - days[-1]
    span = days[-1] - days[0]
    return {
        "tenure_days": tenure,
        "days_since_active": since,
        "active_days_total": n,
        "active_share": n / tenure,
        "mean_gap_days": span / (n - 1) if n > 1 else None,
        "overdue_ratio": since * (n - 1) / span if n > 1 else None,
        "weekend_share": sum(date.fromordinal(EPOCH.toordinal() + d).weekday() >= 5 for d in days) / n,
        "active_days_trend": _within(days, cutoff, 28)
        - (_within(days, cutoff, 56) - _within(days, cutoff, 28)),
        **{f"active_days_last_{w}d": _within(days, cutoff, w) for w in windows},
    }


def _within(days: list[int], cutoff: int, window: int) -> int:
    return sum(cutoff - window <= d for d in days)


def _summed(by_day: dict[int, int], cutoff: int, window: int) -> float:
    return sum(v for d, v in by_day.items() if cutoff - window <= d)


def _how_much(
    days: list[int], spent: dict[int, int], cutoff: int, windows: tuple[int, ...]
) -> dict[str, Any]:
    total = sum(spent.values()) / 100
    last, before = _summed(spent, cutoff, 28), _summed(spent, cutoff, 56) - _summed(spent, cutoff, 28)
    return {
        "revenue_gbp_total": total,
        "revenue_gbp_best_day": max(spent.values()) / 100,
        "revenue_gbp_given_back": -sum(v for v in spent.values() if v < 0) / 100,
        "revenue_gbp_per_active_day": total / len(days),
        "revenue_gbp_trend": (last - before) / 100,
        **{f"revenue_gbp_last_{w}d": _summed(spent, cutoff, w) / 100 for w in windows},
    }


def _how_often(
    days: list[int], orders: dict[int, int], cutoff: int, windows: tuple[int, ...]
) -> dict[str, Any]:
    last, before = _summed(orders, cutoff, 28), _summed(orders, cutoff, 56) - _summed(orders, cutoff, 28)
    return {
        "orders_total": sum(orders.values()),
        "orders_trend": last - before,
        "days_since_orders": cutoff - max(orders) if orders else None,
        **{f"orders_last_{w}d": _summed(orders, cutoff, w) for w in windows},
    }


def _occasions(
    *, days: list[int], on: list[int], spent: dict[int, int], orders: dict[int, int], label: str, cutoff: int
) -> dict[str, Any]:
    """x, t_x, T and value as in Fader, Hardie and Lee (2005), with days for periods."""
    found: dict[str, Any] = {
        f"{label}_repeats": len(on) - 1 if on else None,
        f"{label}_first_to_last": on[-1] - on[0] if on else None,
        f"{label}_age": cutoff - 1 - on[0] if on else None,
    }
    own = (("orders", orders, 1),) if label == "orders" else ()
    for measure, by_day, unit in (("revenue_gbp", spent, 100), *own):
        found[f"{measure}_on_repeat_{label}"] = sum(by_day.get(d, 0) for d in on[1:]) / unit if on else None
        found[f"{measure}_off_{label}"] = sum(by_day.get(d, 0) for d in days if d not in on) / unit
    return found


@pytest.fixture
def line() -> type[Line]:
    return Line


@pytest.fixture
def by_hand() -> Any:
    return features_by_hand


@pytest.fixture
def shop_log() -> Any:
    """Lines as the CSV a contract reads, with the contract's settings."""
    from headwater.core.contract import Aggregate, Measure
    from headwater.core.table import Kind

    def make(lines: list[Line]) -> dict[str, Any]:
        def iso(day: int) -> str:
            return date.fromordinal(EPOCH.toordinal() + day).isoformat()

        rows = "".join(
            f"{x.user},{iso(x.day)} 12:00:00,{iso(x.known)} 13:00:00,{x.order},{x.pence / 100:.2f}\n"
            for x in lines
        )
        return {
            "data": f"user,at,known,order,amount\n{rows}",
            "known_at": "known",
            "types": {"amount": Kind.MONEY},
            "measures": (
                Measure(name="revenue", aggregate=Aggregate.SUM, expression="amount"),
                Measure(
                    name="orders", aggregate=Aggregate.COUNT_DISTINCT, expression="order", where="amount > 0"
                ),
            ),
        }

    return make
