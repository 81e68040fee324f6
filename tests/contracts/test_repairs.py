"""Each repair on values worked out by hand; the raw value stays, every change is counted, rules see the repaired value."""

from __future__ import annotations

import pytest

from headwater.contracts import repair_log
from headwater.contracts.repairs import REPAIRS
from headwater.core.contract import RepairSpec, RuleSpec
from headwater.core.errors import HeadwaterError
from headwater.core.table import Kind

HEADER = "user\tat\tvalue\n"


def repair(repair_name, *columns, aliases=None, **settings):
    return RepairSpec(
        repair=repair_name, columns=columns or ("value",), settings=settings, aliases=aliases or {}
    )


def values(*given):
    return HEADER + "".join(f"u{i}\t2020-01-01\t{v}\n" for i, v in enumerate(given))


def repaired(bench, rows_of, given, *repairs, **settings):
    """The values kept, in the order they came."""
    events = bench.check(values(*given), path="log.tsv", repairs=repairs, **{"keep": ("value",), **settings})
    return [r["value"] for r in sorted(rows_of(events.events), key=lambda r: int(r["user_id"][1:]))]


def test_every_repair_on_the_shelf_is_tested_here():
    assert REPAIRS.names() == ("aliases", "case_fold", "parse_number", "strip_trailing", "trim")


def test_trim(bench, rows_of):
    given = ["a", " a", "a ", "\u00a0a\u3000", "a b", "  "]
    assert repaired(bench, rows_of, given, repair("trim")) == ["a", "a", "a", "a", "a b", None]


def test_case_fold(bench, rows_of):
    assert repaired(bench, rows_of, ["Ab", "ÉÀ"], repair("case_fold")) == ["ab", "éà"]
    assert repaired(bench, rows_of, ["Ab", "éà"], repair("case_fold", to="upper")) == ["AB", "ÉÀ"]


def test_aliases_are_exact(bench, rows_of):
    aliases = {"Google": ("google", "GOOGLE "), "O'Hare": ("ohare",)}
    given = ["google", "GOOGLE ", "GOOGLE", "Google", "ohare", "bing"]
    assert repaired(bench, rows_of, given, repair("aliases", aliases=aliases)) == [
        "Google",
        "Google",
        "GOOGLE",
        "Google",
        "O'Hare",
        "bing",
    ]


def test_strip_trailing_characters_and_pattern(bench, rows_of):
    given = ["a;.;", "a.b", ";", "a"]
    assert repaired(bench, rows_of, given, repair("strip_trailing", characters=";.")) == [
        "a",
        "a.b",
        None,
        "a",
    ]
    by_pattern = repair("strip_trailing", pattern=r"(?:#[0-9]+)+")
    assert repaired(bench, rows_of, ["a#1#22", "a#", "#1", "a"], by_pattern) == ["a", "a#", None, "a"]


@pytest.mark.parametrize(
    ("decimal", "written", "meant"),
    [
        (".", "1,234.50", 1_234_500_000),
        (".", "£1,234.50", 1_234_500_000),
        (".", "-$5", -5_000_000),
        (".", "$-5", -5_000_000),
        (".", "(12.5)", -12_500_000),
        (".", "12-", -12_000_000),
        (".", "+7", 7_000_000),
        (".", "USD 1 234", 1_234_000_000),
        (".", "1'234'567.25 CHF", 1_234_567_250_000),
        (".", ".5", 500_000),
        (".", "5.00", 5_000_000),
        (".", "1e3", 1_000_000_000),
        (",", "1.234,50 €", 1_234_500_000),
        (",", "1\u00a0234,5", 1_234_500_000),
        (",", "1.234", 1_234_000_000),
        (",", "0,5", 500_000),
    ],
)
def test_numbers_people_write(bench, rows_of, decimal, written, meant):
    found = repaired(
        bench,
        rows_of,
        [written],
        repair("parse_number", decimal=decimal),
        types={"value": Kind.MONEY},
        keep=(),
    )
    assert found == [meant]


@pytest.mark.parametrize(
    ("decimal", "written"), [(".", "1,5"), (".", "12 34"), (",", "1,2,3"), (".", "1-2"), (".", "five")]
)
def test_what_is_no_number_stays_and_breaks_its_type(bench, rows_of, decimal, written):
    events = bench.check(
        values(written),
        path="log.tsv",
        repairs=(repair("parse_number", decimal=decimal),),
        types={"value": Kind.MONEY},
    )
    assert [r["codes"] for r in rows_of(events.quarantine)] == ["type(value)"]


def test_repairs_of_a_column_are_done_in_order(bench, rows_of):
    steps = (repair("strip_trailing", characters=";"), repair("trim"), repair("case_fold"))
    assert repaired(bench, rows_of, [" Ab ;;", "ab"], *steps) == ["ab", "ab"]
    assert repaired(bench, rows_of, [" Ab ;;"], *reversed(steps)) == ["ab "]


def test_rules_and_uniqueness_see_the_repaired_value_and_quarantine_the_raw_one(bench, rows_of):
    import json

    rules = (
        RuleSpec(rule="one_of", columns=("value",), settings={"values": ("ios", "web")}),
        RuleSpec(rule="unique", columns=("value",)),
    )
    events = bench.check(
        values("iOS", " ios", "Web", "linux"),
        path="log.tsv",
        repairs=(repair("trim"), repair("case_fold")),
        rules=rules,
    )
    kept = rows_of(events.events, "user_id", "value", "raw_value")
    assert kept == [
        {"user_id": "u0", "value": "ios", "raw_value": "iOS"},
        {"user_id": "u2", "value": "web", "raw_value": "Web"},
    ]
    aside = {r["codes"]: json.loads(r["raw"])["value"] for r in rows_of(events.quarantine)}
    assert aside == {"unique(value)": " ios", "one_of(value)": "linux"}


def test_a_repaired_user_and_time_keep_their_raw_values(bench, rows_of):
    data = "user\tat\n#7\t2020-01-01!\n7\t2020-01-02\n"
    events = bench.check(
        data,
        path="log.tsv",
        repairs=(
            repair("aliases", "user", aliases={"7": ("#7",)}),
            repair("strip_trailing", "at", characters="!"),
        ),
    )
    assert rows_of(events.events, "user_id", "app_day", "raw_user", "raw_at") == [
        {"user_id": "7", "app_day": 18_262, "raw_user": "#7", "raw_at": "2020-01-01!"},
        {"user_id": "7", "app_day": 18_263, "raw_user": "7", "raw_at": "2020-01-02"},
    ]


def test_every_change_is_counted_and_can_be_undone(bench, rows_of):
    given = ["google"] * 3 + ["GOOGLE "] * 2 + ["Google"] * 4 + ["bing"]
    events = bench.check(
        values(*given),
        path="log.tsv",
        repairs=(repair("aliases", aliases={"Google": ("google", "GOOGLE ")}), repair("trim", "user")),
        keep=("value",),
    )
    assert rows_of(events.repairs) == [
        {
            "column_name": "value",
            "repairs": "aliases",
            "from_value": "google",
            "to_value": "Google",
            "n_rows": 3,
        },
        {
            "column_name": "value",
            "repairs": "aliases",
            "from_value": "GOOGLE ",
            "to_value": "Google",
            "n_rows": 2,
        },
    ]
    value, user = events.repaired
    assert (value.n_rows, value.n_values, value.n_listed, value.n_rows_listed) == (5, 2, 2, 5)
    assert value.examples == ("'google' became 'Google'",)
    assert (user.column, user.n_rows, user.examples) == ("user", 0, ())
    assert sorted(rows_of(events.events, "raw_value"), key=str) == sorted(
        ({"raw_value": v} for v in given), key=str
    )
    grid = events.repair_grid()
    assert [row[:5] for row in grid.stream()] == [("value", "aliases", 5, 2, 2), ("user", "trim", 0, 0, 0)]


def test_more_values_than_are_listed_are_counted(bench, rows_of, monkeypatch):
    monkeypatch.setattr(repair_log, "MOST_LISTED", 3)
    given = [f"v{i} " for i in range(5)] + ["v0 "]
    events = bench.check(values(*given), path="log.tsv", repairs=(repair("trim"),), keep=("value",))
    (value,) = events.repaired
    assert (value.n_rows, value.n_values, value.n_listed, value.n_rows_listed) == (6, 5, 3, 4)
    assert [r["from_value"] for r in rows_of(events.repairs)] == ["v0 ", "v1 ", "v2 "]


def test_no_repair_no_table(bench):
    events = bench.check(values("a"), path="log.tsv", keep=("value",))
    assert (events.repairs, events.repaired) == (None, ())


@pytest.mark.parametrize(
    ("spec", "settings", "code"),
    [
        (repair("trimm"), {}, "shelf.unknown"),
        (repair("trim", "valu"), {}, "repair.unknown_column"),
        (repair("trim", both=True), {}, "repair.settings"),
        (repair("case_fold", to="title"), {}, "repair.settings"),
        (repair("aliases"), {}, "repair.settings"),
        (repair("aliases", aliases={"a": ("x",), "b": ("x",)}), {}, "repair.settings"),
        (repair("aliases", aliases={"a": ("b",), "b": ("c",)}), {}, "repair.settings"),
        (repair("strip_trailing"), {}, "repair.settings"),
        (repair("strip_trailing", pattern="a(?=b)"), {}, "pattern.refused"),
        (repair("parse_number", decimal=";"), {}, "repair.settings"),
        (repair("trim", aliases={"a": ("b",)}), {}, "repair.settings"),
    ],
)
def test_repairs_that_cannot_be_done_are_refused(bench, spec, settings, code):
    with pytest.raises(HeadwaterError) as refused:
        bench.check(values("a"), path="log.tsv", repairs=(spec,), keep=("value",), **settings)
    assert refused.value.finding.code == code


def test_a_raw_column_that_hides_another_is_refused(bench):
    data = "user\tat\tvalue\traw_value\nu\t2020-01-01\ta\tb\n"
    assert bench.check(data, path="log.tsv", repairs=(repair("trim"),), keep=("value",)).events.n_rows == 1
    with pytest.raises(HeadwaterError) as refused:
        bench.check(data, path="log.tsv", repairs=(repair("trim"),), keep=("value", "raw_value"))
    assert refused.value.finding.code == "repair.raw_taken"


def test_a_typed_column_has_no_spelling_to_repair(bench):
    import pyarrow as pa

    table = pa.table({"user": ["a"], "at": ["2020-01-01"], "value": [1]})
    with pytest.raises(HeadwaterError) as refused:
        bench.check(table, path="log.parquet", repairs=(repair("trim"),), keep=("value",))
    assert refused.value.finding.code == "repair.not_text"
