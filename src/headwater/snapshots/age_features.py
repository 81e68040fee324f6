"""Features at an age: what a user did in the first hours, hour by hour, as known at that age."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.core.ledger import LedgerMeasure
from headwater.engine.sql import Sql, name, shim, sql
from headwater.snapshots.feature import (
    FeatureColumn,
    Formula,
    feature,
    formula,
    greatest,
    in_units,
    least,
    measured,
    total,
)

__all__ = ["age_features"]

_SPANS = (1, 6, 24, 72)
_HOUR_US = 3_600_000_000


def age_features(
    measures: Sequence[LedgerMeasure], hours: int, *, time_zone: str
) -> tuple[FeatureColumn, ...]:
    """The columns at an age of so many hours, over rows by hour with ``age`` (hours back; the last is 1)."""
    return (
        feature(
            "tenure_days",
            formula("{h}", h=hours / 24),
            about="the age, in days; the same for all",
            unit="days",
        ),
        *_activity(hours),
        *(c for m in measures for c in _of(m, hours)),
        *_beginning(time_zone),
    )


def _activity(hours: int) -> list[FeatureColumn]:
    half = max(1, hours // 2)
    events = sql("n_events")
    return [
        feature("n_events_so_far", total(events), about="events known at the age"),
        *(_early("n_events", total(events, before=hours - s), "", s) for s in _SPANS if s < hours),
        feature("n_events_last_half", total(events, last=half), about=f"events of the last {half} hours"),
        feature("active_hours", total(sql("1")), about="hours with an event", unit="hours"),
        feature("active_days_so_far", total(sql("active_days")), about="active days so far", unit="days"),
        feature(
            "hours_since_active",
            formula("{a} - 1", a=least(sql("age"))),
            about="hours since the last hour with an event",
            unit="hours",
        ),
    ]


def _of(m: LedgerMeasure, hours: int) -> list[FeatureColumn]:
    value = name(m.name)
    first = formula("{h} - {a}", h=hours, a=greatest(sql("age"), when=sql("{v} > 0", v=value)))
    return [
        feature(f"{m.label}_so_far", measured(m), about=f"{m.name} known at the age", unit=m.unit),
        *(_early(m.label, measured(m, before=hours - s), m.unit, s) for s in _SPANS if s < hours),
        feature(
            f"{m.label}_best_hour",
            in_units(m, greatest(value)),
            about=f"{m.name} of the best hour",
            unit=m.unit,
        ),
        feature(
            f"hours_to_{m.label}",
            first,
            about=f"hours until the first with {m.name}; empty where there is none",
            unit="hours",
        ),
    ]


def _early(label: str, made: Formula, unit: str, span: int) -> FeatureColumn:
    about = f"{label} of the first {span} hours, as known at the age"
    return feature(f"{label}_first_{span}h", made, about=about, unit=unit)


def _beginning(time_zone: str) -> list[FeatureColumn]:
    """When the user began: the app's weekday (Monday is 0) and hour, to the hour's fraction."""
    weekday = sql("(first_day + 3) % 7")
    begun = shim("micros", shim("local_at", sql("first_us"), time_zone))
    return [
        feature("first_seen_weekday", _plain(weekday), about="weekday of the first event, Monday is 0"),
        feature(
            "first_seen_hour",
            formula("({b} % {day}) / {hour}", b=begun, day=24 * _HOUR_US, hour=float(_HOUR_US)),
            about="hour of the app's day of the first event, 0 to 24",
            unit="hours",
        ),
    ]


def _plain(expression: Sql) -> Formula:
    return formula("{x}", x=expression)
