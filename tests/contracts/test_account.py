"""The account of rows: in = kept + quarantined, exactly, whatever is wrong with the file."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.contracts.check import check_gate, require_gate
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError, DataError, GateError, HeadwaterError, SourceError
from headwater.core.table import Kind

HEADER = b"user,at,price\n"
GOOD = b"u%d,2020-01-02 10:00:00,%d.5\n"
FAULTS = {
    "no user": (b",2020-01-02,1\n", "required(user)"),
    "no time": (b"u,,1\n", "required(at)"),
    "bad time": (b"u,yesterday,1\n", "type(at)"),
    "bad price": (b"u,2020-01-02,cheap\n", "type(price)"),
    "negative": (b"u,2020-01-02,-1\n", "range(price above 0)"),
    "too many": (b"u,2020-01-02,1,2,3\n", "unreadable(too many columns)"),
    "too few": (b"u,2020-01-02\n", "unreadable(missing columns)"),
    "not utf-8": (b"u\xff,2020-01-02,1\n", "unreadable(invalid encoding)"),
    "quote in the middle": (b'"u"x,2020-01-02,1\n', "unreadable(unquoted value)"),
    "two at once": (b",yesterday,-1\n", "required(user); type(at); range(price above 0)"),
}
RULES = (RuleSpec(rule="range", columns=("price",), settings={"above": 0}),)


def check(bench, data, **settings):
    return bench.check(data, **{"types": {"price": Kind.MONEY}, "rules": RULES, **settings})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(["good", "blank", *FAULTS]), max_size=25))
def test_every_line_is_kept_or_quarantined_with_all_its_codes(shared_bench, kinds):
    lines = [
        b"\n" if k == "blank" else GOOD % (i, i) if k == "good" else FAULTS[k][0] for i, k in enumerate(kinds)
    ]
    events = check(shared_bench, HEADER + b"".join(lines), delimiter=",")
    faults = sorted(FAULTS[k][1] for k in kinds if k in FAULTS)
    assert sorted(events.quarantine.to_arrow(["codes"]).column("codes").to_pylist()) == faults
    assert events.events.n_rows == kinds.count("good")
    assert events.n_rows_in == events.events.n_rows + events.quarantine.n_rows
    counted = {code: sum(code in f.split("; ") for f in faults) for f in faults for code in f.split("; ")}
    assert {r.code: r.n_rows for r in events.rules if r.n_rows} == counted


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_exact_repeats_beyond_the_first_are_quarantined(shared_bench, values):
    data = "user,at\n" + "".join(f"u{v},2020-01-02\n" for v in values)
    events = shared_bench.check(data, rules=(RuleSpec(rule="unique"),))
    assert events.events.n_rows == len(set(values))
    first = {v: i + 1 for i, v in reversed(list(enumerate(values)))}
    repeated = sorted(events.quarantine.to_arrow(["source_row"]).column(0).to_pylist())
    assert repeated == sorted(set(range(1, len(values) + 1)) - set(first.values()))


def test_one_engine_checks_two_files_with_separate_accounts(bench):
    first = check(bench, HEADER + GOOD % (1, 1) + FAULTS["too many"][0])
    second = check(bench, HEADER + GOOD % (1, 1))
    third = check(bench, HEADER + GOOD % (1, 1) + FAULTS["too few"][0])
    assert [e.n_rows_in for e in (first, second, third)] == [2, 1, 2]


def test_the_raw_line_and_its_place_are_kept(bench, rows_of):
    events = check(bench, HEADER + GOOD % (1, 1) + b"u,2020-01-02,1,2,3\nu,yesterday,1\n")
    typed, split = sorted(rows_of(events.quarantine), key=lambda r: r["codes"])
    assert json.loads(typed["raw"]) == {"user": "u", "at": "yesterday", "price": "1"}
    assert split["raw"] == "u,2020-01-02,1,2,3"
    assert split["source_row"] == 3
    assert split["source_file"].endswith("log.csv")


def test_a_quote_closed_too_late_quarantines_every_line_it_took_in(bench, rows_of):
    data = b'user,at,price\na,2020-01-02,"1\nb,2020-01-02,2\nc,2020-01-02,"3"\nd,2020-01-02,4\n'
    events = check(bench, data)
    assert events.n_rows_in == 4
    assert rows_of(events.events, "user_id") == [{"user_id": "d"}]
    assert [r["raw"][0] for r in rows_of(events.quarantine)] == ["a", "b", "c"]
    assert [r["source_row"] for r in rows_of(events.quarantine)] == [2, 3, 4]


def test_a_quote_that_never_closes_is_refused_not_swallowed(bench):
    data = b'user,at,price\na,2020-01-02,"1\n' + b"".join(GOOD % (i, i) for i in range(2_000))
    with pytest.raises(SourceError) as refused:
        check(bench, data)
    assert refused.value.finding.code == "source.unclosed_quote"


def test_json_lines_with_broken_lines(bench, rows_of):
    lines = [
        b'{"user": "a", "at": "2020-01-02", "price": 1.5}',
        b'{"user": "b", "at": "2020-01-02", "price": "x"}',
        b'{"user": "c", "at": ',
        b"",
        b"   ",
        b'{"user": "d\xff", "at": "2020-01-02"}',
        b"[1, 2]",
        b'{"user": {"id": 1}, "at": "2020-01-03"}',
        b'{"at": "2020-01-03"}',
    ]
    for end in (b"\n", b"\r\n"):
        events = check(bench, end.join(lines) + end, path="log.jsonl")
        assert [r["user_id"] for r in rows_of(events.events)] == ["a", '{"id":1}']
        assert sorted(r["codes"] for r in rows_of(events.quarantine)) == [
            "required(user)",
            "type(price)",
            "unreadable(invalid encoding)",
            "unreadable(not a json object)",
            "unreadable(not a json object)",
        ]
        assert events.n_rows_in == 7


def test_json_keys_that_differ_in_case_stay_apart(bench, rows_of):
    events = bench.check(
        '{"user": "a", "USER": "b", "at": "2020-01-02"}\n', path="log.jsonl", user="USER", keep=("user_1",)
    )
    assert [(r["user_id"], r["user_1"]) for r in rows_of(events.events)] == [("b", "a")]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_line_ends_and_byte_order_mark(bench, rows_of, ends):
    data = b"\xef\xbb\xbf" + ends.join([b"user,at", b"a,2020-01-02", b"b,2020-01-03", b""])
    assert [r["user_id"] for r in rows_of(bench.check(data).events)] == ["a", "b"]


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ";"), ("tsv", "\t"), ("txt", "|")])
def test_delimiters_are_found(bench, rows_of, suffix, delimiter):
    data = "\n".join(
        delimiter.join(row)
        for row in (["user", "at", "note"], ["a", "2020-01-02", "x, y"], ["b", "2020-01-03", "z"])
    )
    events = bench.check(data, path=f"log.{suffix}", keep=("note",))
    assert [r["note"] for r in rows_of(events.events)] == ["x, y", "z"]


def test_gzipped_csv(bench, rows_of):
    import gzip

    events = bench.check(gzip.compress(b"user,at\na,2020-01-02\n"), path="log.csv.gz")
    assert [r["user_id"] for r in rows_of(events.events)] == ["a"]


def test_latin_1_is_read_where_it_is_declared(bench, rows_of):
    events = bench.check("user,at\nZoë,2020-01-02\n".encode("latin-1"), encoding="latin-1")
    assert [r["user_id"] for r in rows_of(events.events)] == ["Zoë"]


def test_an_unknown_encoding_is_refused(bench):
    with pytest.raises(SourceError) as refused:
        bench.check("user,at\na,2020-01-02\n", encoding="klingon")
    assert refused.value.finding.code == "source.unreadable"


@pytest.mark.parametrize("data", ["user,at\n", "user,at"])
def test_a_file_with_a_header_only_has_no_rows(bench, data):
    events = bench.check(data)
    assert events.n_rows_in == 0
    with pytest.raises(DataError) as refused:
        require_gate(events)
    assert refused.value.finding.code == "source.no_rows"


def test_an_empty_file_is_refused(bench):
    with pytest.raises(SourceError) as refused:
        bench.check("")
    assert refused.value.finding.code == "source.empty"


def test_a_path_without_a_file_is_refused(bench):
    with pytest.raises(SourceError) as refused:
        bench.check(None, path="nothing.csv")
    assert refused.value.finding.code == "source.not_found"


def test_a_file_that_is_not_what_its_name_says_is_refused(bench):
    for path in ("log.parquet", "log.xlsx", "log.jsonl"):
        with pytest.raises(HeadwaterError) as refused:
            bench.check(b"user,at\na,2020-01-02\n", path=path)
        assert refused.value.finding.code in {"source.unreadable", "source.not_json_lines"}


def test_hidden_folders_and_other_files_are_not_read(bench):
    root = bench.folder()
    for place in ("log.csv", ".headwater/steps/log.csv", "sub/.part/log.csv", "sub/log.csv"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text("user,at\na,2020-01-02\n")
    (root / "headwater.toml").write_text("[app]")
    events = bench.check_in(root, bench.contract("."))
    assert events.n_rows_in == 2


def test_files_with_other_columns_are_refused(bench):
    root = bench.folder()
    (root / "1.csv").write_text("user,at\na,2020-01-02\n")
    (root / "2.csv").write_text("at,user\n2020-01-02,a\n")
    with pytest.raises(SourceError) as refused:
        bench.check_in(root, bench.contract("*.csv"))
    assert refused.value.finding.code == "source.columns_differ"


def test_a_missing_column_is_named_with_the_near_miss(bench):
    with pytest.raises(ConfigError, match="Did you mean 'user_id'") as refused:
        bench.check("user_id,at\na,2020-01-02\n", user="user_ids")
    assert refused.value.finding.code == "source.missing_column"


@pytest.mark.parametrize(
    "column", ["at_us", "App_Day", "broken", "codes", "raw", "source_row", "is_broken", "event", "raw user"]
)
def test_columns_named_like_our_own_are_refused(bench, column):
    with pytest.raises(ConfigError) as refused:
        bench.check(f"user,at,{column}\na,2020-01-02,1\n", keep=(column,))
    assert refused.value.finding.code == "source.reserved_column"


@pytest.mark.parametrize("column", ["at_us", "codes", "filename", "__row", "raw user"])
def test_columns_named_like_our_own_are_fine_where_not_kept(bench, column):
    assert bench.check(f"user,at,{column}\na,2020-01-02,1\n").events.n_rows == 1


def test_columns_called_event_and_user_id_are_the_events_own(bench, rows_of):
    data = "user_id,at,event\na,2020-01-02,buy\n"
    events = bench.check(data, user="user_id", event="event", keep=("user_id", "event"))
    assert [(r["user_id"], r["event"]) for r in rows_of(events.events)] == [("a", "buy")]


def test_the_gate_of_one_rule(bench):
    data = HEADER + GOOD % (1, 1) * 3 + FAULTS["negative"][0]
    rule = RuleSpec(rule="range", columns=("price",), settings={"above": 0}, max_share=0.25)
    assert check_gate(check(bench, data, rules=(rule,))) == ()
    strict = RuleSpec(rule="range", columns=("price",), settings={"above": 0}, max_share=0.24)
    failing = check(bench, data, rules=(strict,))
    assert check_gate(failing) == ("25.0% of rows break range(price above 0) (allowed 24.0%)",)
    with pytest.raises(GateError) as refused:
        require_gate(failing)
    assert refused.value.finding.code == "gate.failed"


def test_the_gate_of_the_whole_load(bench):
    data = HEADER + GOOD % (1, 1) + FAULTS["too many"][0]
    assert check_gate(check(bench, data, max_share=0.5)) == ()
    assert len(check_gate(check(bench, data, max_share=0.49))) == 1


def test_a_gate_that_fails_names_the_rules_and_tells_small_shares(bench):
    data = HEADER + GOOD % (1, 1) * 2_999 + FAULTS["negative"][0]
    one = RuleSpec(rule="range", columns=("price",), settings={"above": 0}, max_share=0.0001)
    told = check_gate(check(bench, data, rules=(one,), max_share=0.0002))
    assert told == (
        "0.033% of rows break range(price above 0) (allowed 0.01%)",
        "0.033% of rows are in quarantine (allowed 0.02%): range(price above 0) 1",
    )


@pytest.mark.parametrize(("n_old", "told"), [(1, True), (2, True), (30, False)])
def test_a_few_rows_long_before_the_log_are_told(bench, n_old, told):
    """A clock that was never set says 1970: at most one row in a hundred, half a year or more before the others."""
    old = "".join(f"u{i},{1970 + i}-01-01\n" for i in range(n_old))
    new = "".join(f"u{i % 50},2024-01-{1 + i % 28:02d}\n" for i in range(2_400))
    found = [f for f in bench.check("user,at\n" + old + new).findings if f.code == "log.far_past"]
    assert bool(found) is told
    if found:
        assert found[0].numbers["n_rows"] == n_old
        assert "1970-01-01" in found[0].what
        assert 'on = "2024-01-01"' in found[0].do


def test_a_log_with_a_pause_of_months_begins_where_it_begins(bench):
    rows = "".join(f"u{i},{year}-01-{1 + i % 28:02d}\n" for year in (2022, 2024) for i in range(1_000))
    assert "log.far_past" not in {f.code for f in bench.check("user,at\n" + rows).findings}


def test_a_load_with_nothing_left_names_the_worst_rule(bench):
    with pytest.raises(GateError, match=r"type\(at\) \(2 rows\)") as refused:
        require_gate(check(bench, HEADER + FAULTS["bad time"][0] * 2))
    assert refused.value.finding.code == "gate.nothing_left"


def test_typed_parquet(bench, rows_of):
    from datetime import datetime
    from decimal import Decimal

    table = pa.table(
        {
            "user": pa.array([1234567890123456789, 2], pa.int64()),
            "at": pa.array([datetime(2020, 1, 2, 23), None], pa.timestamp("us")),
            "price": pa.array([Decimal("1.234567"), Decimal("2")], pa.decimal128(20, 6)),
            "day": pa.array([datetime(2020, 1, 2).date()] * 2, pa.date32()),
            "n": pa.array([2**63, 5], pa.uint64()),
        }
    )
    events = check(bench, table, path="log.parquet", keep=("day",), types={"price": Kind.MONEY}, rules=())
    (kept,) = rows_of(events.events)
    assert (kept["user_id"], kept["price"], kept["day"]) == ("1234567890123456789", 1_234_567, 18_263)
    assert [r["codes"] for r in rows_of(events.quarantine)] == ["required(at)"]
    too_large = bench.check(table, path="log.parquet", keep=("n",))
    assert [r["codes"] for r in rows_of(too_large.quarantine)] == ["type(n)", "required(at)"]


def test_numbers_are_read_exactly_or_not_at_all(bench, rows_of):
    values = [
        "5",
        " 7 ",
        "5.0",
        "1e3",
        "9223372036854775807",
        "-0",
        "5.0000001",
        "5.5",
        "9223372036854775808",
        "1,000",
        "x",
        "",
    ]
    data = "user\tat\tn\n" + "".join(f"a\t2020-01-02\t{v}\n" for v in values)
    events = bench.check(data, path="log.tsv", types={"n": Kind.INTEGER})
    assert [r["n"] for r in rows_of(events.events, "n")] == [5, 7, 5, 1000, 2**63 - 1, 0, None]
    assert events.quarantine.n_rows == 5


def test_money_is_read_to_six_decimals(bench, rows_of):
    values = [
        "0.002",
        "-0.000001",
        "1e3",
        "9223372036854.775807",
        "9223372036854.775808",
        "£5",
        "1.000,50",
        "inf",
        "nan",
    ]
    data = "user\tat\tn\n" + "".join(f"a\t2020-01-02\t{v}\n" for v in values)
    events = bench.check(data, path="log.tsv", types={"n": Kind.MONEY})
    assert [r["n"] for r in rows_of(events.events, "n")] == [2_000, -1, 1_000_000_000, 2**63 - 1]
    assert events.quarantine.n_rows == 5


def test_duplicates_are_found_at_their_place_in_a_large_file_with_broken_lines(bench, rows_of):
    """Rows are numbered alike in both readings, by several threads, with lines that cannot be split between."""
    n = 150_000
    lines = [f"u{i},2020-01-02,{i},{'x' * 20}" for i in range(n)]
    for i in range(0, n, 997):
        lines[i] = "too,few"
    repeats = range(50_003, n, 9_001)
    for i in repeats:
        lines[i] = lines[i - 50_001] if "too" not in lines[i - 50_001] else lines[1]
    data = "user,at,price,note\n" + "\n".join(lines) + "\n"
    events = bench.check(data, rules=(RuleSpec(rule="unique"),))
    expected: dict[str, int] = {}
    for text in lines:
        expected[text] = expected.get(text, 0) + 1
    n_split = expected.pop("too,few")
    codes = [r["codes"] for r in rows_of(events.quarantine, "codes")]
    assert codes.count("unreadable(missing columns)") == n_split
    assert codes.count("unique(row)") == sum(k - 1 for k in expected.values()) > 5
    assert (
        len(set(events.events.to_arrow(["user_id"]).column(0).to_pylist()))
        == events.events.n_rows
        == len(expected)
    )


@pytest.mark.parametrize(
    "data", [b"user,at\r\na,2020-01-01\nb,2020-01-02\r\n", b"user,at\na,2020-01-01\r\nb,2020-01-02\n"]
)
def test_mixed_line_ends_are_refused_not_guessed(bench, data):
    with pytest.raises(SourceError) as refused:
        bench.check(data)
    assert refused.value.finding.code == "source.line_ends"


def test_commas_and_line_breaks_inside_quotes_belong_to_the_value(bench, rows_of):
    events = bench.check('user,at\n"a,b",2020-01-01\n"c\nd",2020-01-01\n"e""f",2020-01-01\n')
    assert [r["user_id"] for r in rows_of(events.events)] == ["a,b", "c\nd", 'e"f']
