"""Money in several currencies: exact against Python's decimal, rates by hand, and the rows no rate is known for."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.contracts.currency import hold_rates, in_app_currency, round_half_away
from headwater.contracts.kinds_check import check_source
from headwater.contracts.plan import plan_checks
from headwater.contracts.query import checked_query
from headwater.core.contract import App, Contract, Source
from headwater.core.errors import ConfigError, DataError
from headwater.core.sources import OtherSource, Sourced, SourceKind
from headwater.core.span import day_of
from headwater.core.table import Kind
from headwater.engine.sources import open_relation
from headwater.engine.sql import name, sql

APP = App(name="test", time_zone="UTC", currency="GBP", fx_max_age_days=2)
DAY = day_of("2024-01-10")
E12 = 1_000_000_000_000


def _exact(micros: int, rate_e12: int) -> int:
    """The amount by Python's decimal: exact product, then half away from zero (which decimal calls half up)."""
    with localcontext() as context:
        context.prec = 60
        return int(
            (Decimal(micros) * Decimal(rate_e12) / Decimal(E12)).quantize(Decimal(1), rounding=ROUND_HALF_UP)
        )


def _costs(
    bench: Any, rows: list[tuple[str, str, str]], rates: Any, *, app: App = APP, **settings: Any
) -> Sourced:
    """Each row: day, amount, currency."""
    root = bench.folder()
    lines = "\n".join(["d,ch,a,cur", *(f"{d},{i},{a},{c}" for i, (d, a, c) in enumerate(rows))])
    (root / "costs.csv").write_text(lines + "\n", encoding="utf-8")
    columns = {"day": "d", "channel": "ch", "amount": "a", "currency": "cur"}
    source = OtherSource(kind=SourceKind.COSTS, name="costs", path="costs.csv", columns=columns, **settings)
    made = check_source(
        bench.engine,
        source,
        app=app,
        root=root,
        folder=bench.folder(),
        source_fingerprint="none",
        rates=rates,
    )
    assert made.n_rows_in == made.rows.n_rows + made.quarantine.n_rows == len(rows)
    return made


def _kept(made: Sourced) -> dict[int, tuple[int, int, str]]:
    return {
        int(r["channel"]): (r["amount"], r["amount_original"], r["currency"])
        for r in made.rows.to_arrow().to_pylist()
    }


def _codes(made: Sourced) -> dict[str, int]:
    return {r.code: r.n_rows for r in made.rules if r.n_rows}


def test_the_rate_of_the_day_else_the_last_one_within_the_age_allowed(bench: Any) -> None:
    rates = {"USD": {DAY: 800_000_000_000, DAY + 1: 500_000_000_000}}
    days = ["2024-01-09", "2024-01-10", "2024-01-11", "2024-01-12", "2024-01-13", "2024-01-14"]
    made = _costs(bench, [(d, "10", "USD") for d in days], rates)
    assert {k: v[0] for k, v in _kept(made).items()} == {
        1: 8_000_000,
        2: 5_000_000,
        3: 5_000_000,
        4: 5_000_000,
    }
    assert _codes(made) == {"currency.no_rate": 2}


def test_the_apps_own_currency_needs_no_rate_and_codes_are_read_whatever_their_case(bench: Any) -> None:
    made = _costs(
        bench,
        [("2024-01-10", "1.25", "gbp"), ("2024-01-10", "1.25", " usd "), ("2024-01-10", "1", "EUR")],
        {"USD": {DAY: 2 * E12}},
    )
    assert _kept(made) == {0: (1_250_000, 1_250_000, "GBP"), 1: (2_500_000, 1_250_000, "USD")}
    assert _codes(made) == {"currency.no_rate": 1}


def test_halves_are_rounded_away_from_zero_on_both_sides(bench: Any) -> None:
    amounts = ["0.000001", "-0.000001", "0.000003", "-0.000003"]
    made = _costs(bench, [("2024-01-10", a, "USD") for a in amounts], {"USD": {DAY: E12 // 2}})
    assert [_kept(made)[i][0] for i in range(4)] == [1, -1, 2, -2]


def test_an_amount_that_does_not_fit_goes_to_quarantine(bench: Any) -> None:
    made = _costs(
        bench,
        [("2024-01-10", "9000000000000", "USD"), ("2024-01-10", "900000000000", "USD")],
        {"USD": {DAY: 9_000_000 * E12}},
    )
    assert _codes(made) == {"currency.too_large": 2}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amounts=st.lists(st.integers(-(10**17), 10**17), min_size=1, max_size=40),
    rate=st.integers(1, 50 * E12),
)
def test_amounts_are_those_of_pythons_decimal(shared_bench: Any, amounts: list[int], rate: int) -> None:
    rows = [("2024-01-10", str(Decimal(a).scaleb(-6)), "USD") for a in amounts]
    made = _costs(shared_bench, rows, {"USD": {DAY: rate}})
    expected = {i: _exact(a, rate) for i, a in enumerate(amounts)}
    fits = {i: v for i, v in expected.items() if abs(v) < 2**63}
    assert {i: v[0] for i, v in _kept(made).items()} == fits
    assert _codes(made) == (
        {"currency.too_large": len(expected) - len(fits)} if len(fits) < len(expected) else {}
    )


@given(micros=st.integers(-(10**18), 10**18), rate=st.integers(1, 10**19))
def test_plain_rounding_is_pythons_decimal(micros: int, rate: int) -> None:
    assert round_half_away(micros, rate) == _exact(micros, rate)


def test_one_constant_currency_for_all_amounts(bench: Any) -> None:
    root = bench.folder()
    (root / "c.csv").write_text("d,ch,a\n2024-01-10,x,2\n", encoding="utf-8")
    given_ = {
        "kind": SourceKind.COSTS,
        "name": "costs",
        "path": "c.csv",
        "columns": {"day": "d", "channel": "ch", "amount": "a"},
    }
    made = [
        check_source(
            bench.engine,
            OtherSource(**given_, currency_is=code),
            app=APP,
            root=root,
            folder=bench.folder(),
            source_fingerprint="none",
            rates={"USD": {DAY: E12 // 4}},
        )
        for code in ("USD", "GBP")
    ]
    assert [m.rows.to_arrow()["amount"].to_pylist() for m in made] == [[500_000], [2_000_000]]


def test_other_currencies_without_rates_are_refused(bench: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        _costs(bench, [("2024-01-10", "1", "USD")], None)
    assert refused.value.finding.code == "currency.no_source"


def test_two_rates_of_one_day_are_refused(bench: Any) -> None:
    from headwater.contracts.currency import rates_of

    root = bench.folder()
    (root / "fx.csv").write_text("d,c,r\n2024-01-10,USD,0.8\n2024-01-10,usd,0.9\n", encoding="utf-8")
    source = OtherSource(
        kind=SourceKind.FX, name="fx", path="fx.csv", columns={"day": "d", "currency": "c", "rate": "r"}
    )
    made = check_source(
        bench.engine, source, app=APP, root=root, folder=bench.folder(), source_fingerprint="none"
    )
    with pytest.raises(DataError) as refused:
        rates_of(bench.engine, made)
    assert refused.value.finding.code == "currency.two_rates"


def test_events_are_priced_at_the_rate_of_their_app_day(bench: Any) -> None:
    """In Shanghai the app day of 20:00 UTC is the next; the original amount and its currency stay."""
    app = App(name="test", time_zone="Asia/Shanghai", currency="CNY", fx_max_age_days=0)
    root = bench.folder()
    (root / "log.csv").write_text(
        "user,at,price,cur\na,2024-01-10T10:00:00Z,2.00,USD\na,2024-01-10T20:00:00Z,2.00,USD\na,2024-01-11T20:00:00Z,2.00,USD\na,2024-01-10T20:00:00Z,2.00,CNY\n",
        encoding="utf-8",
    )
    source = Source(
        path="log.csv",
        user="user",
        at="at",
        event_is="buy",
        keep=("price", "cur"),
        types={"price": Kind.MONEY},
    )
    contract = Contract(app=app, source=source, measures=(), rules=())
    plan = plan_checks(contract, open_relation(bench.engine, root / "log.csv"), root=root)
    rates = {"USD": {DAY: 7 * E12, DAY + 1: 8 * E12}}
    hold_rates(bench.engine, rates, app=app)
    priced = in_app_currency(
        plan,
        app=app,
        money=("price",),
        currency=name("cur"),
        original={"price": "original_price"},
        rates=rates,
    )
    query = checked_query(contract, priced)
    rows = bench.engine.rows(
        sql(
            "SELECT price, original_price, cur, codes FROM ({q}) q ORDER BY source_row NULLS FIRST, price",
            q=query,
        )
    )
    assert rows == [
        (2_000_000, 2_000_000, "CNY", None),
        (14_000_000, 2_000_000, "USD", None),
        (16_000_000, 2_000_000, "USD", None),
        (None, 2_000_000, "USD", "currency.no_rate"),
    ]


def test_the_table_of_rates_holds_days_without_overlap(bench: Any) -> None:
    hold_rates(bench.engine, {"USD": {1: E12, 2: 2 * E12, 9: 3 * E12}}, app=APP)
    held = bench.engine.arrow(sql("SELECT * FROM {t} ORDER BY 2", t=name("exchange rates")))
    assert isinstance(held, pa.Table)
    assert held.column("fx day").to_pylist() == [1, 2, 3, 4, 9, 10, 11]
    assert [int(r) for r in held.column("fx rate").to_pylist()] == [1, 2, 2, 2, 3, 3, 3]
