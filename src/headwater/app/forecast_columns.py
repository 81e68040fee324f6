"""The columns of a table of forecasts."""

from __future__ import annotations

from headwater.core.ledger import Task
from headwater.core.table import Column, Kind, Purpose

__all__ = ["forecast_columns"]


def forecast_columns(task: Task) -> tuple[Column, ...]:
    """What a forecast says of each user."""
    what = f"{task.value} in the next {task.horizon_days} days"
    return (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="forecast", kind=Kind.NUMBER, unit=task.unit, about=f"expected {what}"),
        Column(name="low", kind=Kind.NUMBER, unit=task.unit, about=f"lower bound at {task.level:.0%}"),
        Column(name="high", kind=Kind.NUMBER, unit=task.unit, about=f"upper bound at {task.level:.0%}"),
        Column(
            name="variance",
            kind=Kind.NUMBER,
            unit=f"{task.unit} squared",
            about="for totals: variances add, bounds do not",
        ),
        Column(
            name="at_left_edge",
            kind=Kind.BOOLEAN,
            purpose=Purpose.FLAG,
            about="may not have been new when first seen",
        ),
        Column(name="horizon_days", kind=Kind.INTEGER, unit="days", about="days ahead that are forecast"),
    )
