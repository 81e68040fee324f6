"""What a rule says of itself: rows, users, money, examples, how sure it is and what to do, counted by hand."""

from __future__ import annotations

import pytest

from headwater.core.contract import Aggregate, Measure, RuleSpec
from headwater.core.table import Kind

DATA = "user,at,quantity,price,kind\n" + "".join(
    f"{row}\n"
    for row in (
        "a,2020-01-01,2,1.50,sale",  # kept
        "a,2020-01-01,2,1.50,sale",  # repeats: 3.00
        "a,2020-01-01,2,1.50,sale",  # repeats: 3.00
        "b,2020-01-01,-1,2.25,sale",  # negative: -2.25
        "c,2020-01-01,-3,1.00,gift",  # negative: -3.00, no sale
        ",2020-01-01,5,10.00,sale",  # nobody: 50.00
        "d,2020-01-01,1,cheap,sale",  # no price: cannot be valued
        "too,few",
    )
)
RULES = (
    RuleSpec(rule="unique", max_share=0.5),
    RuleSpec(rule="range", columns=("quantity",), settings={"above": 0}),
)
TYPES = {"quantity": Kind.INTEGER, "price": Kind.MONEY}


def measure(**settings):
    return Measure(name="revenue", aggregate=Aggregate.SUM, expression="quantity * price", **settings)


def results(bench, *measures, data=DATA):
    events = bench.check(data, rules=RULES, types=TYPES, keep=("kind",), measures=measures)
    return {r.code: r for r in events.rules}, events


def test_rows_users_and_money_of_each_rule(bench):
    count = Measure(name="n", aggregate=Aggregate.COUNT)
    found, _ = results(bench, count, measure(unit="EUR"))
    told = {c: (r.n_rows, r.n_users, r.money) for c, r in found.items() if r.n_rows}
    assert told == {
        "unique(row)": (2, 1, 6.0),
        "range(quantity above 0)": (2, 2, -5.25),
        "required(user)": (1, 0, 50.0),
        "type(price)": (1, 1, None),
        "unreadable(missing columns)": (1, None, None),
    }
    assert (found["unique(row)"].money_of, found["unique(row)"].money_unit) == ("revenue", "EUR")


def test_money_counts_where_the_measure_counts_in_the_currency_of_the_app(bench):
    found, _ = results(bench, measure(where='kind == "sale"'))
    assert found["range(quantity above 0)"].money == -2.25
    assert found["range(quantity above 0)"].money_unit == "GBP"


def test_no_money_measure_no_money(bench):
    pieces = Measure(name="pieces", aggregate=Aggregate.SUM, expression="quantity")
    found, _ = results(bench, pieces)
    assert {r.money for r in found.values()} == {None}


def test_absurd_money_in_quarantine_does_not_stop_the_check(bench):
    data = DATA + "e,2020-01-01,-9223372036854775807,9223372036854.775807,sale\n"
    found, _ = results(bench, measure(), data=data)
    assert found["range(quantity above 0)"].n_rows == 3
    assert found["range(quantity above 0)"].money == pytest.approx(-9e12, rel=1e-9)


def test_three_examples_at_most_the_first_of_the_source(bench):
    lines = [f"u{i},2020-01-01,-{i},1,sale" for i in range(1, 9)]
    found, _ = results(bench, data="user,at,quantity,price,kind\n" + "\n".join(lines) + "\n")
    examples = found["range(quantity above 0)"].examples
    assert [e.split('"quantity":"-')[1][0] for e in examples] == ["1", "2", "3"]


def test_how_sure_a_rule_is_and_what_to_do(bench):
    found, events = results(bench, measure())
    assert (found["required(user)"].certainty, found["required(user)"].doubt) == ("certain", "")
    assert (found["unique(row)"].certainty, found["unique(row)"].doubt) == (
        "likely",
        "two honest events can be equal in every column",
    )
    assert "max_share" not in found["unique(row)"].proposal
    assert "max_share = 0.28" in found["range(quantity above 0)"].proposal  # 2 of 8 rows, a tenth more
    assert [r.code for r in events.rules if r.n_rows and not r.proposal] == []
    grid = events.rule_grid()
    rows = {row[0]: row for row in grid.stream()}
    assert [f.name for f in grid.fields] == [
        "rule",
        "about",
        "n_rows",
        "share",
        "max_share",
        "n_users",
        "money",
    ]
    assert rows["unique(row)"][5:] == (1, 6.0)
    told = {row[0]: row for row in events.example_grid().stream()}
    assert told["unique(row)"][1] == "likely: two honest events can be equal in every column"
    assert set(told) == {r.code for r in events.rules if r.n_rows}


def test_users_and_money_over_many_files_count_once(bench):
    root = bench.folder()
    (root / "log").mkdir()
    for i in range(3):
        (root / "log" / f"{i}.csv").write_text(
            "user,at,quantity,price,kind\na,2020-01-01,-1,2,sale\nb,2020-01-01,-1,1,sale\n"
        )
    events = bench.check_in(
        root,
        bench.contract("log", rules=RULES, types=TYPES, keep=("kind",), measures=(measure(),)),
    )
    (negative,) = (r for r in events.rules if r.code.startswith("range"))
    assert (negative.n_rows, negative.n_users, negative.money) == (6, 2, -9.0)


@pytest.mark.slow
def test_rows_users_and_money_of_online_retail_against_pandas(bench):
    from importlib.resources import files

    import pandas as pd

    source = files("headwater.app") / "examples/online_retail/online_retail.parquet"
    lines = pd.read_parquet(str(source))
    price = lines.UnitPrice.astype(float)
    broken = {
        "required(CustomerID)": lines.CustomerID.fillna("").eq(""),
        "unique(row)": lines.duplicated(),
        "range(UnitPrice above 0)": price <= 0,
    }
    contract = bench.contract(
        str(source),
        zone="Europe/London",
        user="CustomerID",
        at="InvoiceDate",
        types={"Quantity": Kind.INTEGER, "UnitPrice": Kind.MONEY},
        rules=(
            RuleSpec(rule="unique"),
            RuleSpec(rule="range", columns=("UnitPrice",), settings={"above": 0}),
        ),
        measures=(Measure(name="revenue", aggregate=Aggregate.SUM, expression="Quantity * UnitPrice"),),
    )
    found = {r.code: r for r in bench.check_in(bench.folder(), contract).rules}
    for code, rows in broken.items():
        users = lines[rows].CustomerID.replace("", None).nunique()
        money = (lines.Quantity.astype(float) * price)[rows].sum()
        assert (found[code].n_rows, found[code].n_users) == (rows.sum(), users)
        assert found[code].money == pytest.approx(money, abs=0.005)  # half a penny: pandas adds doubles
