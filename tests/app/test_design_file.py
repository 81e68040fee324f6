"""A design from a file of past users, against arithmetic on its columns; the plan it writes is the plan that is read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from typer.testing import CliRunner

import headwater as hw
from headwater.app.cli.program import app
from headwater.app.design_file import DesignAsked, design_file
from headwater.app.experiment_settings import read_plan
from headwater.app.plan_file import plan_text, write_plan
from headwater.core.errors import ConfigError, UsageError
from headwater.core.span import day_of
from headwater.effects.metric import Better, Metric, Part
from headwater.effects.plan import Arm, Plan, StopRule
from headwater.engine.duckdb import DuckDB

N = 6000
NORMAL_RTOL = 2e-3  # t in place of the normal
MERGED = 1e-6  # sums in another order


@pytest.fixture(scope="module")
def users() -> pa.Table:
    rng = np.random.default_rng(1)
    past = rng.gamma(2, 1, N)
    orders = rng.poisson(past / 2)
    revenue = orders * rng.gamma(4, 2.5, N)
    days = [f"2026-08-{1 + d:02d}" for d in rng.integers(0, 28, N)]
    return pa.table(
        {"uid": [f"u{i}" for i in range(N)], "seen": days, "past": past, "orders": orders, "revenue": revenue}
    )


@pytest.fixture(scope="module")
def folder(users, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("users")
    csv.write_csv(users, path / "users.csv")
    parquet.write_table(users, path / "users.parquet")
    return path


@pytest.fixture
def engine(tmp_path):
    one = DuckDB(threads=1, memory="500MB", spill=tmp_path / "spill")
    yield one
    one.close()


ASKED = DesignAsked(outcomes=("revenue",), covariates=("past",), effect=0.1, unit="uid", day="seen")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_users_against_arithmetic_on_the_columns(engine, folder, users, suffix):
    found = design_file(engine, folder / f"users.{suffix}", ASKED)
    revenue, past = users["revenue"].to_numpy(), users["past"].to_numpy()
    plain = (1.959964 + 0.841621) ** 2 * 4 * revenue.var(ddof=1) / (0.1 * revenue.mean()) ** 2
    r_squared = np.corrcoef(past, revenue)[0, 1] ** 2
    assert found.metrics[0].history.value == pytest.approx(revenue.mean(), rel=MERGED)
    assert found.metrics[0].n_users_plain == pytest.approx(plain, rel=NORMAL_RTOL)
    assert found.n_users == pytest.approx(plain * (1 - r_squared), rel=NORMAL_RTOL)
    assert found.users_a_day == pytest.approx(N / 28)


def test_metrics_of_other_kinds(engine, folder, users):
    asked = replace(
        ASKED,
        outcomes=("orders > 0",),
        ratios=("revenue / orders",),
        quantiles=("revenue @ 0.9",),
        users_a_day=500.0,
    )
    found = design_file(engine, folder / "users.parquet", asked)
    kinds = {m.history.metric.kind: m.history.value for m in found.metrics}
    assert kinds["proportion"] == pytest.approx((users["orders"].to_numpy() > 0).mean(), rel=MERGED)
    assert kinds["ratio"] == pytest.approx(
        users["revenue"].to_numpy().sum() / users["orders"].to_numpy().sum(), rel=MERGED
    )


def test_what_is_not_there_or_not_named_is_refused(engine, folder):
    with pytest.raises(ConfigError, match=r"source.missing_column"):
        design_file(engine, folder / "users.csv", replace(ASKED, covariates=("pats",)))
    with pytest.raises(UsageError, match=r"design.no_metric"):
        design_file(engine, folder / "users.csv", replace(ASKED, outcomes=()))
    with pytest.raises(UsageError, match=r"metric.halves"):
        design_file(engine, folder / "users.csv", replace(ASKED, ratios=("revenue",)))


def test_clusters_inflate_by_how_alike_their_users_are(engine, tmp_path):
    rng = np.random.default_rng(3)
    city = rng.integers(0, 300, N)
    y = 5 + rng.normal(0, np.sqrt(0.2), 300)[city] + rng.normal(0, np.sqrt(0.8), N)
    csv.write_csv(
        pa.table({"uid": np.arange(N), "city": [f"c{c}" for c in city], "y": y}), tmp_path / "a.csv"
    )
    asked = DesignAsked(outcomes=("y",), cluster="city", unit="uid", users_a_day=1000.0)
    (metric,) = design_file(engine, tmp_path / "a.csv", asked).metrics
    size = N / 300
    cv = np.sqrt(size) / size  # cities are drawn: sizes are nearly Poisson
    assert metric.history.inflation == pytest.approx(1 + ((1 + cv**2) * size - 1) * 0.2, rel=0.15)


def test_a_frame_is_designed_as_its_file_is(engine, folder, users):
    by_file = design_file(engine, folder / "users.parquet", ASKED)
    by_frame = hw.design(
        users, outcomes="revenue", covariates=["past"], effect=0.1, unit="uid", day="seen", threads=1
    )
    assert by_frame.n_users == by_file.n_users
    with pytest.raises(UsageError, match=r"design.unknown_argument"):
        hw.design(users, outcome="revenue")


def test_without_arrivals_the_duration_is_not_known(engine, folder):
    found = design_file(engine, folder / "users.parquet", replace(ASKED, day=None))
    assert found.n_days is None
    assert [f.code for f in found.findings] == ["design.no_arrivals"]


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = Plan(
        name="ltv",
        question='Is "new" better?',
        arms=(Arm(name="old one", share=0.5), Arm(name="new", share=0.5)),
        metrics=(
            Metric(name="revenue / orders", kind="ratio", outcome="revenue", over="orders", part=Part.PRIMARY),
            Metric(name="crashes", kind="proportion", outcome="crashes > 0", part=Part.GUARDRAIL, margin=0.02,
                   better=Better.LOWER, covariates=("past",)),
            Metric(name="p90", kind="quantile", outcome="wait", share=0.9, unit="s"),
        ),
        stop=StopRule(method="group_sequential", n_users=1000, looks=(1 / 3, 2 / 3, 1.0)),
        window_days=14,
        registered_on=20_789,
    )  # fmt: skip
    path = write_plan(plan, tmp_path / "plans" / "plan.toml", because="1,000 users\nin two lines")
    assert read_plan(path) == plan
    assert path.read_text().startswith("# 1,000 users\n# in two lines\n")
    assert read_plan(path) == plan
    with pytest.raises(UsageError, match=r"design.plan_is_there"):
        write_plan(plan, path)
    assert "ends_on = 2026-12-01" in plan_text(
        replace(plan, stop=StopRule(ends_on=day_of(_date(2026, 12, 1))))
    )


def _date(*parts):
    from datetime import date

    return date(*parts)


def test_the_command_designs_simulates_and_writes(folder, tmp_path):
    done = CliRunner().invoke(
        app,
        ["experiment", "design", str(folder / "users.csv"), "--outcome", "revenue", "--outcome", "orders > 0",
         "--covariate", "past", "--effect", "0.1", "--effect", "revenue=0.2", "--user", "uid", "--day", "seen",
         "--looks", "3", "--simulate", "60", "--guardrail", "orders > 0=0.1", "--plan", str(tmp_path / "plan.toml"),
         "--to", str(tmp_path / "design.xlsx"), "--to", str(tmp_path / "design.html"), "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    said = said.get("data", said)
    assert said["stop"] == "group_sequential"
    assert [row["metric"] for row in said["grids"]["design"]] == ["revenue", "orders > 0"]
    assert {row["method"] for row in said["grids"]["simulation"]} == {"cuped"}
    plan = read_plan(tmp_path / "plan.toml")
    assert plan.stop.n_users == said["n_users"]
    assert plan.registered_on is not None
    assert all((tmp_path / f"design.{s}").stat().st_size > 1000 for s in ("xlsx", "html"))
