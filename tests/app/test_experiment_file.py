"""An experiment's file to a scorecard, in one command and in Python, beside scipy and known facts of real tests."""

import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from scipy import stats

import headwater as hw
from headwater.core.answer import Stance
from headwater.core.errors import DataError, HeadwaterError, UsageError

SCIPY_RTOL = 1e-8  # sums in another order, through a file

PLAN = """
[experiment]
name = "ltv_v2"
registered_on = 2026-11-01
arms = { A = 0.5, B = 0.5 }
stop = { ends_on = 2026-11-20 }
[experiment.metrics]
revenue = { outcome = "revenue", part = "primary", covariates = ["pre_revenue"] }
"""


@pytest.fixture(scope="module")
def users() -> pa.Table:
    rng = np.random.default_rng(3)
    n = 4000
    arm = rng.integers(0, 2, n)
    before = rng.gamma(2.0, 10.0, n)
    revenue = before * 0.8 + rng.gamma(2.0, 4.0, n) + 2.0 * arm
    return pa.table(
        {
            "user_id": [f"u{i}" for i in range(n)],
            "variant": np.where(arm == 1, "B", "A"),
            "revenue": revenue,
            "orders": rng.poisson(3.0, n),
            "converted": (rng.random(n) < 0.2).astype(int),
            "pre_revenue": before,
        }
    )


@pytest.fixture
def file(users: pa.Table, tmp_path: Path) -> Path:
    csv.write_csv(users, tmp_path / "test.csv")
    return tmp_path / "test.csv"


def test_one_command_without_settings_gives_a_scorecard(file: Path, headwater: Callable[..., object]):
    ran = headwater(
        "experiment",
        "analyze",
        file,
        "--to",
        file.parent / "card.html",
        "--to",
        file.parent / "card.xlsx",
        at=file.parent,
    )
    assert ran.code == 0
    assert "revenue" in ran.out
    assert "plan.none" in ran.out
    assert (file.parent / "card.html").stat().st_size > 10_000
    assert (file.parent / "card.xlsx").stat().st_size > 5_000


def test_json_is_tidy_rows_with_errors_intervals_and_method(file: Path, headwater: Callable[..., object]):
    ran = headwater("experiment", "analyze", file, "--outcome", "revenue", "--json", at=file.parent)
    said = json.loads(ran.out)
    (row,) = said["effects"]
    assert row["metric"] == "revenue"
    assert {"std_error", "low", "high", "p_value", "p_adjusted", "method", "n_control", "n_arm"} <= set(row)
    assert said["arms"].keys() == {"A", "B"}


def test_a_mean_without_covariates_is_scipys_welch_test(users: pa.Table):
    plain = users.drop_columns(["pre_revenue"])
    row = hw.estimate(plain, outcomes=["revenue"]).row("revenue", "B")
    arm, revenue = np.array(users["variant"].to_pylist()), users["revenue"].to_numpy()
    theirs = stats.ttest_ind(revenue[arm == "B"], revenue[arm == "A"], equal_var=False)
    assert row.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
    assert row.difference == pytest.approx(
        revenue[arm == "B"].mean() - revenue[arm == "A"].mean(), rel=SCIPY_RTOL
    )


def test_what_is_known_before_narrows_the_interval_around_the_truth(users: pa.Table):
    row = hw.estimate(users, outcomes=["revenue"], covariates=["pre_revenue"]).row("revenue", "B")
    plain = hw.estimate(users.drop_columns(["pre_revenue"]), outcomes=["revenue"]).row("revenue", "B")
    assert row.std_error is not None and plain.std_error is not None
    assert (
        row.std_error < 0.6 * plain.std_error
    )  # 0.8 x of the spread is known: sqrt(1 - .64 * 200 / (.64 * 200 + 32 + 1)) = .45
    assert row.low is not None and row.high is not None
    assert row.low < 2.0 < row.high


def test_a_prediction_from_text_and_numbers_narrows_the_interval_around_the_truth():
    """Four of five parts of the variance are a step and a country, which no line explains."""
    rng = np.random.default_rng(5)
    n = 4000
    arm, history, country = rng.integers(0, 2, n), rng.random(n), rng.integers(0, 3, n)
    revenue = 4.0 * (np.abs(history - 0.5) < 0.25) + 4.0 * (country == 1) + rng.normal(size=n) + 0.5 * arm
    table = pa.table(
        {
            "user_id": [f"u{i}" for i in range(n)],
            "variant": np.where(arm == 1, "B", "A"),
            "revenue": revenue,
            "history of visits": history,
            "country": np.array(["de", "fr", "it"])[country],
        }
    )
    plain = hw.estimate(table, outcomes=["revenue"]).row("revenue", "B")
    card = hw.estimate(table, predict_from=["history of visits", "country"])
    row = card.row("revenue", "B")
    assert [r.metric.name for r in card.rows] == ["revenue"]
    assert row.std_error < 0.45 * plain.std_error
    assert row.low < 0.5 < row.high
    assert "prediction" in row.method


def test_rows_of_users_are_added_up_and_are_scipys_welch_test_of_their_sums():
    rng = np.random.default_rng(6)
    user = np.repeat(np.arange(500), 1 + rng.poisson(2.0, 500))
    spent, arm = rng.gamma(2.0, size=user.size), user % 2
    table = pa.table({"user_id": user, "variant": np.array(["A", "B"])[arm], "revenue": spent})
    row = hw.estimate(table, unit="user_id", outcomes=["revenue"], is_long=True).row("revenue", "B")
    sums = np.bincount(user, weights=spent)
    theirs = stats.ttest_ind(sums[1::2], sums[::2], equal_var=False)
    assert row.p_value == pytest.approx(theirs.pvalue, rel=1e-6)


def test_frames_of_pandas_and_polars_say_the_same(users: pa.Table):
    polars = pytest.importorskip("polars")
    cards = [
        hw.estimate(data, outcomes=["revenue"])
        for data in (users, users.to_pandas(), polars.from_arrow(users))
    ]
    assert len({c.row("revenue", "B").p_value for c in cards}) == 1


def test_an_analysis_is_held_to_its_plan(file: Path):
    plan = file.parent / "plan.toml"
    plan.write_text(PLAN)
    early = hw.estimate(file, plan=plan, today=date(2026, 11, 10))
    assert early.rows == ()
    assert early.verdict.stance is Stance.CANNOT_SAY
    late = hw.estimate(file, plan=plan, today=date(2026, 11, 21))
    assert [r.metric.name for r in late.rows] == ["revenue"]
    assert late.verdict.stance is Stance.ACT
    with pytest.raises(UsageError, match="held to its plan"):
        hw.estimate(file, plan=plan, outcomes=["orders"])


def test_quantiles_are_those_of_numpy(users: pa.Table):
    plain = users.drop_columns(["pre_revenue"])
    row = hw.estimate(plain, quantiles=["revenue @ 0.9"]).row("revenue @ 0.9", "B")
    arm, revenue = np.array(users["variant"].to_pylist()), users["revenue"].to_numpy()
    own = [np.quantile(revenue[arm == a], 0.9, method="inverted_cdf") for a in ("A", "B")]
    assert (row.value_control, row.value_arm) == pytest.approx(own, rel=SCIPY_RTOL)


def test_ratios_guardrails_and_margins(users: pa.Table):
    card = hw.estimate(
        users.drop_columns(["pre_revenue"]),
        outcomes=["converted"],
        ratios=["revenue / orders"],
        guardrails=["converted=0.2"],
    )
    arm = np.array(users["variant"].to_pylist())
    revenue, orders = users["revenue"].to_numpy(), users["orders"].to_numpy()
    for name, is_b in (("value_arm", True), ("value_control", False)):
        own = (arm == "B") == is_b
        assert getattr(card.row("revenue / orders", "B"), name) == pytest.approx(
            revenue[own].sum() / orders[own].sum(), rel=SCIPY_RTOL
        )
    assert card.row("converted", "B").outcome in {"within margin", "not shown within margin", "harmed"}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"outcomes": ["revenu"]}, "expression.refused"),
        ({"arm": "varient"}, "source.missing_column"),
        ({"control": "C"}, "arms.missing"),
        ({"ratios": ["revenue"]}, "metric.halves"),
        ({"quantiles": ["revenue @ 90"]}, "metric.share"),
        ({"guardrails": ["converted=20"]}, "metric.margin"),
        ({"lower": ["crashes"]}, "metric.unknown"),
        ({"shares": {"A": 0.5}}, "arms.shares"),
        ({"outcome": ["revenue"]}, "estimate.unknown_argument"),
    ],
)
def test_what_makes_no_sense_is_refused(users: pa.Table, asked: dict[str, object], code: str):
    with pytest.raises(HeadwaterError) as refused:
        hw.estimate(users, **asked)
    assert refused.value.finding.code == code


def test_hostile_names_stay_text(users: pa.Table, tmp_path: Path):
    nasty = "=cmd|' /C calc'!A0<script>alert(1)</script>"
    hostile = users.rename_columns(["user_id", "variant", nasty, "orders", "converted", "pre_revenue"])
    card = hw.estimate(hostile, outcomes=[nasty])
    hw.write(card, tmp_path / "card.html")
    assert "<script>alert(1)" not in (tmp_path / "card.html").read_text()


def _local(name: str) -> Path:
    folder = os.environ.get("HEADWATER_REFERENCE_DATA")
    if not folder:
        pytest.skip("HEADWATER_REFERENCE_DATA names no folder of reference data")
    return Path(folder) / name


def test_cookie_cats_retention_and_the_uneven_split_as_what_it_is():
    card = hw.estimate(_local("cookie_cats/cookie_cats.csv.gz"))
    row = card.row("retention_7", "gate_40")
    assert (row.value_control, row.value_arm) == pytest.approx((0.1902, 0.1820), abs=5e-5)
    assert (row.difference or 0) / (row.std_error or 1) == pytest.approx(-3.16, abs=0.01)
    split = next(c for c in card.checks if c.name == "sample_ratio")
    assert split.p_value == pytest.approx(0.0086, abs=5e-5)
    assert split.says == "note"


def test_hillstrom_three_arms_effects_and_errors_of_its_readme():
    card = hw.estimate(_local("hillstrom/hillstrom.csv.gz"), outcomes=["visit", "spend"], alpha=0.05)
    visit, spend = card.row("visit", "Mens E-Mail"), card.row("spend", "Mens E-Mail")
    assert (visit.difference, visit.std_error) == pytest.approx((0.076590, 0.003386), abs=1e-6)
    assert (spend.difference, spend.std_error) == pytest.approx((0.769827, 0.145247), abs=1e-6)
    assert card.row("visit", "Womens E-Mail").value_arm == pytest.approx(0.15140, abs=5e-6)


def test_arms_that_nobody_can_tell_are_asked_for(tmp_path: Path):
    csv.write_csv(pa.table({"x": [1.0, 2.0, 3.0], "y": [1.5, 2.5, 3.5]}), tmp_path / "none.csv")
    with pytest.raises(DataError, match="--arm"):
        hw.estimate(tmp_path / "none.csv")
