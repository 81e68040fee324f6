"""Each data rule at its boundaries. A missing value breaks no rule but ``required``."""

from __future__ import annotations

import pytest

from headwater.core.contract import Aggregate, Measure, RuleSpec
from headwater.core.errors import ConfigError
from headwater.core.table import Kind

HEADER = "user,at,price,country\n"


def broken_rows(bench, rows_of, data, *rules, **settings):
    """The rows of the file (1 is the first below the header) that a rule set aside."""
    events = bench.check(data, rules=rules, types={"price": Kind.MONEY}, keep=("country",), **settings)
    return sorted(r["source_row"] for r in rows_of(events.quarantine))


def prices(*values):
    return HEADER + "".join(f"u,2020-01-01,{v},UK\n" for v in values)


@pytest.mark.parametrize(
    ("bound", "values", "broken"),
    [
        ("above", ["-1", "0", "0.000001", ""], [1, 2]),
        ("at_least", ["-0.000001", "0", "1", ""], [1]),
        ("below", ["-1", "0", "0.000001", ""], [2, 3]),
        ("at_most", ["-1", "0", "0.000001", ""], [3]),
    ],
)
def test_range_bounds(bench, rows_of, bound, values, broken):
    rule = RuleSpec(rule="range", columns=("price",), settings={bound: 0})
    assert broken_rows(bench, rows_of, prices(*values), rule) == broken


def test_range_compares_money_in_whole_currency(bench, rows_of):
    rule = RuleSpec(rule="range", columns=("price",), settings={"at_most": 9.99})
    assert broken_rows(bench, rows_of, prices("9.99", "10"), rule) == [2]


def test_range_with_two_bounds_is_two_checks(bench, rows_of):
    rule = RuleSpec(rule="range", columns=("price",), settings={"at_least": 1, "below": 3})
    events = bench.check(prices("0", "1", "3"), rules=(rule,), types={"price": Kind.MONEY})
    assert [r["codes"] for r in rows_of(events.quarantine)] == [
        "range(price at_least 1)",
        "range(price below 3)",
    ]


@pytest.mark.parametrize("blank", ["", " ", "\t", '""', '"  "', "\u00a0", "\u3000"])
def test_required_counts_blanks_as_missing(bench, rows_of, blank):
    data = f"{HEADER}u,2020-01-01,1,{blank}\nu,2020-01-01,1,UK\n"
    assert broken_rows(bench, rows_of, data, RuleSpec(rule="required", columns=("country",))) == [1]


def test_one_of_is_exact_and_leaves_missing_values(bench, rows_of):
    data = (
        HEADER
        + "u,2020-01-01,1,UK\nu,2020-01-01,1,uk\nu,2020-01-01,1,UK \nu,2020-01-01,1,\nu,2020-01-01,1,O'Hare\n"
    )
    rule = RuleSpec(rule="one_of", columns=("country",), settings={"values": ("UK", "O'Hare")})
    assert broken_rows(bench, rows_of, data, rule) == [2, 3]


def test_two_lists_for_one_column_both_hold(bench, rows_of):
    data = HEADER + "".join(f"u,2020-01-01,1,{c}\n" for c in "xyz")
    rules = [
        RuleSpec(rule="one_of", columns=("country",), settings={"values": v})
        for v in (("x", "y"), ("y", "z"))
    ]
    assert broken_rows(bench, rows_of, data, *rules) == [1, 3]


def test_not_before_takes_the_launch_in_app_days(bench, rows_of):
    data = HEADER + "u,2020-02-29T15:59:59Z,1,UK\nu,2020-02-29T16:00:00Z,1,UK\n"
    rule = RuleSpec(rule="not_before")
    assert broken_rows(bench, rows_of, data, rule, zone="Asia/Shanghai", launched_on="2020-03-01") == [1]
    on = RuleSpec(rule="not_before", settings={"on": "2020-03-01"})
    assert broken_rows(bench, rows_of, data, on, zone="Asia/Shanghai") == [1]


def test_not_future_keeps_the_whole_last_day(bench, rows_of):
    data = HEADER + "u,2020-03-01T04:59:59Z,1,UK\nu,2020-03-01T05:00:00Z,1,UK\n"
    rule = RuleSpec(rule="not_future", settings={"after": "2020-02-29"})
    assert broken_rows(bench, rows_of, data, rule, zone="America/New_York") == [2]


def test_unique_rows_keep_the_first_in_csv(bench, rows_of):
    data = (
        HEADER
        + "u,2020-01-01,1,UK\nu,2020-01-01,1,UK\nu,2020-01-01,1.0,UK\nu,2020-01-01,1,UK\nu,2020-01-01,1,\nu,2020-01-01,1,\n"
    )
    assert broken_rows(bench, rows_of, data, RuleSpec(rule="unique")) == [2, 4, 6]


def test_unique_keys_keep_the_first_and_skip_missing_keys(bench, rows_of):
    data = HEADER + "a,2020-01-01,1,\nb,2020-01-01,2,\nc,2020-01-01,3,UK\nd,2020-01-01,4,UK\n"
    assert broken_rows(bench, rows_of, data, RuleSpec(rule="unique", columns=("country",))) == [4]


def test_a_key_may_be_about_some_events_only(bench, rows_of):
    data = "user,at,what,country\na,2020-01-01,buy,o1\na,2020-01-02,refund,o1\na,2020-01-03,buy,o1\na,2020-01-04,open,\na,2020-01-05,open,\n"
    rules = (
        RuleSpec(rule="unique", columns=("country",), settings={"events": ("buy", "open")}),
        RuleSpec(rule="unique"),
    )
    events = bench.check(data, rules=rules, event="what", keep=("country",))
    assert [(r["source_row"], r["codes"]) for r in rows_of(events.quarantine)] == [
        (3, "unique(country of buy, open)")
    ]


def test_duplicates_over_two_parquet_files_keep_the_first_file(bench, rows_of):
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = bench.folder()
    (root / "log").mkdir()
    table = pa.table({"user": ["a", "b", "a"], "at": ["2020-01-01"] * 3})
    pq.write_table(table, root / "log" / "2.parquet")
    pq.write_table(table.slice(0, 1), root / "log" / "1.parquet")
    events = bench.check_in(root, bench.contract("log", rules=(RuleSpec(rule="unique"),)))
    places = [(r["source_file"], r["source_row"]) for r in rows_of(events.quarantine)]
    assert sorted(places) == [("log/2.parquet", 1), ("log/2.parquet", 3)]
    assert events.events.n_rows == 2


def test_a_row_lists_every_code_it_breaks(bench, rows_of):
    rules = [
        RuleSpec(rule="required", columns=("country",)),
        RuleSpec(rule="range", columns=("price",), settings={"above": 0}),
        RuleSpec(rule="not_before", settings={"on": "2020-01-01"}),
    ]
    events = bench.check(
        HEADER + ",2019-01-01,-1,\nb,2020-01-01,x,UK\n",
        rules=rules,
        types={"price": Kind.MONEY},
        keep=("country",),
    )
    first, second = (r["codes"] for r in rows_of(events.quarantine))
    assert first.split("; ") == [
        "required(user)",
        "required(country)",
        "range(price above 0)",
        "not_before(2020-01-01)",
    ]
    assert second == "type(price)"
    assert {r.code: r.n_rows for r in events.rules if r.n_rows} == {
        "required(user)": 1,
        "required(country)": 1,
        "range(price above 0)": 1,
        "not_before(2020-01-01)": 1,
        "type(price)": 1,
    }


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (RuleSpec(rule="rangee", columns=("price",)), "shelf.unknown"),
        (RuleSpec(rule="range", columns=("price",)), "rule.range"),
        (RuleSpec(rule="range", columns=("country",), settings={"above": 0}), "rule.range"),
        (RuleSpec(rule="range", columns=("price", "user"), settings={"above": 0}), "rule.columns"),
        (RuleSpec(rule="range", columns=("price",), settings={"above": "0"}), "rule.setting_type"),
        (RuleSpec(rule="range", columns=("price",), settings={"above": True}), "rule.setting_type"),
        (RuleSpec(rule="range", columns=("price",), settings={"abov": 0}), "rule.unknown_setting"),
        (RuleSpec(rule="required", columns=("pricee",)), "source.missing_column"),
        (RuleSpec(rule="one_of", columns=("country",)), "rule.one_of"),
        (RuleSpec(rule="not_future"), "rule.not_future"),
        (RuleSpec(rule="not_before"), "rule.not_before"),
        (RuleSpec(rule="not_before", settings={"on": "01/02/2020"}), "date.unreadable"),
        (RuleSpec(rule="unique", settings={"above": 1}), "rule.unknown_setting"),
        (RuleSpec(rule="unique", settings={"events": ("buy",)}), "rule.no_event"),
    ],
)
def test_rules_that_cannot_be_checked_are_refused(bench, rule, code):
    from headwater.core.errors import HeadwaterError

    with pytest.raises(HeadwaterError) as refused:
        bench.check(prices("1"), rules=(rule,), types={"price": Kind.MONEY}, keep=("country",))
    assert refused.value.finding.code == code


def test_more_checks_than_bits_are_refused(bench):
    rules = [RuleSpec(rule="one_of", columns=("country",), settings={"values": (str(i),)}) for i in range(60)]
    with pytest.raises(ConfigError) as refused:
        bench.check(prices("1"), rules=rules, keep=("country",))
    assert refused.value.finding.code == "rule.too_many"


def test_sixty_checks_fit(bench, rows_of):
    rules = [RuleSpec(rule="one_of", columns=("country",), settings={"values": (str(i),)}) for i in range(57)]
    events = bench.check(prices("1"), rules=rules, keep=("country",))
    (row,) = rows_of(events.quarantine)
    assert len(row["codes"].split("; ")) == 57


def test_a_count_where_condition_reads_the_event_column(bench):
    data = "user,at,event\na,2020-01-01,buy\na,2020-01-01,look\n"
    measure = Measure(name="buys", aggregate=Aggregate.COUNT, where='event == "buy"')
    ledger = bench.ledger(data, event="event", measures=(measure,))
    assert ledger.days.to_arrow(["buys"]).to_pylist() == [{"buys": 1}]
