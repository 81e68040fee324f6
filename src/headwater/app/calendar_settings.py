"""``[app] holidays`` and ``calendar``: days and spans of days, in quotes or as TOML's own dates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, cast

from pydantic import BeforeValidator

from headwater.app.setting_words import shown_value
from headwater.core.errors import HeadwaterError
from headwater.core.span import day_of

__all__ = ["AppDate", "EventDays", "days_of_spans"]

_MOST_DAYS = 366
_WRITE = 'write a day (2026-11-27), a span ("2026-11-20..2026-11-27", its ends included), or a list of them'


def days_of_spans(spans: list[str]) -> tuple[int, ...]:
    """The app days of spans as ``EventDays`` holds them, each once, in order."""
    return tuple(sorted({d for span in spans for d in _days_of(span)}))


def _calendar(given: object) -> object:
    """Every event as spans in text. What is no table at all is left to the check of types."""
    if not isinstance(given, Mapping):
        return given
    return {name: _spans(str(name), value) for name, value in cast("Mapping[object, object]", given).items()}


def _spans(event: str, given: object) -> list[str]:
    each = cast("list[object]", given) if isinstance(given, list) else [given]
    if not each:
        raise ValueError(f"'{event}' has no day; {_WRITE}, or take it out")
    return [_span(event, one) for one in each]


def _span(event: str, given: object) -> str:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given.isoformat()
    if not isinstance(given, str):
        raise ValueError(f"{shown_value(given)} of '{event}' is no day; {_WRITE}")
    try:
        days = _days_of(given)
    except HeadwaterError as error:
        raise ValueError(f"{error.finding.what.rstrip('.')} (in '{event}'); {_WRITE}") from None
    if not days:
        raise ValueError(f"'{given}' of '{event}' ends before it begins")
    if len(days) > _MOST_DAYS:
        raise ValueError(
            f"'{given}' of '{event}' is {len(days):,} days long, but an event is one of at most {_MOST_DAYS}; write each year's own days"
        )
    return given


def _days_of(span: str) -> range:
    first, dots, last = span.partition("..")
    return range(day_of(first), day_of(last if dots else first) + 1)


def _date(given: Any) -> Any:
    """A date in quotes, read; everything else is left to the check of types."""
    if not isinstance(given, str):
        return given
    try:
        return date.fromisoformat(given)
    except ValueError:
        return given


AppDate = Annotated[date, BeforeValidator(_date)]
EventDays = Annotated[dict[str, list[str]], BeforeValidator(_calendar)]
