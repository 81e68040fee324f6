"""Declared sources end to end: from ``headwater.toml`` to clean tables, wherever the data are."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headwater.app.config import other_sources_of, read_settings
from headwater.app.data_page import data_page
from headwater.app.provenance import provenance_of
from headwater.app.study import Study
from headwater.core.block import Callout, Grid
from headwater.core.errors import ConfigError, GateError
from headwater.core.sources import SourceKind

TODAY = date(2024, 3, 1)
SETTINGS = """
[app]
name = "shop"
time_zone = "UTC"
currency = "GBP"
fx_max_age = "3d"

[[sources]]
path = "warehouse.duckdb"
table = "shop.orders"
user = "login"
at = "at"
event_is = "order"
currency = "cur"
types = { price = "money" }
keep = ["price"]

[[sources]]
kind = "costs"
path = "costs/*.csv"
day = "day"
channel = "channel"
amount = "spend"
currency_is = "USD"
max_share = 0.4

[[sources.rules]]
rule = "range"
columns = ["spend"]
at_most = 1000

[[sources]]
kind = "fx"
path = "fx.csv"
day = "day"
currency = "currency"
rate = "rate"

[[sources]]
kind = "users"
path = "users.csv"
user = "id"
keep = ["country"]

[identity]
device = "device"
login = "login"

[measures]
revenue = { sum = "price" }
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "headwater.toml").write_text(SETTINGS, encoding="utf-8")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as db:
        db.execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT * FROM (VALUES"
            " ('d1', NULL, TIMESTAMP '2024-01-01 10:00:00', 10.00::DECIMAL(12, 2), 'USD'),"
            " ('d1', 'ann', TIMESTAMP '2024-01-02 10:00:00', 20.00, 'GBP'),"
            " ('d2', 'bob', TIMESTAMP '2024-01-20 10:00:00', 30.00, 'USD')) AS t(device, login, \"at\", price, cur)"
        )
    (tmp_path / "costs").mkdir()
    (tmp_path / "costs" / "jan.csv").write_text(
        "day,channel,spend\n2024-01-01,ads,100\n2024-01-02,mail,5000\n2024-01-04,mail,1\n", encoding="utf-8"
    )
    (tmp_path / "fx.csv").write_text("day,currency,rate\n2024-01-01,USD,0.8\n", encoding="utf-8")
    (tmp_path / "users.csv").write_text("id,country\nann,GB\nbob,US\n", encoding="utf-8")
    return tmp_path


def _study(root: Path) -> Any:
    return Study(root, read_settings(root / "headwater.toml"), today=TODAY)


def test_a_project_of_several_sources_is_landed_converted_and_joined(root: Path) -> None:
    study = _study(root)
    events = study.events()
    rows = sorted(
        (r["user_id"], r["price"], r["original_price"]) for r in events.events.to_arrow().to_pylist()
    )
    assert rows == [("ann", 8_000_000, 10_000_000), ("ann", 20_000_000, 20_000_000)]
    assert {r.code: r.n_rows for r in events.rules if r.n_rows} == {"currency.no_rate": 1}
    assert events.identity is not None
    by_kind = {s.source.kind: s for s in study.sources()}
    assert list(by_kind) == [SourceKind.FX, SourceKind.COSTS, SourceKind.USERS]
    costs = by_kind[SourceKind.COSTS]
    assert [(r["channel"], r["amount"], r["amount_original"]) for r in costs.rows.to_arrow().to_pylist()] == [
        ("ads", 80_000_000, 100_000_000),
        ("mail", 800_000, 1_000_000),
    ]
    assert {r.code: r.n_rows for r in costs.rules if r.n_rows} == {"range(spend at_most 1000)": 1}


def test_an_unchanged_source_is_not_checked_again_and_a_changed_one_is(root: Path) -> None:
    first, again = _study(root), _study(root)
    before = (first.events().source_fingerprint, [s.rows.files for s in first.sources()])
    assert (again.events().source_fingerprint, [s.rows.files for s in again.sources()]) == before
    with (root / "users.csv").open("a", encoding="utf-8") as out:
        out.write("cat,FR\n")
    assert [s.rows.n_rows for s in _study(root).sources()] == [1, 2, 3]


def test_a_source_that_fails_its_gate_stops_the_run(root: Path) -> None:
    (root / "costs" / "jan.csv").write_text(
        "day,channel,spend\n2024-01-01,ads,x\n2024-01-02,mail,5\n", encoding="utf-8"
    )
    with pytest.raises(GateError) as refused:
        _study(root).sources()
    assert refused.value.finding.code == "gate.failed"
    assert "'costs'" in refused.value.finding.what


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "fx"', 'kind = "costs"', "has no 'rate'"),
        ('rate = "rate"', 'rate = "rate"\nplan = "x"', "has no 'plan'"),
        ('rate = "rate"', "", "needs rate"),
        ('kind = "users"', 'kind = "costs"\nday = "d"\namount = "a"', "has no 'user'"),
        ('event_is = "order"', 'event_is = "order"\nkind = "event"', "kind"),
        ('path = "warehouse.duckdb"', 'path = "warehouse.duckdb"\ncurrency_is = "EUR"', "either currency"),
        ('fx_max_age = "3d"', 'fx_max_age = "3"', "app.fx_max_age"),
        ('rule = "range"', 'rule = "rnage"', "range"),
    ],
)
def test_wrong_settings_of_a_source_are_refused_with_what_is_wrong(
    root: Path, old: str, new: str, said: str
) -> None:
    (root / "headwater.toml").write_text(SETTINGS.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read_settings(root / "headwater.toml")
    assert said in str(refused.value)


def test_exchange_rates_come_first_whatever_their_place_in_the_file(root: Path) -> None:
    kinds = [s.kind for s in other_sources_of(read_settings(root / "headwater.toml"), today=TODAY)]
    assert kinds == [SourceKind.FX, SourceKind.COSTS, SourceKind.USERS]


def test_every_source_stands_in_the_provenance_and_an_undated_one_is_told(root: Path) -> None:
    study = _study(root)
    lines = dict(provenance_of(study, study.events(), study.ledger()))
    assert lines["source users"].startswith("users.csv (")
    assert "in no number" in lines["source users"]
    assert "amounts in the app's currency" in lines["source fx"]
    assert "costs/*.csv" in lines["source costs"]
    (undated,) = study.untold()
    assert (undated.code, "country" in undated.what) == ("attributes.undated", True)
    snapshot = study.snapshot(cutoffs=(study.ledger().end_day,), horizons=(1,))
    assert undated in snapshot.findings
    page = data_page(study, study.events(), study.ledger())
    card = next(dict(b.stream()) for b in page.blocks if isinstance(b, Grid) and b.name == "data_card")
    assert card["Beside them: users"].startswith("2 rows of users from users.csv")
    assert undated in [b.finding for b in page.blocks if isinstance(b, Callout)]


def test_a_dated_source_is_told_by_what_it_gives(root: Path) -> None:
    (root / "users.csv").write_text("id,since,country\nann,2024-01-01,GB\nbob,2024-01-02,US\n", "utf-8")
    text = SETTINGS.replace('user = "id"\n', 'user = "id"\nchanged_at = "since"\n')
    (root / "headwater.toml").write_text(text, "utf-8")
    study = _study(root)
    assert study.untold() == ()
    assert "attributes country" in dict(provenance_of(study, study.events(), study.ledger()))["source users"]
