"""``headwater simulate`` as a person calls it, and the check of what it wrote, with and without faults."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headwater.app.config import calendar_of, settings_of
from headwater.core.span import day_of
from headwater.simulate.world import Season, World


def headwater(*words: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    code = "from headwater.app.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--json"], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def rows_of(folder: Path) -> int:
    return sum(pq.ParquetFile(f).metadata.num_rows for f in (folder / "events").glob("*.parquet"))


def test_a_clean_world_passes_its_own_contract_without_one_row_set_aside(tmp_path: Path) -> None:
    code, made = headwater("simulate", "--to", "world", "--users", "300", "--days", "60", cwd=tmp_path)
    assert code == 0
    assert made["n_events"] == rows_of(tmp_path / "world") > 5_000
    code, checked = headwater("check", "--config", "world/headwater.toml", cwd=tmp_path)
    assert code == 0
    assert (checked["n_rows_in"], checked["n_kept"]) == (made["n_events"], made["n_events"])


def test_every_row_with_a_deterministic_fault_is_set_aside_and_no_other(tmp_path: Path) -> None:
    """Row-level recall and precision of 1 against the truth file, for one load and the shipped contract."""
    faults = "missing_id,dangling_reference,wrong_type=0.01,out_of_range=0.01,alias,trailing_junk,exact_duplicate=0.005"
    headwater("simulate", "--to", "dirty", "--users", "300", "--days", "60", "--faults", faults, cwd=tmp_path)
    code, _ = headwater("check", "--config", "dirty/headwater.toml", cwd=tmp_path)
    assert code == 0
    truth = pq.read_table(tmp_path / "dirty" / "truth" / "faults.parquet").to_pylist()
    planted = {(t["file"], t["row"]) for t in truth if t["row"] is not None}
    aside = {
        (row["source_file"], row["source_row"])
        for file in (tmp_path / "dirty" / ".headwater").rglob("*.parquet")
        if "source_row" in pq.read_schema(file).names and "codes" in pq.read_schema(file).names
        for row in pq.read_table(file, columns=["source_file", "source_row", "codes"]).to_pylist()
        if row["codes"]
    }
    assert aside == planted
    assert len({t["kind"] for t in truth}) == 7


@pytest.mark.parametrize(("days", "events"), [("365", 300_000), ("60", 60_000)])
def test_about_so_many_events(tmp_path: Path, days: str, events: int) -> None:
    """Within a third: worlds of a few hundred users differ by that much among themselves."""
    _, made = headwater("simulate", "--to", "world", "--events", str(events), "--days", days, cwd=tmp_path)
    assert events * 0.67 < made["n_events"] < events * 1.5


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--faults", "futur"), "simulate.fault"),
        (("--by", "week"), "simulate.by"),
        (("--from", "9999-12-01"), "simulate.days"),
        (("--from", "0001-01-01"), "simulate.days"),
        (("--chunk", "30"), "simulate.size"),
        (("--until", "tomorrow"), "date.unreadable"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(
    tmp_path: Path, words: tuple[str, ...], code: str
) -> None:
    status, reply = headwater("simulate", "--to", "world", *words, cwd=tmp_path)
    assert (status, reply["error"]["code"]) == (2, code)
    assert not (tmp_path / "world").exists()


def test_a_strong_year_may_open_on_any_day_and_its_sales_stand_in_the_settings(tmp_path: Path) -> None:
    """A sale begins where the world is suddenly much busier than on the same weekday a week before."""
    words = ("--users", "20", "--days", "400", "--season", "strong", "--from", "2023-04-01")
    code, _ = headwater("simulate", "--to", "world", *words, cwd=tmp_path)
    assert code == 0
    settings = settings_of(tomllib.loads((tmp_path / "world" / "headwater.toml").read_text()))
    sales = {day for days in calendar_of(settings.app).values() for day in days}
    first = day_of("2023-04-01")
    world = World(seed=7, n_users=20, n_days=400, first_day=first, seasons=Season.STRONG)
    lived = range(first, first + 400)
    jumps = {d for d in lived if world.season(d) > 1.3 * world.season(d - 7)}
    assert jumps == {d for d in sales if d - 7 not in sales and d in lived}
    assert len(jumps) == 14
