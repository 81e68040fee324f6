"""The events' check with an identity map and with exchange rates, day by day: the same as checking everything anew."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from headwater.contracts.check import check
from headwater.core.contract import App, Contract, Events, RuleSpec, Source
from headwater.core.errors import ConfigError
from headwater.core.identity import Identity
from headwater.core.span import day_of
from headwater.core.table import Kind
from headwater.engine import sift

E12 = 1_000_000_000_000
DAY = day_of("2024-01-01")
DAYS = {
    "1.csv": "device,login,at,price,cur\nd1,,2024-01-01 10:00:00,1.00,USD\nd1,,2024-01-01 10:00:00,1.00,USD\nd2,bob,2024-01-01 11:00:00,2.00,GBP\n",
    "2.csv": "device,login,at,price,cur\nd1,ann,2024-01-02 10:00:00,1.00,USD\nd3,,2024-01-02 11:00:00,4.00,EUR\n",
    "3.csv": "device,login,at,price,cur\nd1,cat,2024-01-05 10:00:00,1.00,USD\n",
}


def _contract(path: str = "log/*.csv", **settings: Any) -> Contract:
    source = Source(
        path=path,
        user="login",
        at="at",
        event_is="open",
        keep=("price", "cur"),
        types={"price": Kind.MONEY},
        currency="cur",
    )
    rules = (RuleSpec(rule="unique", columns=("device", "login", "at")),)
    app = App(name="test", time_zone="UTC", currency="GBP", fx_max_age_days=1)
    return Contract(
        app=app,
        source=source,
        measures=(),
        rules=rules,
        identity=Identity(device="device", login="login"),
        **settings,
    )


def _checked(bench: Any, root: Path, rates: Any, earlier: Events | None, path: str = "log/*.csv") -> Events:
    prints = {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted((root / "log").iterdir())}
    return check(
        bench.engine,
        _contract(path),
        root=root,
        folder=bench.folder(),
        source_fingerprint="none",
        prints=prints,
        earlier=earlier,
        rates=rates,
    )


def _users(events: Events) -> list[tuple[str, int]]:
    return sorted((r["user_id"], r["price"]) for r in events.events.to_arrow().to_pylist())


def test_a_day_appended_gives_the_rows_of_a_check_of_everything(bench: Any) -> None:
    """Login ann names the events of day 1 on day 2; cat, on day 5, takes them back."""
    root = bench.folder()
    (root / "log").mkdir()
    rates = {"USD": {DAY + d: (d + 1) * E12 // 2 for d in range(5)}, "EUR": {DAY + 1: E12}}
    expected = [
        [("bob", 2_000_000), ("device:d1", 500_000)],
        [("ann", 500_000), ("ann", 1_000_000), ("bob", 2_000_000), ("device:d3", 4_000_000)],
        [
            ("ann", 1_000_000),
            ("bob", 2_000_000),
            ("cat", 2_500_000),
            ("device:d1", 500_000),
            ("device:d3", 4_000_000),
        ],
    ]
    earlier = None
    for (file, text), users in zip(DAYS.items(), expected, strict=True):
        (root / "log" / file).write_text(text, encoding="utf-8")
        earlier = _checked(bench, root, rates, earlier)
        whole = _checked(bench, root, rates, None)
        assert _users(earlier) == users
        assert earlier.events.fingerprint == whole.events.fingerprint
        assert earlier.quarantine.fingerprint == whole.quarantine.fingerprint
        assert earlier.quarantine.n_rows == 1
        assert earlier.identity is not None
    assert {"identity.rule", "identity.shared_devices"} <= {f.code for f in earlier.findings}


def test_a_new_rate_of_another_day_leaves_a_part_as_it_is(bench: Any) -> None:
    root = bench.folder()
    (root / "log").mkdir()
    (root / "log" / "1.csv").write_text(DAYS["1.csv"], encoding="utf-8")
    first = _checked(bench, root, {"USD": {DAY: E12}}, None)
    later = _checked(bench, root, {"USD": {DAY: E12, DAY + 9: 2 * E12}}, first)
    changed = _checked(bench, root, {"USD": {DAY: 3 * E12}}, first)
    assert first.parts[0].links == later.parts[0].links != changed.parts[0].links
    assert _users(changed) == [("bob", 2_000_000), ("device:d1", 3_000_000)]


def test_a_broken_file_among_many_is_told_and_the_rest_is_checked(bench: Any) -> None:
    root = bench.folder()
    (root / "log").mkdir()
    for i in range(120):
        (root / "log" / f"{i:03d}.csv").write_text(
            f"device,login,at,price,cur\nd{i},u{i},2024-01-01 10:00:00,1.00,GBP\n", encoding="utf-8"
        )
    (root / "log" / "007.csv").write_bytes(b"")
    events = _checked(bench, root, {}, None)
    assert (events.events.n_rows, events.n_rows_in) == (119, 119)
    assert events.findings[0].code == "source.broken_files"
    assert "1 of 120 files" in events.findings[0].what


def test_a_currency_without_rates_or_without_money_is_refused(bench: Any) -> None:
    root = bench.folder()
    (root / "log").mkdir()
    (root / "log" / "1.csv").write_text(DAYS["1.csv"], encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        _checked(bench, root, None, None)
    assert refused.value.finding.code == "currency.no_source"


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_damage_inside_a_file_among_many_is_found_by_reading_and_named(bench: Any, kind: str) -> None:
    """Pages overwritten with zeros; line ends that change in the middle of a file too large to be looked through."""
    root = bench.folder()
    (root / "log").mkdir()
    for i in range(120):
        rows = [f"d{i},u{i}-{k * 7919 % 1000},2024-01-01 10:00:00,1.00,GBP" for k in range(40)]
        file = root / "log" / f"{i:03d}.csv"
        file.write_text("\n".join(["device,login,at,price,cur", *rows, ""]), encoding="utf-8")
        if kind == "parquet":
            pq.write_table(pa_csv.read_csv(file), file.with_suffix(".parquet"), compression="zstd")
    bad = root / "log" / f"042.{kind}"
    whole = bad.read_bytes()
    after = whole.replace(b"\n", b"\r\n")
    bad.write_bytes(whole[:40] + bytes(160) + whole[200:] if kind == "parquet" else whole * 1_000 + after)
    events = _checked(bench, root, {}, None, path=f"log/*.{kind}")
    assert (events.n_rows_in, events.events.n_rows) == (119 * 40, 119 * 40)
    assert events.findings[0].code == "source.broken_files"
    assert "1 of 120 files" in events.findings[0].what
    assert f"'{bad.name}'" in events.findings[0].what


def test_while_a_damaged_file_stays_only_what_is_new_is_looked_through(bench: Any, monkeypatch: Any) -> None:
    root = bench.folder()
    (root / "log").mkdir()
    for i in range(120):
        pq.write_table(
            pa.table({"device": [f"d{i}"] * 900, "login": [f"u{i}-{k * 7919 % 1000}" for k in range(900)],
                      "at": ["2024-01-01 10:00:00"] * 900, "price": ["1.00"] * 900, "cur": ["GBP"] * 900}),
            root / "log" / f"{i:03d}.parquet", compression="zstd",
        )  # fmt: skip
    bad = root / "log" / "042.parquet"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:40] + bytes(160) + whole[200:])
    first = _checked(bench, root, {}, None, path="log/*.parquet")
    looked: list[str] = []
    plain = sift._page_damage
    monkeypatch.setattr(sift, "_page_damage", lambda f: (looked.append(f.name), plain(f))[1])
    again = _checked(bench, root, {}, first, path="log/*.parquet")
    assert looked == ["042.parquet"]
    assert again.events.fingerprint == first.events.fingerprint
    assert again.findings[0].code == "source.broken_files"


def test_text_files_of_many_days_meet_the_rate_of_their_own_day(bench: Any) -> None:
    """Twelve files that arrive one after another, a rate a day: each price times its day's rate."""
    root = bench.folder()
    (root / "log").mkdir()
    rates = {"USD": {DAY + d: (d + 1) * E12 // 4 for d in range(12)}}
    earlier, expected = None, []
    for d in range(12):
        rows = "".join(f"d{k},u{k},2024-01-{d + 1:02d} 10:00:00,{k + 1}.00,USD\n" for k in range(3))
        (root / "log" / f"{d:02d}.csv").write_text("device,login,at,price,cur\n" + rows, encoding="utf-8")
        expected += [(f"u{k}", (k + 1) * (d + 1) * 250_000) for k in range(3)]
        earlier = _checked(bench, root, rates, earlier)
        assert _users(earlier) == sorted(expected)
    whole = _checked(bench, root, rates, None)
    assert earlier is not None
    assert earlier.events.fingerprint == whole.events.fingerprint
