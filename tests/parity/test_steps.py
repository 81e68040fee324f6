"""Each compiled step on DuckDB and on Spark: the same rows, bit for bit where they are counts, sums, days, ids and text."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.contracts.check import check
from headwater.contracts.kinds_check import check_source
from headwater.core.contract import Aggregate, App, Contract, Events, Measure, RuleSpec, Source
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.sources import OtherSource, SourceKind
from headwater.core.table import Kind, Table
from headwater.engine.engine import Engine
from headwater.ledgers.build import build_ledger
from headwater.models.cohort_counts import count_cohorts
from headwater.snapshots.age_leakage import check_age_leakage
from headwater.snapshots.ages import build_age_snapshot
from headwater.snapshots.attributes import read_attributes
from headwater.snapshots.build import build_snapshot
from headwater.snapshots.leakage import check_leakage
from headwater.snapshots.rows import grouped_counts, mature_rows, rows_at

DOUBLES = (
    1e-12  # sums of whole numbers are exact; what is left is a division or two, good to a few units of 2**-53
)
EPOCH = date(1970, 1, 1)
FIRST = date(2024, 2, 20)  # over the change to summer time in Europe
N_DAYS = 60
MEASURES = (
    Measure(name="revenue", aggregate=Aggregate.SUM, expression="quantity * price", unit="GBP"),
    Measure(name="kilos", aggregate=Aggregate.SUM, expression="weight"),
    Measure(name="lines", aggregate=Aggregate.COUNT),
    Measure(name="returns", aggregate=Aggregate.COUNT, where="quantity < 0"),
    Measure(name="orders", aggregate=Aggregate.COUNT_DISTINCT, expression="order", where="quantity > 0"),
)
TYPES = {"quantity": Kind.INTEGER, "price": Kind.MONEY, "weight": Kind.NUMBER}
RULES = (
    RuleSpec(rule="unique"),
    RuleSpec(rule="range", columns=("quantity",), settings={"at_least": -20, "at_most": 20}),
    RuleSpec(rule="one_of", columns=("country",), settings={"values": ("GB", "FR", "日本")}),
    RuleSpec(rule="not_before", settings={"on": "2024-01-01"}),
)


def lines(*, seed: int = 11, n_users: int = 150) -> list[dict[str, str]]:
    """A shop's log as text, with some faults of each kind in it."""
    rng = random.Random(seed)
    made: list[dict[str, str]] = []
    for i in range(n_users):
        for k in range(rng.randrange(1, 25)):
            at = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(
                seconds=rng.randrange(N_DAYS * 86_400)
            )
            late = timedelta(hours=rng.choice([0, 0, 1, 30, 100]))
            made.append(
                {
                    "user": f"{17000 + i}.0" if i % 7 == 0 else f" u{i} ",
                    "at": f"{at:%Y-%m-%d %H:%M:%S}{rng.choice(['', 'Z', '+02:00'])}",
                    "known": f"{at + late:%Y-%m-%d %H:%M:%S}Z",
                    "order": f"o{i}-{k // 2}",
                    "quantity": str(rng.randrange(-3, 9)),
                    "price": f"{rng.randrange(0, 10**7) / 1000:.3f}",
                    "weight": f"{rng.random():.6f}",
                    "country": rng.choice(["GB", "FR", "日本"]),
                }
            )
    for column, values in {
        "user": ["", " "],
        "at": ["2024-03-31 01:30:00", "soon", "2024-02-30", ""],
        "quantity": ["many", "999", "1.5", "2.0"],
        "price": ["1e3", "12,5", ""],
        "weight": ["NaN", "inf", "x"],
        "country": ["gb", "it's", ""],
    }.items():
        for value in values:
            rng.choice(made)[column] = value
    made += rng.sample(made, 12)
    rng.shuffle(made)
    return made


def write_log(kind: str, folder: Path) -> Path:
    rows = lines()
    if kind == "parquet":
        table = pa.Table.from_pylist(rows)
        whole = pa.array(
            [int(q) if q.lstrip("-").isdigit() else None for q in table["quantity"].to_pylist()], pa.int32()
        )
        table = table.set_column(4, "quantity", whole)
        pq.write_table(table, folder / "log.parquet")
        return folder / "log.parquet"
    columns = list(rows[0])
    text = "\n".join(
        [",".join(columns), *(",".join(f'"{r[c]}"' if "," in r[c] else r[c] for c in columns) for r in rows)]
    )
    (folder / "log.csv").write_text(text + "\nu1,2024-03-01\n")
    return folder / "log.csv"


def contract(file: Path, *, known: bool) -> Contract:
    source = Source(
        path=file.name,
        user="user",
        at="at",
        event_is="purchase",
        known_at="known" if known else None,
        keep=("country",),
        types=TYPES,
    )
    app = App(name="shop", time_zone="Europe/London", currency="GBP", launched_on=None, left_edge_days=7)
    return Contract(app=app, source=source, measures=MEASURES, rules=RULES, max_share=1.0)


@dataclass
class Road:
    """The steps of one engine."""

    engine: Engine
    events: Events
    ledger: Ledger
    snapshot: Snapshot
    folder: Path


def walk(engine: Engine, log: Contract, *, root: Path, folder: Path) -> Road:
    folder.mkdir()
    events = check(engine, log, root=root, folder=folder / "check", source_fingerprint="none")
    ledger = build_ledger(engine, events, folder=folder / "ledger")
    end = ledger.end_day
    snapshot = build_snapshot(
        engine, ledger, cutoffs=[end - 30, end - 15, end], horizons=(7, 14), folder=folder / "snapshot"
    )
    return Road(engine=engine, events=events, ledger=ledger, snapshot=snapshot, folder=folder)


@pytest.fixture(scope="module", params=["csv", "parquet", "csv late", "parquet late"])
def roads(
    request: pytest.FixtureRequest, duck: Engine, spark: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Road, Road]]:
    root = tmp_path_factory.mktemp("road")
    kind, _, late = request.param.partition(" ")
    log = contract(write_log(kind, root), known=bool(late))
    yield tuple(walk(e, log, root=root, folder=root / e.name) for e in (duck, spark))


def rows_of(table: Table) -> list[dict[str, Any]]:
    rows = table.to_arrow().to_pylist()
    exact = [c.name for c in table.columns if c.kind is not Kind.NUMBER]
    return sorted(rows, key=lambda r: [(r[c] is None, str(r[c])) for c in exact])


def alike(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=DOUBLES, abs_tol=0.0)
    return type(a) is type(b) and a == b


def assert_same(one: Table, other: Table, *, without: tuple[str, ...] = ()) -> None:
    assert [c.name for c in one.columns] == [c.name for c in other.columns]
    a, b = rows_of(one), rows_of(other)
    differ = {
        column.name: [
            (x[column.name], y[column.name])
            for x, y in zip(a, b, strict=False)
            if not alike(x[column.name], y[column.name])
        ][:3]
        for column in one.columns
        if column.name not in without
    }
    assert {c: d for c, d in differ.items() if d} == {}
    assert len(a) == len(b) == one.n_rows == other.n_rows > 0


def test_the_gate_keeps_and_sets_aside_the_same_rows(roads):
    duck, spark = (r.events for r in roads)
    assert_same(duck.events, spark.events)
    assert_same(duck.quarantine, spark.quarantine)
    assert duck.n_rows_in == spark.n_rows_in
    assert duck.rules == spark.rules
    assert duck.findings == spark.findings
    assert (duck.first_day, duck.end_day) == (spark.first_day, spark.end_day)
    assert sum(r.n_rows for r in duck.rules) > 15


def test_the_ledger_is_the_same(roads):
    duck, spark = (r.ledger for r in roads)
    for table in ("days", "users", "user_hours"):
        assert_same(getattr(duck, table), getattr(spark, table))
    assert (duck.settle_days, duck.one_row_a_day, duck.findings) == (
        spark.settle_days,
        spark.one_row_a_day,
        spark.findings,
    )


def test_revenue_adds_up_to_what_plain_python_adds_up_to(roads):
    duck, spark = roads
    for road in (duck, spark):
        kept = road.events.events.to_arrow(["quantity", "price"]).to_pylist()
        by_hand = sum(
            r["quantity"] * r["price"] for r in kept if r["quantity"] is not None and r["price"] is not None
        )
        assert sum(road.ledger.days.to_arrow(["revenue"])["revenue"].to_pylist()) == by_hand


def test_snapshots_are_the_same_and_in_the_same_order(roads):
    duck, spark = (r.snapshot for r in roads)
    assert_same(duck.rows, spark.rows)
    assert_same(duck.daily, spark.daily)
    order = [t.rows.to_arrow(["cutoff", "user_id"]).to_pylist() for t in (duck, spark)]
    assert order[0] == order[1]
    assert duck.findings == spark.findings


def told_by(road, root):
    """Channels of every other user, some changed later, as a source of kind users tells them."""
    rows = [
        f"u{i},2024-0{2 + i % 2}-2{i % 9} 10:00:00Z,{'ads' if i % 3 else '日本'}\n" for i in range(0, 150, 2)
    ]
    rows += [f"u{i},2024-03-30 23:30:00Z,organic\n" for i in range(0, 150, 6)]
    (root / "users.csv").write_text("".join(["user,since,channel\n", *rows]))
    source = OtherSource(kind=SourceKind.USERS, name="users", path="users.csv", columns={"user": "user", "changed_at": "since"}, keep=("channel",))  # fmt: skip
    checked = check_source(
        road.engine, source, app=road.events.contract.app, root=root, folder=road.folder / "users", source_fingerprint="none"
    )  # fmt: skip
    return read_attributes(
        road.engine, [checked], time_zone="Europe/London", folder=road.folder / "attributes"
    )


def test_told_attributes_and_snapshots_at_an_age_are_the_same(roads, tmp_path):
    told = [told_by(r, tmp_path) for r in roads]
    assert_same(told[0].rows, told[1].rows)
    assert told[0].names == told[1].names == ("channel",)
    for age in ("1h", "30h", "168h"):
        a, b = (
            build_age_snapshot(r.engine, r.ledger, age=age, horizons=(8, 14), time_zone="Europe/London", told=t, folder=r.folder / age)
            for r, t in zip(roads, told, strict=True)
        )  # fmt: skip
        assert_same(a.rows, b.rows)
        assert [c.name for c in a.attributes] == ["channel", "country"]
        assert (a.cutoffs, a.findings) == (b.cutoffs, b.findings)
        reports = [
            check_age_leakage(r.engine, r.ledger, age=age, horizons=(8,), time_zone="Europe/London", told=t, folder=r.folder / f"leak {age}")
            for r, t in zip(roads, told, strict=True)
        ]  # fmt: skip
        assert reports[0] == reports[1]
        assert reports[0].findings == ()
    days = [
        build_snapshot(r.engine, r.ledger, cutoffs=[r.ledger.end_day - 20], horizons=(7,), told=t, folder=r.folder / "told")
        for r, t in zip(roads, told, strict=True)
    ]  # fmt: skip
    assert_same(days[0].rows, days[1].rows)


def test_rows_for_models_and_sufficient_statistics_are_the_same(roads):
    duck, spark = roads
    columns = ("orders_repeats", "orders_first_to_last", "orders_age")
    cutoff = duck.ledger.end_day
    a, b = (grouped_counts(r.engine, r.snapshot, cutoff, columns) for r in roads)
    assert all((x == y).all() for x, y in zip((*a[0], a[1]), (*b[0], b[1]), strict=True))
    assert a[1].sum() > 50
    target = next(c.name for c in duck.snapshot.rows.columns if c.name.endswith("next_14d"))
    for read in (
        lambda r: rows_at(r.snapshot, cutoff, ("user_id", *columns)),
        lambda r: mature_rows(r.snapshot, target, ("user_id",)),
    ):
        assert read(duck).to_pylist() == read(spark).to_pylist()


@pytest.mark.parametrize("measure", ["revenue", "orders", "active_days"])
@pytest.mark.parametrize("days_back", [0, 15])
def test_cohorts_are_counted_alike(roads, measure, days_back):
    one, other = (
        count_cohorts(
            r.engine,
            r.ledger,
            measure=measure,
            by="week",
            attribute="country",
            cutoff=r.ledger.end_day - days_back,
        )
        for r in roads
    )
    assert (one.cohorts, one.groups) == (other.cohorts, other.groups)
    for held in ("cohort", "group", "observed", "part_age", "users", "totals"):
        assert np.array_equal(getattr(one.triangle, held), getattr(other.triangle, held)), held
    assert one.triangle.n.sum() > 30


def test_the_leakage_check_finds_nothing_moved_on_either(roads):
    reports = []
    for road in roads:
        cutoff = road.ledger.end_day - 14
        reports.append(
            check_leakage(
                road.engine, road.ledger, cutoffs=[cutoff], horizons=(14,), folder=road.folder / "leak"
            )
        )
    assert reports[0] == reports[1]
    assert reports[0].findings == ()
    assert reports[0].n_targets_moved > 0
