"""Online Retail (UCI 352) through its own contract, against an account made with pandas from the raw file."""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from headwater.app.config import contract_of, read_settings
from headwater.contracts.check import check_gate
from headwater.core.span import day_of

FOLDER = Path(str(files("headwater.app") / "examples" / "online_retail"))
# As published by UCI (541,909) and counted by others in the raw file.
N_LINES, N_WITHOUT_CUSTOMER, N_REPEATS, N_NOT_PRICED = 541_909, 135_080, 5_268, 2_517
N_QUARANTINED, N_KEPT, N_CANCELLATION_LINES = 140_345, 401_564, 9_288


@pytest.fixture(scope="module")
def raw():
    """Every cell as the publisher wrote it: text."""
    return pd.read_parquet(FOLDER / "online_retail.parquet")


@pytest.fixture(scope="module")
def kept(raw):
    """The clean lines as pandas finds them."""
    unpriced = pd.to_numeric(raw["UnitPrice"]) <= 0
    return raw[~((raw["CustomerID"] == "") | raw.duplicated(keep="first") | unpriced)]


@pytest.fixture(scope="module")
def events(shared_bench):
    contract = contract_of(read_settings(FOLDER / "headwater.toml"), today=date(2026, 1, 1))
    return shared_bench.check_in(FOLDER, contract)


@pytest.fixture(scope="module")
def ledger(shared_bench, events):
    from headwater.ledgers.build import build_ledger

    return build_ledger(shared_bench.engine, events, folder=shared_bench.folder())


def test_every_line_is_accounted_for(events):
    broken = {r.code: r.n_rows for r in events.rules if r.n_rows}
    assert events.n_rows_in == N_LINES
    assert broken == {
        "required(CustomerID)": N_WITHOUT_CUSTOMER,
        "unique(row)": N_REPEATS,
        "range(UnitPrice above 0)": N_NOT_PRICED,
    }
    assert (events.quarantine.n_rows, events.events.n_rows) == (N_QUARANTINED, N_KEPT)
    assert check_gate(events) == ()


def test_the_published_account_is_what_pandas_counts(raw, kept):
    unpriced = pd.to_numeric(raw["UnitPrice"]) <= 0
    counts = [len(raw), (raw["CustomerID"] == "").sum(), raw.duplicated(keep="first").sum(), unpriced.sum()]
    assert counts == [N_LINES, N_WITHOUT_CUSTOMER, N_REPEATS, N_NOT_PRICED]
    assert len(kept) == N_KEPT
    assert raw["InvoiceNo"].astype(str).str.startswith("C").sum() == N_CANCELLATION_LINES


def test_every_cancellation_of_a_known_customer_is_kept_and_nets(kept, ledger):
    """9,288 cancellation lines; those kept lower revenue, they are not dirt."""
    customer = kept["CustomerID"].str.removesuffix(".0")
    cancelled = kept["InvoiceNo"].astype(str).str.startswith("C")
    assert cancelled.sum() == 8_872
    pence = kept["Quantity"].astype("int64") * (pd.to_numeric(kept["UnitPrice"]) * 1_000_000).round().astype(
        "int64"
    )
    by_user = pence.groupby(customer).sum()
    days = ledger.days.to_pandas()
    assert days.groupby("user_id")["revenue"].sum().to_dict() == by_user.to_dict()
    assert pence[cancelled].sum() < 0
    assert days["revenue"].sum() == pence[~cancelled].sum() + pence[cancelled].sum()


def test_purchases_are_distinct_invoices_with_something_bought(kept, ledger):
    bought = kept[kept["Quantity"].astype("int64") > 0]
    customer = bought["CustomerID"].str.removesuffix(".0")
    expected = bought.groupby(customer)["InvoiceNo"].nunique()
    found = ledger.days.to_pandas().groupby("user_id")["purchases"].sum()
    assert found[found > 0].to_dict() == expected.to_dict()


def test_the_log_spans_the_published_days(ledger):
    assert (ledger.first_day, ledger.end_day) == (day_of("2010-12-01"), day_of("2011-12-10"))
