"""Times become instants, instants become app days; ids stay what they were."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.table import Kind

EPOCH = date(1970, 1, 1)


def days(bench, rows_of, *times, **settings):
    data = "user\tat\n" + "".join(f"u{i}\t{t}\n" for i, t in enumerate(times))
    events = bench.check(data, path="log.tsv", **settings)
    return {
        r["user_id"]: (EPOCH + timedelta(days=r["app_day"])).isoformat() for r in rows_of(events.events)
    }, events


def test_two_zones_source_and_app(bench, rows_of):
    found, _ = days(
        bench,
        rows_of,
        "2020-01-01 10:59:59",
        "2020-01-01 11:00:00",
        zone="Asia/Shanghai",
        time_zone="America/New_York",
    )
    assert found == {"u0": "2020-01-01", "u1": "2020-01-02"}


@pytest.mark.parametrize(
    "text",
    [
        "2020-07-01 02:00:00+08:00",
        "2020-07-01 02:00:00+0800",
        "2020-07-01 02:00:00+08",
        "2020-07-01T02:00:00.000000+08:00",
        "2020-06-30T18:00:00Z",
        "2020-06-30 18:00:00 UTC",
        "2020-06-30 18:00:00 GMT",
        "2020-06-30 12:30:00-05:30",
    ],
)
def test_an_offset_in_the_text_wins_over_the_zone(bench, rows_of, text):
    events = bench.check(f"user\tat\na\t{text}\n", path="log.tsv", zone="America/New_York")
    (row,) = rows_of(events.events)
    assert row["at_us"] == int(datetime(2020, 6, 30, 18, tzinfo=UTC).timestamp()) * 1_000_000


def test_offsets_on_some_rows_only_are_told(bench, rows_of):
    _, events = days(bench, rows_of, "2020-07-01 10:00:00", "2020-07-01 10:00:00+08:00", zone="Europe/London")
    assert "time.mixed_offsets" in [f.code for f in events.findings]
    _, events = days(
        bench, rows_of, "2020-07-01 10:00:00+07", "2020-07-01 10:00:00+08:00", zone="Europe/London"
    )
    assert "time.several_offsets" in [f.code for f in events.findings]


def test_the_hour_skipped_in_london(bench, rows_of):
    found, events = days(
        bench,
        rows_of,
        "2020-03-29 00:59:59",
        "2020-03-29 01:00:00",
        "2020-03-29 01:59:59",
        "2020-03-29 02:00:00",
        zone="Europe/London",
    )
    assert set(found) == {"u0", "u3"}
    assert {r["codes"] for r in rows_of(events.quarantine)} == {"time(skipped)"}


def test_the_hour_repeated_in_london(bench, rows_of):
    found, events = days(
        bench,
        rows_of,
        "2020-10-25 00:59:59",
        "2020-10-25 01:00:00",
        "2020-10-25 01:59:59",
        "2020-10-25 02:00:00",
        zone="Europe/London",
    )
    assert set(found.values()) == {"2020-10-25"}
    (finding,) = (f for f in events.findings if f.code == "time.repeated_hour")
    assert finding.numbers["n_rows"] == 2


def test_a_bare_date_stays_on_its_day_where_midnight_is_skipped(bench, rows_of):
    found, events = days(bench, rows_of, "2018-11-04", "2018-11-04 00:30:00", zone="America/Sao_Paulo")
    assert found == {"u0": "2018-11-04"}
    assert events.quarantine.n_rows == 1
    typed = bench.check(
        pa.table({"user": ["a"], "at": [date(2018, 11, 4)]}), path="log.parquet", zone="America/Sao_Paulo"
    )
    assert typed.events.n_rows == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moments=st.lists(st.datetimes(datetime(1999, 1, 1), datetime(2035, 1, 1)), min_size=1, max_size=20),
    zone=st.sampled_from(["Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe"]),
)
def test_app_days_and_instants_against_zoneinfo(shared_bench, moments, zone):
    whole = [m.replace(microsecond=0) for m in moments]
    utc = pa.table({"user": ["a"] * len(whole), "at": pa.array(whole, pa.timestamp("us", tz="UTC"))})
    found = (
        shared_bench.check(utc, path="log.parquet", zone=zone)
        .events.to_arrow(["at_us", "app_day"])
        .to_pylist()
    )
    expected = [m.replace(tzinfo=UTC) for m in whole]
    assert [r["at_us"] for r in found] == [int(m.timestamp()) * 1_000_000 for m in expected]
    assert [r["app_day"] for r in found] == [
        (m.astimezone(ZoneInfo(zone)).date() - EPOCH).days for m in expected
    ]


@pytest.mark.parametrize(("form", "unit"), [("epoch_s", 1), ("epoch_ms", 1_000), ("epoch_us", 1_000_000)])
def test_epoch_formats(bench, rows_of, form, unit):
    found, events = days(bench, rows_of, 1_577_836_799 * unit, 1_577_836_800 * unit, "", "x", at_format=form)
    assert found == {"u0": "2019-12-31", "u1": "2020-01-01"}
    assert sorted(r["codes"] for r in rows_of(events.quarantine)) == ["required(at)", "type(at)"]


def test_milliseconds_read_as_seconds_are_no_times(bench, rows_of):
    _, events = days(bench, rows_of, 1_577_836_800_000, at_format="epoch_s")
    assert [r["codes"] for r in rows_of(events.quarantine)] == ["type(at)"]


@pytest.mark.parametrize(
    "text",
    ["infinity", "-infinity", "10000-01-01", "0000-12-31", "13/13/2010", "2010/12/01x", "now", "2020-02-30"],
)
def test_what_is_no_time_is_quarantined(bench, rows_of, text):
    _, events = days(bench, rows_of, text, "2020-01-01", zone="Europe/London")
    assert [r["codes"] for r in rows_of(events.quarantine)] == ["type(at)"]


def test_date_formats(bench, rows_of):
    found, events = days(
        bench,
        rows_of,
        "12/1/2010 8:26",
        "13/1/2010 8:26",
        "2010-12-01",
        at_format="%m/%d/%Y %H:%M",
        zone="Europe/London",
    )
    assert found == {"u0": "2010-12-01"}
    assert events.quarantine.n_rows == 2
    found, _ = days(
        bench, rows_of, "2010-12-01 23:00 -0500", at_format="%Y-%m-%d %H:%M %z", zone="Asia/Shanghai"
    )
    assert found == {"u0": "2010-12-02"}


def test_known_at_is_kept_beside_the_time_it_happened(bench, rows_of):
    data = (
        "user,at,known\na,2020-01-01,2020-01-05\nb,2020-01-02,2020-01-01\nc,2020-01-02,\nd,2020-01-02,soon\n"
    )
    events = bench.check(data, known_at="known")
    assert [(r["app_day"], r["known_day"]) for r in rows_of(events.events)] == [
        (18_262, 18_266),
        (18_263, 18_262),
    ]
    assert [r["codes"] for r in rows_of(events.quarantine)] == ["required(known)", "type(known)"]
    assert "time.known_before" in [f.code for f in events.findings]


def test_nineteen_digit_ids_keep_every_digit(bench, rows_of):
    ids = ["1234567890123456789", "1234567890123456788", "0001", " 7 "]
    events = bench.check("user,at\n" + "".join(f"{i},2020-01-01\n" for i in ids))
    assert [r["user_id"] for r in rows_of(events.events)] == [
        "1234567890123456789",
        "1234567890123456788",
        "0001",
        "7",
    ]


def test_float_ids_lose_their_point_and_nan_is_nobody(bench, rows_of):
    table = pa.table({"user": [17850.0, float("nan"), None, 1e17, 3.5], "at": ["2020-01-01"] * 5})
    events = bench.check(table, path="log.parquet")
    assert [r["user_id"] for r in rows_of(events.events)] == ["17850", "100000000000000000", "3.5"]
    assert [r["codes"] for r in rows_of(events.quarantine)] == ["required(user)"] * 2
    assert "ids.float" in [f.code for f in events.findings]
    text = bench.check("user,at\n17850.0,2020-01-01\nv1.0,2020-01-01\n")
    assert [r["user_id"] for r in rows_of(text.events)] == ["17850", "v1.0"]


def test_chinese_names_and_columns(bench, rows_of):
    data = "用户,时间,国家\n张三,2020-01-01,中国\n李四,2020-01-02,\n"
    events = bench.check(data, user="用户", at="时间", keep=("国家",), zone="Asia/Shanghai")
    assert [(r["user_id"], r["国家"]) for r in rows_of(events.events)] == [("张三", "中国"), ("李四", None)]


@pytest.mark.parametrize(
    "column", ['say "hi"', "unit price", "line\nbreak", "x'; DROP TABLE events; --", "a.b", "{x}", "café ☕"]
)
def test_awkward_column_names_in_every_format(bench, rows_of, column):
    import csv
    import io
    import json

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["user", "at", column], ["a", "2020-01-01", "1"]])
    line = json.dumps({"user": "a", "at": "2020-01-01", column: "1"}) + "\n"
    table = pa.table({"user": ["a"], "at": ["2020-01-01"], column: ["1"]})
    for path, data in (("log.csv", out.getvalue()), ("log.jsonl", line), ("log.parquet", table)):
        events = bench.check(data, path=path, types={column: Kind.INTEGER})
        assert rows_of(events.events, column) == [{column: 1}], path


def test_excel_keeps_ids_and_numbers_repeated_headers(bench, rows_of, tmp_path):
    import xlsxwriter

    with xlsxwriter.Workbook(tmp_path / "book.xlsx") as book:
        sheet = book.add_worksheet()
        when = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        for column, label in enumerate(["user", "at", "price", "price"]):
            sheet.write(1, column, label)
        for row, (user, at, price) in enumerate(
            [
                (17850, datetime(2020, 1, 2, 10), 2.55),
                ("用户", datetime(2020, 1, 3), "x"),
                ("", datetime(2020, 1, 3), 1),
            ]
        ):
            sheet.write(row + 2, 0, user)
            sheet.write_datetime(row + 2, 1, at, when)
            sheet.write(row + 2, 2, price)
            sheet.write(row + 2, 3, row)
    events = bench.check(
        (tmp_path / "book.xlsx").read_bytes(), path="log.xlsx", types={"price": Kind.MONEY}, keep=("price_1",)
    )
    assert [(r["user_id"], r["price"], r["price_1"], r["app_day"]) for r in rows_of(events.events)] == [
        ("17850", 2_550_000, "0", 18_263)
    ]
    assert [(r["source_row"], r["codes"]) for r in rows_of(events.quarantine)] == [
        (4, "type(price)"),
        (5, "required(user)"),
    ]


def test_ids_of_unusual_types_are_text_and_stand_in_quarantine_as_they_came(bench, rows_of):
    """UUIDs and integers too long for a double: kept whole, in events and in the raw row of quarantine."""
    import uuid
    from decimal import Decimal

    import pyarrow as pa

    long = [Decimal(1234567890123456789 + i) for i in range(4)]
    ids = [uuid.UUID(int=i + 1) for i in range(4)]
    table = pa.table(
        {
            "user": pa.array([i.bytes for i in ids], pa.binary(16)).cast(pa.uuid().storage_type),
            "at": pa.array(["2024-01-01"] * 3 + ["never"]),
            "long": pa.array(long, pa.decimal128(20, 0)),
        }
    ).set_column(
        0, "user", pa.ExtensionArray.from_storage(pa.uuid(), pa.array([i.bytes for i in ids], pa.binary(16)))
    )
    events = bench.check(table, path="log.parquet", keep=("long",))
    assert sorted(r["user_id"] for r in rows_of(events.events)) == sorted(str(i) for i in ids[:3])
    (broken,) = rows_of(events.quarantine)
    assert str(long[3]) in broken["raw"]
