"""The expressions users write: what is allowed means what Python says; everything else is refused by name."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.errors import ConfigError
from headwater.core.table import Kind
from headwater.engine.expression import MICROS, columns_of, compile_condition, compile_expression
from headwater.engine.sql import sql

KINDS = {
    "quantity": Kind.INTEGER,
    "price": Kind.MONEY,
    "fee": Kind.MONEY,
    "weight": Kind.NUMBER,
    "country": Kind.TEXT,
    "paid": Kind.BOOLEAN,
    "Unit Price": Kind.MONEY,
    "价格": Kind.MONEY,
}
ROW = "(SELECT CAST(3 AS BIGINT) AS quantity, CAST(2550000 AS BIGINT) AS price, CAST(1000000 AS BIGINT) AS fee, CAST(0.5 AS DOUBLE) AS weight, 'France' AS country, TRUE AS paid, CAST(990000 AS BIGINT) AS \"Unit Price\", CAST(10000000 AS BIGINT) AS 价格, CAST(NULL AS BIGINT) AS nothing)"


def value_of(engine, text, kinds=KINDS):
    return engine.one(sql("SELECT {x} FROM {row}", x=compile_expression(text, kinds).sql, row=sql(ROW)))[0]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("quantity * price", Kind.MONEY, 7_650_000),
        ("price * quantity", Kind.MONEY, 7_650_000),
        ("price + fee", Kind.MONEY, 3_550_000),
        ("price - fee", Kind.MONEY, 1_550_000),
        ("-price", Kind.MONEY, -2_550_000),
        ("price * weight", Kind.MONEY, 1_275_000),
        ("price / 2", Kind.MONEY, 1_275_000),
        ("price / fee", Kind.NUMBER, 2.55),
        ("price / 0", Kind.MONEY, None),
        ("quantity + 1", Kind.INTEGER, 4),
        ("quantity * 2", Kind.INTEGER, 6),
        ("quantity / 2", Kind.NUMBER, 1.5),
        ("quantity + weight", Kind.NUMBER, 3.5),
        ("abs(-quantity)", Kind.INTEGER, 3),
        ('col("Unit Price") * quantity', Kind.MONEY, 2_970_000),
        ("价格 * quantity", Kind.MONEY, 30_000_000),
        ("lower(country)", Kind.TEXT, "france"),
        ("upper(country)", Kind.TEXT, "FRANCE"),
        ("quantity > 0", Kind.BOOLEAN, True),
        ("price > 2.5", Kind.BOOLEAN, True),
        ("price == 2.55", Kind.BOOLEAN, True),
        ("price in [2.55, 3]", Kind.BOOLEAN, True),
        ("price in [2550000]", Kind.BOOLEAN, False),
        ("quantity in [1, 2]", Kind.BOOLEAN, False),
        ("quantity in [1, 3.0]", Kind.BOOLEAN, True),
        ("quantity not in [1, 2]", Kind.BOOLEAN, True),
        ('country in ["France", "Spain"]', Kind.BOOLEAN, True),
        ('country == "x\'; DROP TABLE events; --"', Kind.BOOLEAN, False),
        ('starts_with(country, "Fr")', Kind.BOOLEAN, True),
        ('starts_with(country, "%")', Kind.BOOLEAN, False),
        ("paid and not quantity < 0 or False", Kind.BOOLEAN, True),
        ("country is not None", Kind.BOOLEAN, True),
        ("country is None", Kind.BOOLEAN, False),
        ("coalesce(quantity, 0)", Kind.INTEGER, 3),
    ],
)
def test_allowed_forms(engine, text, kind, expected):
    assert compile_expression(text, KINDS).kind is kind
    assert value_of(engine, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('id')",
        "().__class__.__bases__[0].__subclasses__()",
        "price.__class__",
        "lambda: 1",
        "[x for x in quantity]",
        "{x: 1 for x in quantity}",
        "(x for x in quantity)",
        "(quantity := 1)",
        "f'{quantity}'",
        "quantity[0]",
        "quantity if paid else 0",
        "*quantity",
        "await quantity",
        "yield",
        "quantity ** 2",
        "quantity // 2",
        "quantity % 2",
        "quantity << 2",
        "quantity | 1",
        "~quantity",
        "+quantity",
        "1 < quantity < 3",
        "...",
        "None",
        "b'x'",
        "1j",
        "1e999",
        "9" * 30,
        "9" * 5_000,
        "eval('1')",
        "exec('1')",
        "open('/etc/passwd')",
        "read_csv('/etc/passwd')",
        "abs(x=1)",
        "abs(*quantity)",
        "abs(quantity, 1)",
        "coalesce(quantity, country)",
        "col(quantity)",
        "col('quantity', 1)",
        "col('no such column')",
        "missing",
        "price * fee",
        "price + quantity",
        "price + 1",
        "2 / price",
        "country + country",
        "country * 2",
        "'x' * 9",
        "country > 5",
        "not quantity",
        "quantity and paid",
        "quantity in []",
        "quantity in price",
        "",
        "   ",
        "#",
        ")",
        "quantity; quantity",
        "quantity\nquantity",
        "quantity \x00",
        "import os",
        "(" * 10_000 + "quantity" + ")" * 10_000,
        "(" * 900 + "quantity" + ")" * 900,
        "-" * 1_900 + "quantity",
        "not " * 450 + "paid",
        "quantity" + "+quantity" * 200,
        "abs(" * 300 + "quantity" + ")" * 300,
    ],
    ids=lambda text: text[:40],
)
def test_refused_forms(text):
    with pytest.raises(ConfigError) as refused:
        compile_expression(text, KINDS)
    assert refused.value.finding.code == "expression.refused"


def test_a_refusal_of_a_near_miss_says_what_was_meant():
    with pytest.raises(ConfigError, match="Did you mean 'quantity'"):
        compile_expression("quantiti * 2", KINDS)


def test_columns_of_an_expression_in_order():
    assert columns_of('abs(quantity) * col("Unit Price") + quantity') == ("quantity", "Unit Price")


def test_a_condition_must_be_true_or_false():
    with pytest.raises(ConfigError, match="not a condition"):
        compile_condition("quantity", KINDS)


def test_an_unknown_value_makes_a_condition_false(engine):
    condition = compile_condition("nothing > 0", {"nothing": Kind.INTEGER})
    assert engine.one(sql("SELECT {c} FROM {row}", c=condition, row=sql(ROW))) == (False,)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    quantity=st.integers(-(10**6), 10**6),
    price=st.decimals(-(10**6), 10**6, places=6),
    fee=st.decimals(-(10**6), 10**6, places=6),
)
def test_money_is_exact_against_fractions(shared_bench, quantity, price, fee):
    def micros(x: Decimal) -> int:
        return int(Fraction(x) * MICROS)

    row = sql(
        "(SELECT CAST({q} AS BIGINT) AS quantity, CAST({p} AS BIGINT) AS price, CAST({f} AS BIGINT) AS fee)",
        q=quantity, p=micros(price), f=micros(fee),
    )  # fmt: skip
    typed = compile_expression("quantity * price - fee", KINDS)
    (found,) = shared_bench.engine.one(sql("SELECT {x} FROM {row}", x=typed.sql, row=row))
    assert Fraction(int(found)) == (quantity * Fraction(price) - Fraction(fee)) * MICROS
