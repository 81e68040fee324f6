"""CDNOW as published: Fader, Hardie and Lee (2005), 1/10 sample, first 39 weeks."""

from __future__ import annotations

import gzip
from importlib.resources import files

import pytest

from headwater.core.contract import Aggregate, Measure
from headwater.core.table import Kind

# Published to two decimals.
ABS_TOLERANCE = 0.005


@pytest.fixture
def customers(bench, rows_of):
    source = files("headwater.app") / "examples" / "cdnow" / "CDNOW_sample.txt.gz"
    rows = [line.split() for line in gzip.decompress(source.read_bytes()).decode("ascii").splitlines()]
    data = "user,at,amount\n" + "".join(f"{r[1]},{r[2][:4]}-{r[2][4:6]}-{r[2][6:]},{r[4]}\n" for r in rows)
    measures = (
        Measure(name="purchases", aggregate=Aggregate.COUNT),
        Measure(name="spend", aggregate=Aggregate.SUM, expression="amount"),
    )
    ledger = bench.ledger(data, zone="America/New_York", types={"amount": Kind.MONEY}, measures=measures)
    return {
        r["user_id"]: r
        for r in rows_of(bench.snapshot(ledger, cutoffs=["1997-10-01"], horizons=(270, 273)).rows)
    }


def test_2357_customers_and_2457_repeats_against_fader_hardie_lee_2005(customers):
    assert len(customers) == 2_357
    assert sum(r["purchases_repeats"] for r in customers.values()) == 2_457


def test_first_customers_against_fader_hardie_bg_nbd_spreadsheet(customers):
    """The first rows of the authors' bgnbd.xls: x, t_x and T in weeks."""
    published = {
        "0001": (2, 30.43, 38.86),
        "0002": (1, 1.71, 38.86),
        "0003": (0, 0.0, 38.86),
        "0004": (0, 0.0, 38.86),
    }
    for customer, (x, t_x, age) in published.items():
        row = customers[customer]
        assert row["purchases_repeats"] == x
        assert row["purchases_first_to_last"] / 7 == pytest.approx(t_x, abs=ABS_TOLERANCE)
        assert row["purchases_age"] / 7 == pytest.approx(age, abs=ABS_TOLERANCE)


def test_the_holdout_ends_with_the_log(customers):
    """The log ends on 1998-06-30: 273 days, 39 weeks, after the cutoff."""
    assert all(
        r["observed_days_273d"] == 273 and r["active_days_next_273d"] is not None for r in customers.values()
    )
    assert sum(r["active_days_next_273d"] for r in customers.values()) == 1_882
