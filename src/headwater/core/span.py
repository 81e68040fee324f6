"""Spans of time and app days. A duration is written ``"90d"``, ``"4w"`` or ``"6h"``; a day is an int since 1970-01-01."""

from __future__ import annotations

import re
from datetime import date, timedelta

from headwater.core.errors import UsageError

__all__ = ["as_days", "date_of", "day_of", "parse_span"]

_EPOCH = date(1970, 1, 1)
_MOST_DAYS = 36_525
_DIGITS = 9
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_span(text: str | timedelta) -> timedelta:
    """Read a duration. Raises ``UsageError`` (``span.unreadable``, ``span.too_long`` above a hundred years).

    >>> parse_span("4w").days
    28
    """
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(r"(\d+)([hdw])", text.strip())
    if match is None:
        raise UsageError(
            "span.unreadable",
            what=f"'{text}' is not a duration.",
            why="A bare number could mean hours, days or weeks.",
            do="Write a whole number and h, d or w, such as 6h, 90d or 4w.",
        )
    unit = _UNITS[match[2]]
    if len(match[1]) > _DIGITS or int(match[1]) * unit > timedelta(days=_MOST_DAYS):
        raise UsageError(
            "span.too_long",
            what=f"'{text}' is longer than a hundred years.",
            why="No log is as long, and such a day may be in no calendar.",
            do="Write a shorter one, such as 90d or 52w.",
        )
    return int(match[1]) * unit


def as_days(text: str | timedelta) -> int:
    """A duration as whole days, at least one. Raises ``UsageError`` where it is none.

    >>> as_days("2w")
    14
    """
    span = parse_span(text)
    if span % timedelta(days=1) or span < timedelta(days=1):
        raise UsageError(
            "span.not_days",
            what=f"'{text}' is no time at all." if not span else f"'{text}' is not a whole number of days.",
            why="Horizons and cutoffs are counted in app days.",
            do="Write at least one day, with d or w, such as 30d or 4w.",
        )
    return span.days


def day_of(when: str | date) -> int:
    """An ISO date as an app day (days since 1970-01-01).

    >>> day_of("1970-01-11")
    10
    """
    if isinstance(when, str):
        try:
            when = date.fromisoformat(when)
        except ValueError:
            raise UsageError(
                "date.unreadable",
                what=f"'{when}' is not a date.",
                why="Dates are read as ISO 8601 only, so that 03/04 never means two days.",
                do="Write it as 2011-09-01.",
            ) from None
    return (when - _EPOCH).days


def date_of(day: int) -> date:
    """The date of an app day.

    >>> date_of(10).isoformat()
    '1970-01-11'
    """
    return _EPOCH + timedelta(days=day)
