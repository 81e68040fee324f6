"""The ledger against sums by hand: Decimal for money, sets for distinct keys, zoneinfo for days."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.contract import Aggregate, Measure
from headwater.core.errors import ConfigError, DataError
from headwater.core.table import Kind
from headwater.ledgers.build import build_ledger

EPOCH = date(1970, 1, 1)
TYPES = {"quantity": Kind.INTEGER, "price": Kind.MONEY, "weight": Kind.NUMBER}
MEASURES = (
    Measure(name="revenue", aggregate=Aggregate.SUM, expression="quantity * price"),
    Measure(name="kilos", aggregate=Aggregate.SUM, expression="weight"),
    Measure(name="units", aggregate=Aggregate.SUM, expression="quantity", where="quantity > 0"),
    Measure(name="lines", aggregate=Aggregate.COUNT),
    Measure(name="returns", aggregate=Aggregate.COUNT, where="quantity < 0"),
    Measure(name="orders", aggregate=Aggregate.COUNT_DISTINCT, expression="order", where="quantity > 0"),
)
HEADER = "user,at,order,quantity,price,weight\n"
CONTRACT = {"types": TYPES, "measures": MEASURES, "keep": ("order",)}

events_of_a_shop = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.datetimes(datetime(2020, 3, 1), datetime(2020, 4, 10)),
        st.integers(1, 6),
        st.integers(-5, 9),
        st.decimals(0, 1000, places=6),
        st.decimals(0, 10, places=3),
    ),
    min_size=1,
    max_size=25,
)


def as_csv(rows):
    return HEADER + "".join(
        f"{u},{t:%Y-%m-%d %H:%M:%S}+00:00,o{o},{q},{p},{w}\n" for u, t, o, q, p, w in rows
    )


def by_hand(rows, zone):
    """User-days with every measure; an order counts on the first day it was seen."""
    days = defaultdict(lambda: dict.fromkeys(["revenue", "kilos", "units", "lines", "returns", "orders"], 0))
    first = {}
    for user, at, order, quantity, price, weight in rows:
        day = (at.replace(microsecond=0, tzinfo=UTC).astimezone(ZoneInfo(zone)).date() - EPOCH).days
        one = days[user, day]
        one["revenue"] += int(quantity * Decimal(price) * 1_000_000)
        one["kilos"] += int(Decimal(weight) * 1_000_000)
        one["units"] += max(quantity, 0)
        one["lines"] += 1
        one["returns"] += quantity < 0
        if quantity > 0:
            first[user, order] = min(day, first.get((user, order), day))
    for (user, _), day in first.items():
        days[user, day]["orders"] += 1
    return dict(days)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=events_of_a_shop, zone=st.sampled_from(["Asia/Shanghai", "America/New_York", "UTC"]))
def test_every_measure_of_every_user_day_against_decimals(shared_bench, rows, zone):
    ledger = shared_bench.ledger(as_csv(rows), zone=zone, **CONTRACT)
    found = ledger.days.to_arrow().to_pylist()
    names = [m.name for m in MEASURES]
    assert {(r["user_id"], r["app_day"]): {n: r[n] for n in names} for r in found} == by_hand(rows, zone)
    assert sum(r["n_events"] for r in found) == len(rows)
    assert all(r["known_day"] == r["app_day"] for r in found)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=events_of_a_shop, seed=st.integers(0, 10**6))
def test_the_order_of_rows_does_not_change_the_fingerprints(shared_bench, rows, seed):
    shuffled = rows.copy()
    random.Random(seed).shuffle(shuffled)
    one, other = (shared_bench.ledger(as_csv(r), **CONTRACT) for r in (rows, shuffled))
    for table in ("days", "users", "user_hours"):
        assert getattr(one, table).fingerprint == getattr(other, table).fingerprint, table


def test_one_more_micro_unit_changes_the_fingerprint(bench):
    one, other = (
        bench.ledger(f"{HEADER}a,2020-03-01,o,1,{price},0\n", **CONTRACT).days.fingerprint
        for price in ("1.000000", "1.000001")
    )
    assert one != other


def test_money_keeps_six_decimals_and_refunds_net(bench, rows_of):
    data = (
        HEADER
        + "a,2020-03-01,o1,3,0.000001,0\na,2020-03-01,o1,1000000,0.002,0\na,2020-03-01,o1,-1,1999.999999,0\n"
    )
    (day,) = rows_of(bench.ledger(data, **CONTRACT).days)
    assert day["revenue"] == 3 + 2_000_000_000 - 1_999_999_999
    assert (day["returns"], day["orders"]) == (1, 1)


@pytest.mark.parametrize(
    ("zone", "before", "after", "day"),
    [
        ("Asia/Shanghai", "2020-03-07T15:59:59Z", "2020-03-07T16:00:00Z", "2020-03-08"),
        ("America/New_York", "2020-03-08T04:59:59Z", "2020-03-08T05:00:00Z", "2020-03-08"),
        ("America/New_York", "2020-03-09T03:59:59Z", "2020-03-09T04:00:00Z", "2020-03-09"),
        ("America/New_York", "2020-11-01T03:59:59Z", "2020-11-01T04:00:00Z", "2020-11-01"),
        ("America/New_York", "2020-11-02T04:59:59Z", "2020-11-02T05:00:00Z", "2020-11-02"),
    ],
)
def test_where_a_day_begins(bench, rows_of, zone, before, after, day):
    ledger = bench.ledger(f"{HEADER}a,{before},o,1,1,0\na,{after},o,1,1,0\n", zone=zone, **CONTRACT)
    found = sorted(EPOCH + timedelta(days=r["app_day"]) for r in rows_of(ledger.days))
    assert found == [date.fromisoformat(day) - timedelta(days=1), date.fromisoformat(day)]


def test_an_order_over_midnight_counts_on_its_first_day(bench, rows_of):
    data = HEADER + "a,2020-03-02 00:01,o1,1,1,0\na,2020-03-01 23:59,o1,1,1,0\nb,2020-03-02,o1,1,1,0\n"
    found = sorted(
        (r["user_id"], r["app_day"], r["orders"]) for r in rows_of(bench.ledger(data, **CONTRACT).days)
    )
    assert found == [("a", 18_322, 1), ("a", 18_323, 0), ("b", 18_323, 1)]


def test_an_order_that_turns_out_to_be_older_moves_on_the_day_that_became_known(bench, rows_of):
    header = "user,at,known,order\n"
    data = (
        header
        + "a,2020-03-05,2020-03-05,o1\na,2020-03-02,2020-03-09,o1\na,2020-03-04,2020-03-10,o1\na,2020-03-01,2020-03-12,o1\n"
    )
    orders = Measure(name="orders", aggregate=Aggregate.COUNT_DISTINCT, expression="order")
    ledger = bench.ledger(data, known_at="known", measures=(orders,))
    moves = {
        (r["known_day"] - 18_322, r["app_day"] - 18_322): r["orders"]
        for r in rows_of(ledger.days)
        if r["orders"]
    }
    assert moves == {(4, 4): 1, (8, 1): 1, (8, 4): -1, (11, 0): 1, (11, 1): -1}
    assert not ledger.one_row_a_day
    assert sum(r["n_events"] for r in rows_of(ledger.days)) == 4


def test_first_hours_add_up_and_count_an_order_once(bench, rows_of):
    rows = [
        ("2020-03-01 10:30", "o1"),
        ("2020-03-01 11:29", "o1"),
        ("2020-03-01 11:30", "o1"),
        ("2020-03-08 10:29", "o2"),
        ("2020-03-08 10:30", "o3"),
    ]
    data = HEADER + "".join(f"a,{at},{order},1,2,0\n" for at, order in rows)
    hours = rows_of(bench.ledger(data, **CONTRACT).user_hours)
    found = sorted((r["hour"], r["n_events"], r["orders"], r["revenue"]) for r in hours)
    assert found == [(0, 2, 1, 4_000_000), (1, 1, 0, 2_000_000), (167, 1, 1, 2_000_000)]


def test_users_carry_the_first_values_only(bench, rows_of):
    data = HEADER + "a,2020-03-02,late,1,1,0\na,2020-03-01,z,1,1,0\na,2020-03-01,early,1,1,0\n"
    (user,) = rows_of(bench.ledger(data, **CONTRACT).users)
    assert (user["first_day"], user["first order"]) == (18_322, "early")


def test_first_values_are_the_first_that_were_given(bench, rows_of):
    """Some users give no value at first, some never; of values given at one instant the least is taken."""
    rng = random.Random(3)
    rows = [
        (
            rng.choice("abcdefghij"),
            rng.randint(1, 9),
            rng.choice(["", "x", "y"]),
            rng.choice(["", "", "", "z"]),
        )
        for _ in range(60)
    ] + [("n", 3, "", "")]
    data = "user,at,one,two\n" + "".join(f"{u},2020-03-0{d},{x},{y}\n" for u, d, x, y in rows)
    users = rows_of(bench.ledger(data, keep=("one", "two")).users)
    assert len(users) == len({u for u, *_ in rows})
    for user in users:
        own = [r for r in rows if r[0] == user["user_id"]]
        firsts = [min(((r[1], r[i]) for r in own if r[i]), default=(None, None)) for i in (2, 3)]
        assert (user["first one"], user["first two"]) == tuple(v for _, v in firsts)
        assert [user["day one"], user["day two"]] == [18_321 + d if d else None for d, _ in firsts]


@pytest.mark.parametrize(
    "name",
    [
        "user_id",
        "bucket",
        "App_Day",
        "n_events",
        "age",
        "cutoff",
        "oldest",
        "active_days",
        "not a name",
        "1st",
        "",
        'x"; --',
    ],
)
def test_measure_names_that_cannot_be_columns_are_refused(bench, name):
    with pytest.raises(ConfigError) as refused:
        bench.ledger("user,at\na,2020-03-01\n", measures=(Measure(name=name, aggregate=Aggregate.COUNT),))
    assert refused.value.finding.code == "measure.name"


def test_measures_that_would_share_a_column_are_refused(bench):
    spend = Measure(name="spend", aggregate=Aggregate.SUM, expression="price")
    for other in ("Spend", "spend_gbp"):
        with pytest.raises(ConfigError) as refused:
            count = Measure(name=other, aggregate=Aggregate.COUNT)
            bench.ledger(
                "user,at,price\na,2020-03-01,1\n", types={"price": Kind.MONEY}, measures=(spend, count)
            )
        assert refused.value.finding.code == "measure.name"


def test_chinese_measure_names(bench, rows_of):
    ledger = bench.ledger(
        "user,at,金额\na,2020-03-01,1.5\n",
        types={"金额": Kind.MONEY},
        measures=(Measure(name="收入", aggregate=Aggregate.SUM, expression="金额"),),
    )
    assert rows_of(ledger.days, "收入") == [{"收入": 1_500_000}]
    assert ledger.measure("收入").label == "收入_gbp"


@pytest.mark.parametrize("expression", ["order", "quantity > 0", "at"])
def test_only_numbers_are_summed(bench, expression):
    with pytest.raises(ConfigError) as refused:
        bench.ledger(
            f"{HEADER}a,2020-03-01,o,1,1,0\n",
            types=TYPES,
            keep=("order",),
            measures=(Measure(name="x", aggregate=Aggregate.SUM, expression=expression),),
        )
    assert refused.value.finding.code == "measure.type"


def test_a_sum_past_int64_is_refused_not_wrapped(bench):
    table = pa.table({"user": ["a", "a"], "at": ["2020-03-01"] * 2, "n": [2**62, 2**62]})
    events = bench.check(
        table, path="log.parquet", measures=(Measure(name="n2", aggregate=Aggregate.SUM, expression="n"),)
    )
    with pytest.raises(DataError) as refused:
        build_ledger(bench.engine, events, folder=bench.folder())
    assert refused.value.finding.code == "engine.value"


def test_findings_of_a_ledger_with_nothing_in_it(bench):
    zero = Measure(name="zero", aggregate=Aggregate.SUM, expression="quantity * 0")
    ledger = bench.ledger(f"{HEADER}a,2020-03-01,o,1,1,0\n", types=TYPES, measures=(zero,))
    assert {f.code for f in ledger.findings} == {"measure.all_zero", "ledger.one_user"}


def test_refunds_larger_than_a_whole_number_of_64_bits_are_netted(bench):
    """Twice -6e12 on one day: -1.2e19 in micro-units, beyond a signed 64-bit number; the finding tells the sum."""
    data = HEADER + "".join(f"{u},2020-03-02,o1,1,-6000000000000,1\n" for u in "ab")
    ledger = bench.ledger(data, **CONTRACT)
    (told,) = [f for f in ledger.findings if f.code == "measure.netted" and "revenue" in f.what]
    assert told.numbers == {"n_rows": 2, "total": -1.2e13}
