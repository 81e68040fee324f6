"""Durations and app days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.errors import UsageError
from headwater.core.span import as_days, date_of, day_of, parse_span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("6h", timedelta(hours=6)),
        ("90d", timedelta(days=90)),
        ("4w", timedelta(weeks=4)),
        (" 1d ", timedelta(days=1)),
    ],
)
def test_durations(text, span):
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["90", "d", "-1d", "1.5d", "1 d", "1m", "1D", "", "1d2h"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError) as refused:
        parse_span(text)
    assert refused.value.finding.code == "span.unreadable"


@pytest.mark.parametrize(
    ("text", "fits"),
    [("36525d", True), ("36526d", False), ("5218w", False), ("9999999d", False), (f"{10**30}h", False)],
)
def test_a_duration_is_a_hundred_years_at_most(text, fits):
    if fits:
        assert parse_span(text).days == 36_525  # 100 years of 365.25 days
        return
    with pytest.raises(UsageError, match="longer than a hundred years") as refused:
        parse_span(text)
    assert refused.value.finding.code == "span.too_long"


def test_no_time_at_all_is_told_as_that():
    for text in ("0d", "0h", "0w"):
        with pytest.raises(UsageError, match=f"'{text}' is no time at all"):
            as_days(text)


@pytest.mark.parametrize("text", ["6h", "25h", "0d", "0w"])
def test_horizons_are_whole_days(text):
    with pytest.raises(UsageError) as refused:
        as_days(text)
    assert refused.value.finding.code == "span.not_days"
    assert as_days("48h") == 2


@given(st.dates())
def test_days_and_dates_round_trip_against_datetime(when):
    assert date_of(day_of(when)) == when
    assert day_of(when) == when.toordinal() - date(1970, 1, 1).toordinal()
    assert day_of(when.isoformat()) == day_of(when)


@pytest.mark.parametrize(
    "text", ["03/04/2011", "2011-9-1", "2011-02-30", "yesterday", "", "2011-09-01T10:00"]
)
def test_dates_are_iso_only(text):
    with pytest.raises(UsageError) as refused:
        day_of(text)
    assert refused.value.finding.code == "date.unreadable"
