"""Formulas: each partial is worked out once, and no partial of a feature reaches past the cutoff."""

from __future__ import annotations

import pytest

from headwater.core.ledger import LedgerMeasure
from headwater.core.table import Kind
from headwater.engine.dialect import DUCKDB
from headwater.engine.sql import name, render, sql
from headwater.snapshots.feature import (
    FeatureSpec,
    ahead,
    earliest,
    formula,
    greatest,
    in_units,
    least,
    measured,
    total,
)
from headwater.snapshots.query import every_feature

DAYS = ((1, 5), (2, -3), (7, 10), (8, 100), (40, 1))
MONEY = LedgerMeasure(name="revenue", kind=Kind.MONEY, unit="GBP", scale=1_000_000, counts=False)


def worked_out(engine, made):
    """A formula over the days of one user: (age, value)."""
    names = {p: name(f"p{k}") for k, p in enumerate(dict.fromkeys(made.partials))}
    rows = sql(
        "(VALUES {v}) AS t(age, value)", v=[sql("({a}, {v})", a=a, v=v) for a, v in (*DAYS, (0, 7), (-3, 9))]
    )
    partials = [sql("{x} AS {n}", x=p.aggregate, n=n) for p, n in names.items()]
    (found,) = engine.one(
        sql("SELECT {f} FROM (SELECT {p} FROM {r}) q", f=made.sql(names), p=partials, r=rows)
    )
    return found


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (total(sql("value")), 113),
        (total(sql("value"), last=7), 12),
        (total(sql("value"), last=7, before=7), 100),
        (total(sql("value"), last=2, before=10), 0),
        (total(sql("1"), when=sql("value > 3")), 3),
        (least(sql("age"), when=sql("value > 5")), 7),
        (greatest(sql("value"), last=7), 10),
        (least(sql("value"), last=2, before=10), None),
        (earliest(sql("value")), 1),
        (earliest(sql("value"), when=sql("value > 1")), 100),
        (earliest(sql("value"), when=sql("value > 1000")), None),
        (ahead(sql("value"), days=1), 7),
        (ahead(sql("value"), days=4), 16),
        (formula("{a} - {b}", a=total(sql("value"), last=7), b=total(sql("value"), last=1)), 7),
    ],
)
def test_partials_by_hand(engine, made, expected):
    assert worked_out(engine, made) == expected


def test_a_partial_in_two_formulas_is_one():
    whole = measured(MONEY, last=28)
    both = formula("{a} + {b}", a=whole, b=in_units(MONEY, total(name("revenue"), last=28)))
    assert len(both.partials) == 2
    assert len(set(both.partials)) == 1


def test_no_partial_on_the_shelf_reads_the_cutoff_or_a_later_day():
    counts = LedgerMeasure(name="orders", kind=Kind.INTEGER, unit="", scale=1, counts=True)
    spec = FeatureSpec(measures=(MONEY, counts))
    partials = {p for kind in every_feature() for c in kind().columns(spec) for p in c.formula.partials}
    assert len(partials) >= 20
    assert min(p.after for p in partials) == 0


def test_no_aggregate_is_filtered():
    """FILTER costs DuckDB the square of the number of aggregates; CASE does not."""
    made = total(sql("value"), last=7, when=sql("value > 0"))
    assert "FILTER" not in render(made.partials[0].aggregate, DUCKDB)
