"""The proposal of ``headwater init``: the choices for real logs and for small files written by hand.

Expected counts are the publishers' (Online Retail: UCI 352, as recounted in the data's README; CDNOW: Fader and
Hardie; Wikimedia sessions: reconstructr) or stand in the rows of the test itself. Choices are asserted, not prose.
"""

from __future__ import annotations

import gzip
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

import headwater.app
from headwater.app.config import contract_of, settings_of
from headwater.app.propose import settings_text
from headwater.contracts.check import check, require_gate
from headwater.contracts.infer import Proposal, Sure, propose
from headwater.contracts.infer_rules import propose_rules
from headwater.core.contract import Aggregate, Events
from headwater.core.errors import ConfigError, DataError, SourceError
from headwater.core.table import Kind
from headwater.engine.duckdb import DuckDB
from headwater.engine.engine import table_scan
from headwater.engine.sql import sql
from headwater.ledgers.build import build_ledger

EXAMPLES = Path(headwater.app.__file__).parent / "examples"
TODAY = date(2026, 1, 1)
# Shares allowed by a rule stand a bit above the share seen: at most a fifth more, so that the gate still means something.
SLACK = 1.2

Check = Callable[[Proposal], Events]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    made = DuckDB(threads=2, memory="1GB", spill=tmp_path_factory.mktemp("spill"))
    yield made
    made.close()


@pytest.fixture
def accepted(engine: DuckDB, tmp_path: Path) -> Check:
    """The proposal as text, through the settings, the contract, the gate and the ledger."""

    def through(proposal: Proposal) -> Events:
        settings = settings_of(tomllib.loads(settings_text(proposal, path=proposal.source.path)))
        contract = contract_of(settings, today=TODAY)
        assert contract.source == proposal.source
        assert contract.measures == proposal.measures
        events = check(engine, contract, root=tmp_path, folder=tmp_path / "gate", source_fingerprint="test")
        require_gate(events)
        assert events.n_rows_in == proposal.n_rows
        build_ledger(engine, events, folder=tmp_path / "ledger")
        return events

    return through


def write(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], *, delimiter: str = ","
) -> Path:
    lines = [delimiter.join(str(v) for v in row) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def shop(
    at: Callable[[datetime], str],
    *,
    days: int = 40,
    users: int = 7,
    start: datetime = datetime(2024, 1, 25, 9, 30),
) -> list[tuple[object, ...]]:
    """Each day two users pay: user, time, amount."""
    moments = [
        (start + timedelta(days=d, minutes=17 * k), (2 * d + k) % users)
        for d in range(days)
        for k in range(2)
    ]
    return [(f"u{who}", at(moment), f"{10 + who}.5{who}") for moment, who in moments]


def measures_of(proposal: Proposal) -> dict[str, tuple[Aggregate, str, str | None]]:
    return {m.name: (m.aggregate, m.expression, m.where) for m in proposal.measures}


def codes(proposal: Proposal) -> set[str]:
    return {f.code for f in proposal.findings}


def rules_of(proposal: Proposal) -> dict[str, tuple[tuple[str, ...], float]]:
    return {r.rule: (r.columns, r.max_share or 0.0) for r in proposal.rules}


def test_online_retail_as_its_publisher_describes_it(engine: DuckDB, accepted: Check) -> None:
    p = propose(engine, EXAMPLES / "online_retail" / "online_retail.parquet", today=TODAY)
    assert p.n_rows == 541_909
    assert (p.first_on, p.last_on) == (date(2010, 12, 1), date(2011, 12, 9))
    assert (p.source.user, p.source.at, p.source.at_format) == ("CustomerID", "InvoiceDate", None)
    assert (p.source.event, p.source.event_is) == (None, "purchase")
    assert p.source.types == {"Quantity": Kind.INTEGER, "UnitPrice": Kind.MONEY}
    assert p.source.keep == ("Country",)
    assert measures_of(p) == {
        "revenue": (Aggregate.SUM, "Quantity * UnitPrice", None),
        "purchases": (Aggregate.COUNT_DISTINCT, "InvoiceNo", "Quantity > 0"),
    }
    rules = rules_of(p)
    assert list(rules) == ["required", "unique", "range"]
    columns, allowed = rules["required"]
    assert columns == ("CustomerID",)
    assert 135_080 / 541_909 < allowed < SLACK * 135_080 / 541_909
    assert rules["unique"][1] > 5_268 / 541_909
    assert rules["range"][0] == ("UnitPrice",)
    assert p.rules[2].settings == {"above": 0}
    assert p.horizons == ("30d", "90d")
    assert (p.target, p.occasions) == ("revenue", "purchases")
    assert {p.choice("app.time_zone").sure, p.choice("app.currency").sure} == {Sure.CONFIRM}  # type: ignore[union-attr]
    events = accepted(p)
    broken = {r.code: r.n_rows for r in events.rules}
    assert broken["required(CustomerID)"] == 135_080
    assert broken["unique(row)"] == 5_268
    assert broken["range(UnitPrice above 0)"] == 2_517


def test_cdnow_as_csv_with_the_columns_fader_and_hardie_name(
    engine: DuckDB, accepted: Check, tmp_path: Path
) -> None:
    with gzip.open(EXAMPLES / "cdnow" / "CDNOW_master.csv.gz", "rt", encoding="ascii") as file:
        rows = [line.split(",") for line in file.read().splitlines()[1:]]
    p = propose(
        engine, write(tmp_path / "cdnow.csv", ["customer_id", "date", "number_of_cds", "dollar_value"], rows)
    )
    assert p.n_rows == 69_659
    assert (p.first_on, p.last_on) == (date(1997, 1, 1), date(1998, 6, 30))
    assert (p.source.user, p.source.at, p.source.at_format, p.source.event_is) == (
        "customer_id",
        "date",
        "%Y%m%d",
        "purchase",
    )
    assert measures_of(p) == {
        "revenue": (Aggregate.SUM, "dollar_value", None),
        "purchases": (Aggregate.COUNT, "", "dollar_value > 0"),
    }
    assert p.currency == "USD"
    assert "unique" not in rules_of(p), (
        "without a time of day and an order key, equal rows may be two purchases"
    )
    assert "init.repeats_kept" in codes(p)
    events = accepted(p)
    assert events.events.n_rows == 69_659


def test_wikimedia_sessions_has_readers_and_no_money(engine: DuckDB, accepted: Check) -> None:
    folder = os.environ.get("HEADWATER_REFERENCE_DATA")
    if not folder:
        pytest.skip("HEADWATER_REFERENCE_DATA names no folder of reference data")
    p = propose(engine, Path(folder).resolve() / "wikimedia_sessions" / "session_dataset.csv.gz")
    assert p.n_rows == 63_524
    assert (p.source.user, p.source.at, p.source.keep) == ("uuid", "timestamp", ())
    assert measures_of(p) == {"actions": (Aggregate.COUNT, "", None)}
    assert (p.target, p.occasions) == ("active_days", None)
    broken = {r.code: r.n_rows for r in accepted(p).rules}
    assert broken["unique(row)"] == 7


def test_tsv_with_refunds_and_an_order_key(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    rows = [
        (u, f"{t}", f"A{i}", v if i % 9 else f"-{v}")
        for i, (u, t, v) in enumerate(shop(lambda m: m.isoformat(sep=" ")))
    ]
    p = propose(
        engine,
        write(
            tmp_path / "orders.tsv",
            ["member_id", "created_at", "order_id", "amount_eur"],
            rows,
            delimiter="\t",
        ),
    )
    assert (p.source.user, p.source.at) == ("member_id", "created_at")
    assert measures_of(p) == {
        "revenue": (Aggregate.SUM, "amount_eur", None),
        "purchases": (Aggregate.COUNT_DISTINCT, "order_id", "amount_eur > 0"),
    }
    assert p.currency == "EUR"
    assert "range" not in rules_of(p)
    assert accepted(p).events.n_rows == 80


def test_json_lines_with_event_names_and_prices_on_views(
    engine: DuckDB, accepted: Check, tmp_path: Path
) -> None:
    lines = []
    for i, (user, at, price) in enumerate(shop(lambda m: m.isoformat() + "Z")):
        what = ("view", "cart", "view", "purchase")[i % 4]
        lines.append(
            json.dumps(
                {
                    "event_time": at,
                    "event_type": what,
                    "user_id": user,
                    "price": float(str(price)),
                    "platform": "ios" if i % 3 else "web",
                }
            )
        )
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    p = propose(engine, path)
    assert (p.source.user, p.source.at, p.source.event) == ("user_id", "event_time", "event_type")
    where = 'event_type == "purchase"'
    assert measures_of(p) == {
        "revenue": (Aggregate.SUM, "price", where),
        "purchases": (Aggregate.COUNT, "", where),
    }
    assert p.source.keep == ("platform",)
    assert p.time_zone == "UTC"
    accepted(p)


def test_an_event_column_called_event_can_stand_in_a_measure(
    engine: DuckDB, accepted: Check, tmp_path: Path
) -> None:
    rows = [
        (u, t, ("open", "purchase")[i % 2], v) for i, (u, t, v) in enumerate(shop(lambda m: m.isoformat()))
    ]
    p = propose(engine, write(tmp_path / "e.csv", ["user_id", "ts", "event", "revenue"], rows))
    assert (p.source.event, p.measures[0].where) == ("event", 'event == "purchase"')
    events = accepted(p)
    assert [c.name for c in events.events.columns].count("event") == 1


def test_excel_sheet(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    path = tmp_path / "sales.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet, day = book.add_worksheet(), book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
    sheet.write_row(0, 0, ["Customer ID", "Order Date", "Qty", "Unit Price"])
    for i in range(60):
        sheet.write_row(i + 1, 0, [1000 + i % 6, "", 1 + i % 3, 2.5 + i % 4])
        sheet.write_datetime(i + 1, 1, datetime(2024, 3, 1, 8) + timedelta(days=i), day)
    book.close()
    p = propose(engine, path)
    assert (p.source.user, p.source.at, p.source.at_format) == ("Customer ID", "Order Date", None)
    assert p.source.types == {"Qty": Kind.INTEGER, "Unit Price": Kind.MONEY}
    assert measures_of(p)["revenue"] == (Aggregate.SUM, 'Qty * col("Unit Price")', None)
    assert accepted(p).events.n_rows == 60


def test_gzipped_csv(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    plain = write(tmp_path / "plain", ["user_id", "at", "amount"], shop(lambda m: m.isoformat(sep=" ")))
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    p = propose(engine, path)
    assert (p.format, p.source.user, p.source.at, p.name) == ("csv", "user_id", "at", "log")
    accepted(p)


def test_a_folder_of_files_is_one_log(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    rows = shop(lambda m: m.isoformat(sep=" "))
    (tmp_path / "days").mkdir()
    write(tmp_path / "days" / "a.csv", ["user_id", "at", "amount"], rows[:40])
    write(tmp_path / "days" / "b.csv", ["user_id", "at", "amount"], rows[40:])
    p = propose(engine, tmp_path / "days")
    assert (p.name, p.n_rows) == ("days", 80)
    accepted(p)


@pytest.mark.parametrize(
    ("form", "scale"),
    [("epoch_s", 1), ("epoch_ms", 1_000), ("epoch_us", 1_000_000)],
)
def test_epoch_times(engine: DuckDB, accepted: Check, tmp_path: Path, form: str, scale: int) -> None:
    rows = shop(lambda m: str(int(m.replace(tzinfo=UTC).timestamp()) * scale))
    p = propose(engine, write(tmp_path / "e.csv", ["uid", "timestamp", "spend"], rows))
    assert (p.source.at, p.source.at_format) == ("timestamp", form)
    assert (p.first_on, p.last_on) == (date(2024, 1, 25), date(2024, 3, 4))
    accepted(p)


@pytest.mark.parametrize(
    "form",
    [
        "%d/%m/%Y %H:%M",
        "%m/%d/%Y %H:%M",
        "%d.%m.%Y",
        "%m/%d/%Y %I:%M %p",
        "%d-%b-%Y",
        "%Y年%m月%d日",
        "%d/%m/%y",
        "%Y.%m.%d %H:%M:%S",
        "%Y%m%d%H%M%S",
    ],
)
def test_dates_decided_by_the_data(engine: DuckDB, accepted: Check, tmp_path: Path, form: str) -> None:
    p = propose(
        engine,
        write(tmp_path / "d.csv", ["customer", "order_date", "total"], shop(lambda m: m.strftime(form))),
    )
    assert (p.source.at, p.source.at_format) == ("order_date", form)
    assert (p.first_on, p.last_on) == (date(2024, 1, 25), date(2024, 3, 4))
    assert "init.ambiguous_dates" not in codes(p)
    assert accepted(p).events.n_rows == 80


def test_days_beyond_the_rows_looked_at_still_decide_the_format(engine: DuckDB, tmp_path: Path) -> None:
    """The first rows all lie on days up to 12; a later row has the 13th and settles it."""
    early = shop(lambda m: m.strftime("%m/%d/%Y"), days=12, start=datetime(2024, 3, 1, 9))
    late = shop(lambda m: m.strftime("%m/%d/%Y"), days=1, start=datetime(2024, 3, 13, 9))
    p = propose(engine, write(tmp_path / "d.csv", ["customer", "order_date", "total"], [*early, *late]))
    assert p.source.at_format == "%m/%d/%Y"
    assert "init.ambiguous_dates" not in codes(p)


def test_ambiguous_dates_are_said_to_be(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    rows = shop(lambda m: m.strftime("%d/%m/%Y"), days=10, start=datetime(2024, 3, 1, 9))
    p = propose(engine, write(tmp_path / "d.csv", ["customer", "order_date", "total"], rows))
    finding = next(f for f in p.findings if f.code == "init.ambiguous_dates")
    assert {finding.numbers["chosen"], finding.numbers["rival"]} == {"%d/%m/%Y", "%m/%d/%Y"}
    assert p.choice("sources.at").sure is Sure.CONFIRM  # type: ignore[union-attr]
    accepted(p)


def test_one_offset_gives_the_zone(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    p = propose(
        engine,
        write(
            tmp_path / "o.csv", ["user_id", "event_time", "amount"], shop(lambda m: m.isoformat() + "+08:00")
        ),
    )
    assert p.time_zone == "Etc/GMT-8"
    assert p.choice("app.time_zone").sure is Sure.CONFIRM  # type: ignore[union-attr]
    events = accepted(p)
    assert events.first_day == (date(2024, 1, 25) - date(1970, 1, 1)).days


def test_times_that_say_utc_stay_utc(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    p = propose(
        engine, write(tmp_path / "o.csv", ["user_id", "event_time", "amount"], shop(lambda m: f"{m} UTC"))
    )
    assert (p.source.at_format, p.source.time_zone) == (None, "UTC")
    accepted(p)


def test_chinese_column_names(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    rows = [
        (u, f"D{i}", t, v, ("苹果", "安卓")[i % 2], "张三")
        for i, (u, t, v) in enumerate(shop(lambda m: m.isoformat(sep=" ")))
    ]
    p = propose(
        engine,
        write(
            tmp_path / "订单.csv",
            ["用户ID", "订单号", "下单时间", "支付金额(元)", "渠道", "收货人姓名"],
            rows,
        ),
    )
    assert (p.source.user, p.source.at, p.source.keep) == ("用户ID", "下单时间", ("渠道",))
    assert measures_of(p)["revenue"][:2] == (Aggregate.SUM, 'col("支付金额(元)")')
    assert measures_of(p)["purchases"][:2] == (Aggregate.COUNT_DISTINCT, "订单号")
    assert p.currency == "CNY"
    assert accepted(p).events.n_rows == 80


def test_ids_of_nineteen_digits_stay_apart(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    """Neighbors near 2^63 are one number as doubles; as ids they are two users."""
    rows = [
        (9_223_372_036_854_775_800 + i % 2, t, v)
        for i, (_, t, v) in enumerate(shop(lambda m: m.isoformat(sep=" ")))
    ]
    p = propose(engine, write(tmp_path / "ids.csv", ["user_id", "at", "amount"], rows))
    assert p.source.user == "user_id"
    assert _users(engine, accepted(p)) == {"9223372036854775800", "9223372036854775801"}


def _users(engine: DuckDB, events: Events) -> set[str]:
    return {
        row[0] for row in engine.rows(sql("SELECT DISTINCT user_id FROM {t}", t=table_scan(events.events)))
    }


def test_typed_parquet(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    n = 90
    table = pa.table(
        {
            "player_id": pa.array([i % 9 for i in range(n)], pa.int64()),
            "created": pa.array(
                [datetime(2024, 1, 1, 5) + timedelta(days=i) for i in range(n)], pa.timestamp("us")
            ),
            "price_cents": pa.array([199 + 100 * (i % 4) for i in range(n)], pa.int32()),
            "country": pa.array([("DE", "FR")[i % 2] for i in range(n)]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    p = propose(engine, tmp_path / "t.parquet")
    assert (p.source.user, p.source.at, p.source.keep) == ("player_id", "created", ("country",))
    assert measures_of(p)["revenue"] == (Aggregate.SUM, "price_cents / 100", None)
    accepted(p)


def test_what_looks_personal_or_free_is_not_kept(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    rows = [
        (
            u,
            t,
            v,
            ("a@x.org", "b@y.org")[i % 2],
            ("Ann", "Bob")[i % 2],
            ("f", "m")[i % 2],
            ("a long remark of many words", "b")[i % 2],
            ("ads", "search")[i % 2],
        )
        for i, (u, t, v) in enumerate(shop(lambda m: m.isoformat(sep=" ")))
    ]
    header = ["user_id", "at", "amount", "contact", "first_name", "gender", "note", "channel"]
    p = propose(engine, write(tmp_path / "p.csv", header, rows))
    assert p.source.keep == ("channel",)
    accepted(p)


def test_amounts_as_text_and_nested_values_are_not_kept(
    engine: DuckDB, accepted: Check, tmp_path: Path
) -> None:
    lines = [
        json.dumps(
            {
                "user": {"id": u, "plan": "a"},
                "distinct_id": u,
                "ts": t,
                "amount": "1,50",
                "os": ("ios", "web")[i % 2],
            }
        )
        for i, (u, t, _) in enumerate(shop(lambda m: m.isoformat()))
    ]
    path = tmp_path / "n.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    p = propose(engine, path)
    assert (p.source.user, p.source.keep) == ("distinct_id", ("os",))
    accepted(p)


def test_latin_1_is_read_and_marked(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    rows = [
        (u, t, v, ("España", "Perú")[i % 2])
        for i, (u, t, v) in enumerate(shop(lambda m: m.isoformat(sep=" ")))
    ]
    path = write(tmp_path / "l.csv", ["user_id", "at", "amount", "country"], rows)
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    p = propose(engine, path)
    assert (p.source.encoding, p.n_rows, p.source.keep) == ("latin-1", 80, ("country",))
    events = accepted(p)
    found = engine.rows(sql("SELECT DISTINCT country FROM {t} ORDER BY 1", t=table_scan(events.events)))
    assert found == [("España",), ("Perú",)]


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "shift_jis", "windows-1252"])
def test_other_encodings_are_refused_not_garbled(engine: DuckDB, tmp_path: Path, encoding: str) -> None:
    rows = [
        (u, t, v, "10 € “off”" if encoding == "windows-1252" else ("東京都", "大阪府")[i % 2])
        for i, (u, t, v) in enumerate(shop(lambda m: m.isoformat(sep=" ")))
    ]
    path = write(tmp_path / "g.csv", ["user_id", "at", "amount", "region"], rows)
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    with pytest.raises(SourceError, match=r"source\.encoding"):
        propose(engine, path)


def test_a_damaged_gzip_file(engine: DuckDB, tmp_path: Path) -> None:
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"user_id,at\n" + b"u,2024-01-01\n" * 50)[:30])
    with pytest.raises(SourceError):
        propose(engine, tmp_path / "d.csv.gz")


def test_rows_after_today_get_a_rule(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    rows = [*shop(lambda m: m.isoformat(sep=" ")), ("u1", "2031-05-05 10:00:00", "3.00")]
    p = propose(engine, write(tmp_path / "f.csv", ["user_id", "at", "amount"], rows), today=TODAY)
    assert next(r for r in p.rules if r.rule == "not_future").settings == {"after": "2024-03-04"}, (
        "the log ended long before today"
    )
    assert p.last_on == date(2024, 3, 4)
    assert accepted(p).events.n_rows == 80


@pytest.mark.parametrize(
    ("today", "by_init", "by_infer"),
    [(TODAY, [], ["2024-03-04"]), (date(2024, 3, 10), ["today"], ["today"])],
    ids=["ended", "alive"],
)
def test_no_event_after_today_as_the_page_of_the_rule_says(
    engine: DuckDB, tmp_path: Path, today: date, by_init: list[str], by_infer: list[str]
) -> None:
    """docs/rules/not_future.md: of a log that ended, init writes the rule only if rows are dated after today."""
    path = write(tmp_path / "f.csv", ["user_id", "at", "amount"], shop(lambda m: m.isoformat(sep=" ")))
    p = propose(engine, path, today=today)
    found = propose_rules(engine, path, p, today=today)
    for rules, expected in ((p.rules, by_init), ([r for r, _ in found.rules], by_infer)):
        assert [r.settings["after"] for r in rules if r.rule == "not_future"] == expected
    page = Path(headwater.app.__file__).parents[3] / "docs" / "rules" / "not_future.md"
    assert "only if rows are dated after today" in page.read_text(encoding="utf-8")


def test_money_written_with_signs_is_told_not_guessed(
    engine: DuckDB, accepted: Check, tmp_path: Path
) -> None:
    rows = [(u, t, f"£{v}") for u, t, v in shop(lambda m: m.isoformat(sep=" "))]
    p = propose(engine, write(tmp_path / "m.csv", ["user_id", "at", "amount"], rows))
    assert "revenue" not in measures_of(p)
    assert "init.money_text" in codes(p)
    assert p.currency == "GBP"
    accepted(p)


@pytest.mark.parametrize(("amount", "told"), [("0.00", True), ("-5.00", True), ("0.01", False)])
def test_amounts_of_which_none_is_above_zero_are_told(
    engine: DuckDB, accepted: Check, tmp_path: Path, amount: str, told: bool
) -> None:
    rows = [
        (u, t, "0.00" if i else amount) for i, (u, t, _) in enumerate(shop(lambda m: m.isoformat(sep=" ")))
    ]
    p = propose(engine, write(tmp_path / "z.csv", ["user_id", "at", "amount"], rows))
    assert ("init.no_amount" in codes(p)) == told
    accepted(p)


@pytest.mark.parametrize(
    ("days", "horizons"),
    [(3, ()), (16, ("1d", "3d")), (60, ("7d", "14d")), (120, ("14d", "30d")), (236, ("30d", "90d"))],
)
def test_horizons_fit_the_span(
    engine: DuckDB, accepted: Check, tmp_path: Path, days: int, horizons: tuple[str, ...]
) -> None:
    """Three origins, each with the longest horizon before and after it: 2 x longest + 2 x step days."""
    p = propose(
        engine,
        write(
            tmp_path / "s.csv", ["user_id", "at", "amount"], shop(lambda m: m.isoformat(sep=" "), days=days)
        ),
    )
    assert p.horizons == horizons
    assert ("init.too_short" in codes(p)) == (not horizons)
    accepted(p)


def test_the_caller_may_name_user_and_time(engine: DuckDB, accepted: Check, tmp_path: Path) -> None:
    path = write(tmp_path / "n.csv", ["who", "moment", "amount"], shop(lambda m: m.isoformat(sep=" ")))
    with pytest.raises(ConfigError, match=r"init\.no_user"):
        propose(engine, path)
    p = propose(engine, path, user="who", at="moment")
    assert (p.source.user, p.source.at) == ("who", "moment")
    accepted(p)
    with pytest.raises(ConfigError, match=r"source\.missing_column"):
        propose(engine, path, user="whom")


def test_no_user_column_lists_the_columns(engine: DuckDB, tmp_path: Path) -> None:
    path = write(
        tmp_path / "g.csv",
        ["date", "region", "sales"],
        [(f"2024-01-{d:02d}", "north", d) for d in range(1, 29)],
    )
    with pytest.raises(ConfigError) as caught:
        propose(engine, path)
    assert caught.value.finding.code == "init.no_user"
    assert all(c in caught.value.finding.what for c in ("date", "region", "sales"))


def test_no_time_column_lists_the_columns(engine: DuckDB, tmp_path: Path) -> None:
    path = write(tmp_path / "g.csv", ["user_id", "version", "rounds"], [(i % 5, "a", i) for i in range(30)])
    with pytest.raises(ConfigError) as caught:
        propose(engine, path)
    assert caught.value.finding.code == "init.no_time"
    assert "version" in caught.value.finding.what


def test_a_header_without_rows(engine: DuckDB, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source\.no_rows"):
        propose(engine, write(tmp_path / "h.csv", ["user_id", "at", "amount"], []))


def test_a_file_that_is_not_there(engine: DuckDB, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source\.not_found"):
        propose(engine, tmp_path / "nothing.csv")


def test_an_event_column_that_engines_confuse_with_ours_is_refused(engine: DuckDB, tmp_path: Path) -> None:
    rows = [
        (u, t, ("open", "purchase")[i % 2], v) for i, (u, t, v) in enumerate(shop(lambda m: m.isoformat()))
    ]
    with pytest.raises(ConfigError, match=r"source\.reserved_column"):
        propose(engine, write(tmp_path / "e.csv", ["user_id", "ts", "Event", "revenue"], rows))
