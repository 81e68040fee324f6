"""``headwater experiment assign`` and ``assign-sql``: a file of users becomes a file of arms, the same as by SQL."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from headwater.effects.allocation import Allocation
from headwater.effects.assignment import assign
from headwater.effects.plan import Arm
from headwater.engine.sql import Sql

ARMS = ("--arms", "champion=0.5,challenger=0.5")
KEY = ("--experiment", "ltv_v2")
ALLOCATION = Allocation(
    experiment="ltv_v2",
    arms=(Arm(name="champion", share=0.5), Arm(name="challenger", share=0.5)),
    coverage=0.3,
)


@pytest.fixture
def users(tmp_path):
    rng = np.random.default_rng(1)
    rows = pa.table({
        "user_id": [f"{i:05}" for i in range(500)],
        "city": [f"c{i % 20}" for i in range(500)],
        "pre_a": rng.normal(5, 2, 500),
        "pre_b": rng.lognormal(size=500),
    })  # fmt: skip
    csv.write_csv(rows, tmp_path / "users.csv")
    return tmp_path


def arms_in(path):
    rows = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types={"user_id": pa.string()}, strings_can_be_null=True)) if path.suffix == ".csv" else pq.read_table(path)  # fmt: skip
    return dict(zip(rows["user_id"].to_pylist(), rows["arm"].to_pylist(), strict=True))


@pytest.mark.parametrize("to", ["arms.csv", "arms.parquet"])
def test_a_file_of_users_becomes_a_file_of_arms_as_the_arrays_say(headwater, users, to):
    asked = (
        "experiment",
        "assign",
        "users.csv",
        "--unit",
        "user_id",
        *KEY,
        *ARMS,
        "--coverage",
        0.3,
        "--to",
        to,
    )
    told = headwater(*asked, "--json", at=users).json
    found = arms_in(users / to)
    expected = assign(ALLOCATION, pa.array(list(found))).arms.to_pylist()
    assert list(found.values()) == expected
    assert told["n_by_arm"] == {a: expected.count(a) for a in ("champion", "challenger")}
    assert told["n_not_covered"] == expected.count(None)
    assert not [p for p in users.iterdir() if p.name.endswith(".part")]
    said = headwater(*asked, at=users)
    assert said.code == 0
    assert "not covered" in said.out


def test_the_sql_it_prints_says_the_same_in_duckdb(headwater, users, engine):
    told = headwater(
        "experiment", "assign-sql", "--unit", "user_id", *KEY, *ARMS, "--coverage", 0.3, "--json"
    ).json
    ids = pa.array([f"{i:05}" for i in range(500)])
    engine.register("people", pa.table({"user_id": ids}))
    found = engine.rows(Sql((f"SELECT {told['sql']} FROM people",)))
    assert [arm for (arm,) in found] == assign(ALLOCATION, ids).arms.to_pylist()
    spark = headwater("experiment", "assign-sql", "--unit", "user_id", *KEY, *ARMS, "--dialect", "spark")
    assert "aggregate(" in spark.out
    assert headwater("experiment", "assign-sql", "--unit", "u", *KEY, *ARMS, "--dialect", "oracle").code == 2


def test_clusters_share_an_arm_and_earlier_arms_stay(headwater, users):
    asked = ("experiment", "assign", "users.csv", "--unit", "user_id", *KEY, *ARMS)
    headwater(*asked, "--cluster", "city", "--to", "a.parquet", at=users)
    rows = pq.read_table(users / "a.parquet").to_pylist()
    assert len({(r["city"], r["arm"]) for r in rows}) == 20
    headwater(*asked, "--coverage", 0.2, "--to", "first.csv", at=users)
    first = arms_in(users / "first.csv")
    headwater("experiment", "assign", "users.csv", "--unit", "user_id", *KEY, "--arms", "champion=0.9,challenger=0.1", "--keep", "first.csv", "--to", "now.csv", at=users)  # fmt: skip
    now = arms_in(users / "now.csv")
    assert all(now[u] == arm for u, arm in first.items() if arm)
    assert None not in now.values()


def test_drawn_arms_are_alike_and_the_same_for_a_seed_whatever_the_order_of_rows(headwater, users):
    asked = ("--unit", "user_id", *KEY, *ARMS, "--by", "city", "--rerandomize", "pre_a,pre_b", "--seed", 3)
    told = headwater("experiment", "assign", "users.csv", *asked, "--to", "a.csv", "--json", at=users).json
    assert told["n_draws"] > 1
    assert {b["column"] for b in told["balance"]} == {"pre_a", "pre_b"}
    lines = (users / "users.csv").read_text().splitlines()
    (users / "turned.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    said = headwater("experiment", "assign", "turned.csv", *asked, "--to", "b.csv", at=users)
    assert "within 20 strata" in said.out
    assert arms_in(users / "a.csv") == arms_in(users / "b.csv")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--to", "arms.xlsx"), "output.no_table"),
        (("--to", "no/arms.csv"), "output.no_folder"),
        (("--to", "a.csv", "--namespace", "x"), "assignment.unreadable"),
        (("--to", "a.csv", "--by", "city", "--coverage", "0.5"), "assignment.two_ways"),
        (("--to", "a.csv", "--by", "cityy"), "source.missing_column"),
        (("--to", "a.csv", "--rerandomize", "city"), "engine.value"),
        (("--to", "a.csv", "--hash-version", "9"), "assignment.hash_version"),
    ],
)
def test_what_cannot_be_assigned_is_refused_and_nothing_is_written(headwater, users, more, code):
    before = sorted(p.name for p in users.iterdir())
    ran = headwater(
        "experiment", "assign", "users.csv", "--unit", "user_id", *KEY, *ARMS, *more, "--json", at=users
    )
    assert ran.json["error"]["code"] == code
    assert sorted(p.name for p in users.iterdir() if p.name != ".headwater") == before


def test_repeated_units_are_written_once_and_cannot_be_drawn(headwater, tmp_path):
    (tmp_path / "log.csv").write_text("user_id\n2\n1\n2\n\n")
    asked = ("experiment", "assign", "log.csv", "--unit", "user_id", *KEY, *ARMS, "--to", "a.csv", "--json")
    told = headwater(*asked, at=tmp_path).json
    assert "assignment.repeated" in {f["code"] for f in told["findings"]}
    assert list(arms_in(tmp_path / "a.csv"))[:2] == ["2", "1"]
    assert headwater(*asked, "--by", "user_id", at=tmp_path).json["error"]["code"] == "allocation.repeated"
