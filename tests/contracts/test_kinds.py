"""The sources beside the events: every kind through the gate, the account adding up, by files small enough to count by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from headwater.contracts.currency import rates_of
from headwater.contracts.kinds_check import check_source, require_source_gate
from headwater.core.contract import App, RuleSpec
from headwater.core.errors import ConfigError, GateError
from headwater.core.sources import OtherSource, Sourced, SourceKind
from headwater.core.span import day_of

US = 1_000_000
HOUR = 3_600 * US


def _day(text: str) -> int:
    return day_of(text)


@pytest.fixture
def taken(bench: Any) -> Any:
    def check(
        kind: str,
        text: str,
        columns: dict[str, str],
        *,
        zone: str = "UTC",
        rates: Any = None,
        **settings: Any,
    ) -> Sourced:
        root = bench.folder()
        (root / "source.csv").write_text(text, encoding="utf-8")
        source = OtherSource(kind=SourceKind(kind), name=kind, path="source.csv", columns=columns, **settings)
        app = App(name="test", time_zone=zone, currency="GBP")
        made = check_source(
            bench.engine,
            source,
            app=app,
            root=root,
            folder=bench.folder(),
            source_fingerprint="none",
            rates=rates,
        )
        assert made.n_rows_in == made.rows.n_rows + made.quarantine.n_rows == max(text.count("\n") - 1, 0)
        return made

    return check


def _codes(made: Sourced) -> dict[str, int]:
    return {r.code: r.n_rows for r in made.rules if r.n_rows}


def test_users_keep_dated_attributes_and_one_row_a_user_and_date(taken: Any) -> None:
    made = taken(
        "users",
        "uid,since,country,age\n1.0,2024-01-01 00:00:00,GB,30\n1.0,2024-02-01 00:00:00,FR,31\n1.0,2024-02-01 00:00:00,DE,31\n,2024-01-01 00:00:00,GB,1\n2,never,GB,2\n3,,US,x\n4,,US,40\n",
        {"user": "uid", "changed_at": "since"},
        keep=("country", "age"),
        types={"age": "integer"},
    )
    assert made.rows.to_arrow().to_pylist() == [
        {"user_id": "1", "changed_us": _day("2024-01-01") * 24 * HOUR, "country": "GB", "age": 30},
        {"user_id": "1", "changed_us": _day("2024-02-01") * 24 * HOUR, "country": "FR", "age": 31},
        {"user_id": "4", "changed_us": None, "country": "US", "age": 40},
    ]
    assert _codes(made) == {"unique(uid, since)": 1, "required(uid)": 1, "type(since)": 1, "type(age)": 1}
    assert [c.name for c in made.rows.columns] == ["user_id", "changed_us", "country", "age"]


def test_exposures_fall_on_the_day_of_the_app(taken: Any) -> None:
    made = taken(
        "exposures",
        "exp,variant,uid,t\nprice,a,1,2024-03-30 23:30:00\nprice,b,2,2024-03-31T00:30:00Z\nprice,,3,2024-03-30 10:00:00\n",
        {"experiment": "exp", "arm": "variant", "user": "uid", "at": "t"},
        zone="Asia/Shanghai",
    )
    assert made.rows.to_arrow().to_pylist() == [
        {
            "experiment": "price",
            "arm": "a",
            "user_id": "1",
            "at_us": _day("2024-03-30") * 24 * HOUR + 31 * HOUR // 2,
            "app_day": _day("2024-03-30"),
        },
        {
            "experiment": "price",
            "arm": "b",
            "user_id": "2",
            "at_us": _day("2024-03-31") * 24 * HOUR + HOUR // 2,
            "app_day": _day("2024-03-31"),
        },
    ]
    assert _codes(made) == {"required(variant)": 1}


def test_costs_are_exact_money_on_their_day(taken: Any) -> None:
    made = taken(
        "costs",
        "date,channel,spend\n2024-01-01,ads,0.10\n2024-01-02,ads,12345678901.000001\n2024-01-03,,5\n2024-01-03,mail,five\n,mail,5\n",
        {"day": "date", "channel": "channel", "amount": "spend"},
        zone="America/New_York",
    )
    assert made.rows.to_arrow().to_pylist() == [
        {"app_day": _day("2024-01-01"), "channel": "ads", "amount": 100_000},
        {"app_day": _day("2024-01-02"), "channel": "ads", "amount": 12_345_678_901_000_001},
    ]
    assert _codes(made) == {"required(channel)": 1, "type(spend)": 1, "required(date)": 1}


def test_impressions_of_a_user_or_of_a_campaign(taken: Any) -> None:
    made = taken(
        "impressions",
        "uid,c,t,n\n1,,2024-01-01 10:00:00,3\n,spring,2024-01-01 11:00:00,500\n,,2024-01-01 12:00:00,1\n2,,2024-01-01 12:00:00,-1\n",
        {"user": "uid", "campaign": "c", "at": "t", "n": "n"},
    )
    rows = {(r["user_id"], r["campaign"], r["n"]) for r in made.rows.to_arrow().to_pylist()}
    assert rows == {("1", None, 3), (None, "spring", 500)}
    assert _codes(made) == {"required(uid or c)": 1, "range(n)": 1}


def test_subscriptions_end_after_they_begin(taken: Any) -> None:
    made = taken(
        "subscriptions",
        "uid,tier,from,to,price,every\n1,gold,2024-01-01,2024-02-01,9.99,month\n2,gold,2024-01-01,,9.99,month\n3,gold,2024-02-01,2024-01-01,9.99,month\n",
        {
            "user": "uid",
            "plan": "tier",
            "started_at": "from",
            "ended_at": "to",
            "amount": "price",
            "period": "every",
        },
    )
    rows = made.rows.to_arrow().to_pylist()
    assert [(r["user_id"], r["plan"], r["ended_us"], r["amount"], r["period"]) for r in rows] == [
        ("1", "gold", _day("2024-02-01") * 24 * HOUR, 9_990_000, "month"),
        ("2", "gold", None, 9_990_000, "month"),
    ]
    assert _codes(made) == {"order(to)": 1}


def test_exchange_rates_are_whole_numbers_of_a_trillionth(taken: Any, bench: Any) -> None:
    made = taken(
        "fx",
        "day,code,rate\n2024-01-01,usd ,0.79\n2024-01-01,JPY,0.005512345678\n2024-01-01,JPY,0.005512345678\n2024-01-02,USD,0\n2024-01-02,VND,-1\n2024-01-02,EUR,n/a\n",
        {"day": "day", "currency": "code", "rate": "rate"},
    )
    assert rates_of(bench.engine, made) == {
        "USD": {_day("2024-01-01"): 790_000_000_000},
        "JPY": {_day("2024-01-01"): 5_512_345_678},
    }
    assert _codes(made) == {"unique(day, code)": 1, "range(rate)": 2, "type(rate)": 1}


def test_rules_of_the_source_are_kept_and_its_gate_holds(taken: Any) -> None:
    rules = (
        RuleSpec(rule="range", columns=("spend",), settings={"at_most": 100}, max_share=0.1),
        RuleSpec(rule="one_of", columns=("channel",), settings={"values": ("ads", "mail")}),
        RuleSpec(rule="unique", columns=("date", "channel")),
    )
    text = "date,channel,spend\n2024-01-01,ads,5\n2024-01-02,ads,500\n2024-01-03,radio,5\n2024-01-01,ads,7\n"
    made = taken("costs", text, {"day": "date", "channel": "channel", "amount": "spend"}, rules=rules)
    assert sum(_codes(made).values()) == 3
    assert made.rows.n_rows == 1
    with pytest.raises(GateError) as refused:
        require_source_gate(made)
    assert refused.value.finding.code == "gate.failed"


def test_days_in_a_declared_format(taken: Any) -> None:
    made = taken(
        "costs", "d,c,a\n31/12/2023,x,1\n", {"day": "d", "campaign": "c", "amount": "a"}, at_format="%d/%m/%Y"
    )
    assert made.rows.to_arrow()["app_day"].to_pylist() == [(date(2023, 12, 31) - date(1970, 1, 1)).days]


@pytest.mark.parametrize(
    ("kind", "columns", "code"),
    [
        ("costs", {"day": "d", "channel": "c"}, "source.missing_part"),
        ("costs", {"day": "d", "amount": "a"}, "source.missing_part"),
        ("costs", {"day": "d", "channel": "c", "amount": "amuont"}, "source.missing_column"),
    ],
)
def test_a_source_that_does_not_say_enough_is_refused(
    taken: Any, kind: str, columns: dict[str, str], code: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        taken(kind, "d,c,a\n2024-01-01,x,1\n", columns)
    assert refused.value.finding.code == code


def test_an_empty_file_of_costs_has_columns_and_no_row(taken: Any) -> None:
    made = taken("costs", "d,c,a\n", {"day": "d", "channel": "c", "amount": "a"})
    assert (made.n_rows_in, made.rows.n_rows) == (0, 0)
