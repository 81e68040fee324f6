"""Rules of shape, reference, clock, neighbors and privacy: rows counted by hand, settings that are no defaults."""

from __future__ import annotations

import random
import string

import pytest

from headwater.contracts.luhn import card_numbers, passes_luhn
from headwater.contracts.rules import RULES
from headwater.core.contract import RuleSpec
from headwater.core.errors import HeadwaterError
from headwater.core.table import Kind
from headwater.engine.sql import name, sql

HEADER = "user,at,value\n"
DAY = "2020-01-01 10:00:"


def broken(bench, rows_of, data, *rules, **settings):
    """The rows of the file (1 is the first below the header) with the codes they break."""
    events = bench.check(data, rules=rules, **{"keep": ("value",), **settings})
    return {r["source_row"]: r["codes"] for r in rows_of(events.quarantine)}


def values(*given):
    return HEADER + "".join(f"u,2020-01-01,{v}\n" for v in given)


def rule(rule_name, *columns, max_share=None, **settings):
    return RuleSpec(rule=rule_name, columns=columns, settings=settings, max_share=max_share)


def test_every_rule_on_the_shelf_is_tested_here_or_in_test_rules():
    assert RULES.names() == (
        "after_user_created",
        "clock_skew",
        "late",
        "matches",
        "near_duplicate",
        "not_before",
        "not_future",
        "one_of",
        "ordered",
        "personal_data",
        "range",
        "references",
        "required",
        "type",
        "unique",
    )


def test_matches_takes_the_whole_value_and_leaves_missing_ones(bench, rows_of):
    data = values("AB-12", "AB-12x", "xAB-12", "ab-12", "AB-", "", "AB-1")
    found = broken(bench, rows_of, data, rule("matches", "value", pattern="[A-Z]{2}-[0-9]+"))
    assert list(found) == [2, 3, 4, 5]
    assert set(found.values()) == {"matches(value)"}


def test_a_dot_of_a_pattern_is_any_character_line_ends_included(bench, rows_of):
    data = HEADER + 'u,2020-01-01,"a\nb"\nu,2020-01-01,ab\n'
    assert list(broken(bench, rows_of, data, rule("matches", "value", pattern="a.b"))) == [2]


@pytest.mark.parametrize(
    "pattern",
    [
        "a(?=b)",
        "a(?!b)",
        "(?<=a)b",
        r"(a)\1",
        "(?P<x>a)",
        "(?i)a",
        "^a",
        "a$",
        "a++",
        "a*+",
        "a{2}{3}",
        "[[:alpha:]]",
        "[a&&b]",
        r"\bword\b",
        r"\s",
        r"\p{Greek}",
        "a{1001}",
        "a{",
        "(a",
        "[a",
        "a" * 1001,
    ],
)
def test_patterns_that_engines_read_differently_are_refused(bench, pattern):
    with pytest.raises(HeadwaterError) as refused:
        bench.check(values("a"), rules=(rule("matches", "value", pattern=pattern),))
    assert refused.value.finding.code == "pattern.refused"


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        (r"\d{3}", "123", "12a"),
        (r"(?:GB|IE)[0-9]{2,4}?", "GB1234", "FR12"),
        (r"[^@]+@[^@]+", "a@b", "a@b@c"),
        (r"\p{Lu}\p{Ll}+", "Zoë", "zoë"),
        (r"a\.b|c\$", "c$", "axb"),
        (r"[\]\-x]+", "]-x", "y"),
    ],
)
def test_patterns_of_the_subset(bench, rows_of, pattern, fits, does_not):
    assert list(
        broken(bench, rows_of, values(fits, does_not), rule("matches", "value", pattern=pattern))
    ) == [2]


def test_a_type_rule_gates_the_check_that_is_always_made(bench, rows_of):
    data = values("1", "x", "3", "4")
    events = bench.check(data, types={"value": Kind.INTEGER}, rules=(rule("type", "value", max_share=0.2),))
    (result,) = (r for r in events.rules if r.code == "type(value)")
    assert (result.n_rows, result.max_share) == (1, 0.2)
    assert [r["codes"] for r in rows_of(events.quarantine)] == ["type(value)"]
    with pytest.raises(HeadwaterError) as refused:
        bench.check(data, keep=("value",), rules=(rule("type", "value"),))
    assert refused.value.finding.code == "rule.type"


def near(*rows):
    return "user,at,event,value\n" + "".join(f"{r}\n" for r in rows)


def test_near_duplicates_within_the_moment_given_and_the_first_stays(bench, rows_of):
    data = near(
        f"a,{DAY}03,buy,5",  # 3 s after row 2
        f"a,{DAY}00,buy,5",  # the first in time, though not in the file
        f"a,{DAY}06,buy,5",  # 3 s after row 1, which is itself a near-duplicate
        f"a,{DAY}10,buy,5",  # 4 s after row 3
        f"a,{DAY}10,buy,6",  # another value
        f"b,{DAY}10,buy,5",  # another user
        f"a,{DAY}10,look,5",  # another event
        f"a,{DAY}10,buy,5",  # the same instant as row 4, later in the file
        f",{DAY}10,buy,5",  # nobody
        "a,soon,buy,5",  # no time
    )
    found = broken(
        bench, rows_of, data, rule("near_duplicate", "value", within="3s"), event="event", keep=("value",)
    )
    assert {row for row, codes in found.items() if "near" in codes} == {1, 3, 8}
    assert found[1] == "near_duplicate(value, 3s)"
    assert found[9] == "required(user)"


def test_near_duplicates_compare_typed_values(bench, rows_of):
    data = near(f"a,{DAY}00,buy,5", f"a,{DAY}00,buy,5.0", f"a,{DAY}00,buy,5.01")
    types = {"value": Kind.MONEY}
    assert list(
        broken(
            bench, rows_of, data, rule("near_duplicate", "value", within="1ms"), event="event", types=types
        )
    ) == [2]


def test_a_counter_must_grow_with_time(bench, rows_of):
    data = near(
        f"a,{DAY}01,s,1",
        f"a,{DAY}03,s,2",  # falls after row 3
        f"a,{DAY}02,s,9",
        f"a,{DAY}04,s,2",  # repeats
        f"a,{DAY}05,s,",  # missing: passed over
        f"a,{DAY}06,s,10",
        f"b,{DAY}07,s,3",  # another user
        f"a,{DAY}06,s,11",  # the same instant: taken in the order of the counter
    )
    types = {"value": Kind.INTEGER}
    assert list(broken(bench, rows_of, data, rule("ordered", "value"), types=types)) == [2, 4]
    assert list(broken(bench, rows_of, data, rule("ordered", "value", repeats=True), types=types)) == [2]


def test_a_counter_may_begin_anew_in_each_session(bench, rows_of):
    data = near(f"a,{DAY}01,x,1", f"a,{DAY}02,x,2", f"a,{DAY}03,y,1", f"a,{DAY}04,y,1")
    types = {"value": Kind.INTEGER}
    renamed = data.replace("event", "session")
    found = broken(
        bench, rows_of, renamed, rule("ordered", "value", per=("session",)), types=types, keep=("session",)
    )
    assert list(found) == [4]


def test_references_are_looked_up_as_ids_in_another_file(bench, rows_of):
    root = bench.folder()
    (root / "log.csv").write_text(values("7", " 8 ", "9.0", "10", "", "x'; DROP TABLE t; --"))
    (root / "items.csv").write_text("sku,name\n7,a\n8,b\n9,c\n9,again\n")
    contract = bench.contract(
        "log.csv", rules=(rule("references", "value", path="items.csv", column="sku"),), keep=("value",)
    )
    events = bench.check_in(root, contract)
    assert [(r["source_row"], r["codes"]) for r in rows_of(events.quarantine)] == [
        (4, "references(value in items.csv)"),
        (6, "references(value in items.csv)"),
    ]
    assert events.n_scans == 1


def test_two_references_at_once_to_parquet_and_csv(bench, rows_of):
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = bench.folder()
    (root / "log.csv").write_text("user,at,sku,shop\na,2020-01-01,1,x\nb,2020-01-01,2,y\nc,2020-01-01,3,z\n")
    pq.write_table(pa.table({"sku": pa.array([1.0, 2.0])}), root / "items.parquet")
    (root / "shops.csv").write_text("shop\nx\nz\n")
    rules = (
        rule("references", "sku", path="items.parquet"),
        rule("references", "shop", path="shops.csv"),
    )
    events = bench.check_in(root, bench.contract("log.csv", rules=rules, keep=("sku", "shop")))
    assert {r["source_row"]: r["codes"] for r in rows_of(events.quarantine)} == {
        2: "references(shop in shops.csv)",
        3: "references(sku in items.parquet)",
    }


def test_a_reference_to_a_column_or_file_that_is_not_there_is_refused(bench):
    root = bench.folder()
    (root / "log.csv").write_text(values("7"))
    (root / "items.csv").write_text("sku\n7\n")
    for settings, code in (
        ({"path": "items.csv", "column": "skuu"}, "rule.lookup_column"),
        ({"path": "nothing.csv", "column": "sku"}, "source.not_found"),
        ({"column": "sku"}, "rule.setting_type"),
    ):
        with pytest.raises(HeadwaterError) as refused:
            bench.check_in(
                root,
                bench.contract("log.csv", rules=(rule("references", "value", **settings),), keep=("value",)),
            )
        assert refused.value.finding.code == code


def test_no_event_before_its_user_by_a_column_of_the_row(bench, rows_of):
    data = "user,at,signup\n" + "".join(
        f"{u},{at},{s}\n"
        for u, at, s in (
            ("a", "2020-01-02 10:00:00", "2020-01-02 10:00:00"),
            ("b", "2020-01-02 09:59:00", "2020-01-02 10:00:00"),  # one minute early
            ("c", "2020-01-02 09:57:59", "2020-01-02 10:00:00"),  # two minutes and a second early
            ("d", "2020-01-02 09:00:00", ""),
        )
    )
    types = {"signup": Kind.TIMESTAMP}
    exact = rule("after_user_created", "signup")
    slack = rule("after_user_created", "signup", tolerance="2min")
    assert list(broken(bench, rows_of, data, exact, types=types, keep=())) == [2, 3]
    assert list(broken(bench, rows_of, data, slack, types=types, keep=())) == [3]


def test_no_event_before_its_user_by_a_users_file_in_the_zone_of_the_source(bench, rows_of):
    root = bench.folder()
    (root / "log.csv").write_text(
        "user,at\na,2020-07-01 12:00:00\na,2020-07-01 11:59:59\nb,2020-07-01 00:00:00\nc,2020-07-01 00:00:00\n"
    )
    (root / "users.csv").write_text("id,made\na,2020-07-01 12:00:00\na,2020-07-03\nb,2020-06-30T23:00:01Z\n")
    contract = bench.contract(
        "log.csv",
        zone="Europe/London",
        rules=(rule("after_user_created", path="users.csv", user="id", at="made"),),
    )
    events = bench.check_in(root, contract)
    assert [(r["source_row"], r["codes"]) for r in rows_of(events.quarantine)] == [
        (2, "after_user_created(users.csv)"),
        (3, "after_user_created(users.csv)"),  # midnight in London is 23:00 UTC, a second before
    ]


CLOCKS = "user,at,known\n" + "".join(
    f"u{i},2020-01-01 10:00:00,{k}\n"
    for i, k in enumerate(
        [
            "2020-01-01 10:00:00",
            "2020-01-01 10:20:00",
            "2020-01-01 10:20:01",
            "2020-01-01 09:55:00",
            "2020-01-01 09:54:59",
        ],
        start=1,
    )
)


def test_clock_skew_on_both_sides(bench, rows_of):
    skew = rule("clock_skew", within="20min", known_before="5min")
    assert broken(bench, rows_of, CLOCKS, skew, known_at="known", keep=()) == {
        3: "clock_skew(behind 20min)",
        5: "clock_skew(ahead 5min)",
    }


def test_late_events(bench, rows_of):
    assert broken(bench, rows_of, CLOCKS, rule("late", within="1200s"), known_at="known", keep=()) == {
        3: "late(1200s)"
    }


@pytest.mark.parametrize("rule_name", ["late", "clock_skew"])
def test_rules_about_the_time_it_became_known_need_one(bench, rule_name):
    with pytest.raises(HeadwaterError) as refused:
        bench.check(CLOCKS, rules=(rule(rule_name, within="1h"),))
    assert refused.value.finding.code == "rule.known_at"


@pytest.mark.parametrize("span", ["5", 5, "5 s", "-5s", "5m", "", None, "1.5s"])
def test_spans_that_could_mean_several_things_are_refused(bench, span):
    with pytest.raises(HeadwaterError) as refused:
        bench.check(CLOCKS, rules=(rule("late", within=span),), known_at="known")
    assert refused.value.finding.code == "rule.span"


def test_personal_data_row_by_row(bench, rows_of):
    texts = [
        "call me",  # 1
        "write to ann.lee+x@mail.example.co.uk please",  # 2: e-mail
        "@ann and a@b",  # 3: no domain
        "ring +44 20 7946 0958 today",  # 4: phone
        "ring (212) 555-0199",  # 5: phone
        "13812345678",  # 6: phone
        "order 20200101123456",  # 7: fourteen digits, no check digit
        "card 4111 1111 1111 1111 ok",  # 8: card
        "card 4111-1111-1111-1112",  # 9: wrong check digit
        "first 4111111111111112 then 5500005555555559",  # 10: the second is a card
        "378282246310005",  # 11: card of 15 digits
        "3782 822463 10005",  # 12: the same, grouped
        "x4111111111111111111119",  # 13: too long
        "",  # 14
    ]
    found = broken(bench, rows_of, values(*(f'"{t}"' for t in texts)), rule("personal_data", "value"))
    assert {row: codes.removeprefix("personal_data(value: ").rstrip(")") for row, codes in found.items()} == {
        2: "email",
        4: "phone",
        5: "phone",
        6: "phone",
        8: "card",
        10: "card",
        11: "card",
        12: "card",
    }


def test_one_kind_of_personal_data_only(bench, rows_of):
    data = values("a@b.example", "+442079460958")
    assert list(broken(bench, rows_of, data, rule("personal_data", "value", kinds=("phone",)))) == [2]
    with pytest.raises(HeadwaterError, match="Did you mean 'email'") as refused:
        bench.check(data, rules=(rule("personal_data", "value", kinds=("emial",)),))
    assert refused.value.finding.code == "rule.personal_data"


def luhn(number: str) -> bool:
    """The check of ISO/IEC 7812-1 as its annex writes it, in plain Python."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        doubled = int(digit) * (2 if place % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def test_luhn_in_sql_against_plain_python(engine):
    draw = random.Random(20)
    numbers = [
        draw.choice("23456") + "".join(draw.choices(string.digits, k=draw.randint(12, 18)))
        for _ in range(500)
    ]
    numbers += ["4111111111111111", "5500005555555559", "378282246310005", "6011111111111117"]
    text = sql("t")
    (label, found), *_ = card_numbers("t", text)
    rows = engine.rows(
        sql(
            "SELECT t, {passes} FROM (SELECT t, {found} AS {label} FROM (VALUES {values}) AS v(t)) AS cards",
            passes=passes_luhn(name(label)),
            found=found,
            label=name(label),
            values=[sql("({n})", n=n) for n in numbers],
        )
    )
    assert {n: bool(p) for n, p in rows} == {n: luhn(n) for n in numbers}
    assert 20 < sum(p for _, p in rows) < 100


def test_scans_are_one_for_row_rules_one_more_for_repeats_and_one_more_for_all_neighbors(bench):
    data = "user,at,event,value\n" + "".join(f"u{i},2020-01-01,e,{i}\n" for i in range(50))
    row_rules = (rule("range", "value", above=-1), rule("matches", "value", pattern="[0-9]+"))
    unique = (rule("unique"), rule("unique", "value"))
    neighbors = (
        rule("near_duplicate", within="9s"),
        rule("near_duplicate", "value"),
        rule("ordered", "value"),
    )

    def scans(data, *rules):
        return bench.check(data, event="event", types={"value": Kind.INTEGER}, rules=rules).n_scans

    assert scans(data) == 1
    assert scans(data, *row_rules) == 1
    assert scans(data, *row_rules, *unique) == 2
    assert scans(data, *row_rules, *neighbors) == 2
    assert scans(data, *row_rules, *unique, *neighbors) == 3
    repeated = data + "u1,2020-01-01,e,1\n"
    assert (
        scans(repeated, *row_rules, *unique, *neighbors) == 4
    )  # rows with a repeated hash are compared exactly
