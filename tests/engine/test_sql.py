"""SQL as a value: whatever the text of a name or a literal, it stays a name or a literal."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.errors import DataError
from headwater.engine.dialect import DUCKDB
from headwater.engine.sql import commas, conjunction, name, render, shim, sql

PAYLOADS = (
    "x'; DROP TABLE victims; --",
    'x"; DROP TABLE victims; --',
    "'",
    '"',
    "''",
    "\\",
    "\\'",
    "line\nbreak\r\n",
    "nul\x00byte",
    "{x}",
    "{{x}}",
    "$1 ? :name",
    "/* comment */ -- comment",
    "列名'\"",
    "😀",
    "\u202etfel",
    "",
)
ZONES = (
    "Asia/Shanghai",
    "America/New_York",
    "Europe/London",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
)
# Any text but lone surrogates, which no encoder writes.
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_comes_back_as_it_went_in_and_runs_nothing(engine, payload):
    engine.run(sql("CREATE TABLE victims AS SELECT 1 AS one"))
    assert engine.one(sql("SELECT {x}", x=payload)) == (payload,)
    assert engine.one(sql("SELECT count(*) FROM victims")) == (1,)


@pytest.mark.parametrize("payload", [p for p in PAYLOADS if p])
def test_a_name_comes_back_as_it_went_in_and_runs_nothing(engine, payload):
    engine.run(sql("CREATE TABLE victims AS SELECT 1 AS {x}", x=name(payload)))
    assert engine.describe(sql("SELECT {x} FROM victims", x=name(payload))) == [(payload, "INTEGER")]
    assert engine.one(sql("SELECT {x} FROM victims", x=name(payload))) == (1,)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=anything, other=anything)
def test_any_two_texts_stay_two_literals(shared_bench, text, other):
    assert shared_bench.engine.one(sql("SELECT {a}, {b}", a=text, b=other)) == (text, other)


def test_parts_are_typed_literals():
    query = sql("{a} {b} {c} {d} {e}", a=None, b=True, c=-5, d=0.1, e=[name("x"), name("y")])
    assert render(query, DUCKDB) == 'NULL TRUE -5 CAST(0.1 AS DOUBLE) "x",\n  "y"'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_without_a_literal_are_refused(value):
    with pytest.raises(ValueError, match="no SQL literal"):
        sql("{x}", x=value)


def test_an_empty_conjunction_is_true():
    assert render(conjunction([]), DUCKDB) == "TRUE"
    assert render(conjunction([name("a"), name("b")]), DUCKDB) == '"a" AND "b"'
    assert render(commas([]), DUCKDB) == ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    us=st.integers(0, 4_000_000_000_000_000),
    zone=st.sampled_from(ZONES),
)
def test_local_day_against_zoneinfo(shared_bench, us, zone):
    moment = datetime.fromtimestamp(us // 1_000_000, UTC).astimezone(ZoneInfo(zone))
    expected = (moment.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    assert shared_bench.engine.one(sql("SELECT {d}", d=shim("local_day", us, zone))) == (expected,)


@pytest.mark.parametrize("user", ["a", "17850", "用户", "1234567890123456789"])
def test_bucket_against_hashlib_md5(engine, user):
    expected = int(hashlib.md5(user.encode()).hexdigest()[:8], 16) % 64
    assert engine.one(sql("SELECT {b}", b=shim("bucket", user))) == (expected,)


def test_a_sum_past_int64_is_refused_with_what_to_do(engine):
    with pytest.raises(DataError) as refused:
        engine.one(sql("SELECT CAST(9223372036854775807 AS BIGINT) + CAST(1 AS BIGINT)"))
    assert refused.value.finding.code == "engine.value"


def test_files_of_the_machine_are_not_readable_as_tables(engine):
    victims = [1, 2, 3]
    assert victims
    with pytest.raises(Exception, match="victims"):
        engine.one(sql("SELECT count(*) FROM {t}", t=name("victims")))
