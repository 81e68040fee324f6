"""The record of experiments: what comes back, what a kill leaves, and that nobody needs to name earlier looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import headwater as hw
from headwater.app import experiment_memory
from headwater.app.experiment_memory import (
    changed_plan,
    looks_of,
    note_afterwards,
    recorded,
    remember,
    results,
)
from headwater.core.errors import DataError
from headwater.effects.memory import RESULTS, plan_fingerprint
from headwater.effects.scorecard import Scorecard

if TYPE_CHECKING:
    from conftest import Ran

PLAN = """
[experiment]
name = "ltv_v2"
registered_on = 2026-11-01
arms = { A = 0.5, B = 0.5 }
stop = { method = "group_sequential", n_users = 4000 }
[experiment.metrics]
revenue = { outcome = "revenue", part = "primary" }
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def users(n: int) -> pa.Table:
    rng = np.random.default_rng(3)
    arm = rng.integers(0, 2, 4000)[:n]
    return pa.table(
        {
            "user_id": [f"u{i}" for i in range(n)],
            "variant": np.where(arm == 1, "B", "A"),
            "revenue": rng.gamma(2.0, 4.0, 4000)[:n],
        }
    )


def look(n: int, plan: Path, record: Path, day: int) -> Scorecard:
    return hw.estimate(
        users(n), arm="variant", unit="user_id", plan=plan, record=record, today=date(2026, 11, day)
    )


def test_earlier_looks_come_back_from_the_record_as_if_they_were_named(plan_file: Path, tmp_path: Path):
    folder = tmp_path / "record"
    for n, day in ((1000, 5), (2000, 10)):
        look(n, plan_file, folder, day)
    third = look(3000, plan_file, folder, 15)
    named = hw.estimate(
        users(3000),
        arm="variant",
        unit="user_id",
        plan=plan_file,
        looked=(0.25, 0.5),
        today=date(2026, 11, 15),
    )
    assert third.rows == named.rows
    assert "look 3" in third.method


def test_the_same_look_read_again_is_no_further_look(plan_file: Path, tmp_path: Path):
    folder = tmp_path / "record"
    first = look(4000, plan_file, folder, 5)
    again = look(4000, plan_file, folder, 5)
    assert first.rows == again.rows
    assert len(recorded(folder).looks) == 1
    assert looks_of(folder, first.plan, n_users=4000) == ()
    assert looks_of(folder, first.plan, n_users=4100) == (1.0,)


def test_results_are_plain_tables_for_sql(plan_file: Path, tmp_path: Path):
    folder = tmp_path / "record"
    card = look(2000, plan_file, folder, 5)
    row = card.row("revenue", "B")
    found = (
        duckdb.connect()
        .execute(
            f"SELECT difference, std_error, low, high, p_adjusted, n_arm, stance, looked_on FROM '{folder}/results.parquet'"
        )
        .fetchall()
    )
    assert found == [
        (
            row.difference,
            row.std_error,
            row.low,
            row.high,
            row.p_adjusted,
            row.n_arm,
            card.verdict.stance.value,
            date(2026, 11, 5),
        )
    ]
    assert results(folder).schema == RESULTS


def test_a_kill_between_the_tables_leaves_the_last_complete_state(
    plan_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "record"
    look(1000, plan_file, folder, 5)
    before = recorded(folder)
    write = parquet.write_table

    def killed(table: pa.Table, where: Path) -> None:
        if "was_read" in table.column_names:
            raise KeyboardInterrupt
        write(table, where)

    with monkeypatch.context() as patched:
        patched.setattr(experiment_memory.parquet, "write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            look(2000, plan_file, folder, 6)
    assert recorded(folder).looks == before.looks
    assert recorded(folder).results == before.results
    look(2000, plan_file, folder, 6)
    assert results(folder).num_rows == 2


def test_a_plan_that_changed_after_a_look_is_told(plan_file: Path, tmp_path: Path):
    folder = tmp_path / "record"
    first = look(1000, plan_file, folder, 5)
    plan_file.write_text(PLAN.replace("n_users", "spending = 'pocock', n_users"), encoding="utf-8")
    second = look(2000, plan_file, folder, 10)
    assert "record.plan_changed" in {f.code for f in second.findings}
    assert changed_plan(folder, replace(first.plan, name="another")) == ()
    assert len({p["plan"] for p in recorded(folder).plans}) == 2
    assert plan_fingerprint(first.plan) != plan_fingerprint(second.plan)


def test_a_table_that_cannot_be_read_is_never_written_over(plan_file: Path, tmp_path: Path):
    folder = tmp_path / "record"
    card = look(1000, plan_file, folder, 5)
    (folder / "results.parquet").write_bytes(b"torn")
    with pytest.raises(DataError, match="cannot be read") as raised:
        remember(card, folder, today=20_400)
    assert raised.value.finding.code == "record.unreadable"
    assert (folder / "results.parquet").read_bytes() == b"torn"


def test_what_happened_afterwards_stands_beside(plan_file: Path, tmp_path: Path):
    folder = tmp_path / "record"
    look(1000, plan_file, folder, 5)
    note_afterwards(
        folder, "ltv_v2", today=20_400, arm="B", shipped=True, metric="revenue", read_out=(0.02, -0.01, 0.05)
    )
    row = recorded(folder).afterwards[0]
    assert (row["shipped"], row["relative"], row["rel_high"]) == (True, 0.02, 0.05)
    assert recorded(folder).to_dict()["shipped"] == ["yes"]


def test_the_log_lists_them_and_takes_notes(plan_file: Path, tmp_path: Path, headwater: Callable[..., Ran]):
    folder = tmp_path / "record"
    look(1000, plan_file, folder, 5)
    ran = headwater("experiment", "log", str(folder), "--shipped", "ltv_v2", "--arm", "B", "--json")
    data = json.loads(ran.out)
    assert data["looks"][0]["n_users"] == 1000
    assert data["afterwards"][0]["shipped"] is True
    whole = json.loads(headwater("experiment", "log", str(folder), "--program", "--json").out)
    assert whole["n_experiments"] == 1
    unknown = headwater("experiment", "log", str(folder), "--dropped", "ltv_v3")
    assert unknown.code == 2
    assert "Did you mean 'ltv_v2'?" in unknown.err
