"""One world, one content: whatever the threads, the chunks of users, the cut into files, and what was written when."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headwater.core.errors import UsageError
from headwater.core.span import date_of
from headwater.engine.duckdb import DuckDB
from headwater.simulate.planted import DEFAULT, Faults
from headwater.simulate.world import World
from headwater.simulate.write import simulate

SOURCES = (
    "users",
    "logins",
    "visits",
    "impressions",
    "subscriptions",
    "exposures",
    "truth/users",
    "truth/effects",
)


def contents(folder: Path, part: str = "events") -> list[str]:
    """A plain-Python fingerprint of every row, in no order."""
    rows = [
        row for file in sorted((folder / part).glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]
    return sorted(hashlib.md5(repr(sorted(r.items())).encode()).hexdigest() for r in rows)


def make(folder: Path, *, chunk: int = 200_000, threads: int = 2, seed: int = 3, days: int = 60, by: str = "month", until: int | None = None, faults: Faults | None = None) -> Path:  # fmt: skip
    engine = DuckDB(threads=threads, memory="1GB", spill=folder.parent / f"spill {folder.name}")
    world = World(seed=seed, n_users=240, n_days=days, users_at_a_time=chunk)
    simulate(engine, world, folder=folder, by=by, until_day=until, faults=faults)
    engine.close()
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("plain") / "world")


def test_threads_and_chunks_change_no_row_of_any_source(plain: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "cut", chunk=60, threads=1)
    assert len(list((other / "events").glob("*.parquet"))) == 4 * len(
        list((plain / "events").glob("*.parquet"))
    )
    assert len(contents(plain)) > 5_000
    for part in ("events", *SOURCES):
        assert contents(other, part) == contents(plain, part), part


def test_files_of_days_hold_what_files_of_months_hold(plain: Path, tmp_path: Path) -> None:
    daily = make(tmp_path / "daily", by="day")
    assert len(list((daily / "events").glob("*.parquet"))) == 60
    assert contents(daily) == contents(plain)


def test_days_appended_one_after_another_give_the_whole(plain: Path, tmp_path: Path) -> None:
    folder, world = tmp_path / "grown", World(seed=3, n_users=240, n_days=60)
    for until in (world.first_day + 10, world.first_day + 45, world.first_day + 46, world.end_day):
        make(folder, by="day", until=until)
        days = sorted(f.name[:10] for f in (folder / "events").glob("*.parquet"))
        assert days[-1] == date_of(until - 1).isoformat()
    assert contents(folder) == contents(plain)
    for part in SOURCES:
        assert contents(folder, part) == contents(plain, part), part


def test_an_appended_month_that_was_cut_is_made_whole(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "months"
    make(folder, until=World(seed=3, n_users=240, n_days=60).first_day + 40)
    assert len(contents(folder)) < len(contents(plain))
    make(folder)
    assert contents(folder) == contents(plain)


def test_faults_are_the_same_whatever_the_threads_and_chunks(tmp_path: Path) -> None:
    faults = Faults(shares=DEFAULT | {"bot": 0.02}, seed=9)
    one = make(tmp_path / "one", faults=faults)
    other = make(tmp_path / "other", faults=faults, chunk=80, threads=1)
    assert contents(one) == contents(other)


def test_another_seed_is_another_world(plain: Path, tmp_path: Path) -> None:
    assert not set(contents(plain)) & set(contents(make(tmp_path / "else", seed=4)))


def test_a_folder_holds_one_world(plain: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make(plain, seed=4)
    assert caught.value.finding.code == "simulate.other_world"


def test_the_rows_of_a_known_seed_have_not_changed(plain: Path) -> None:
    """A pin, not a proof: it fails where the engine's hash or our own draws change, so that it is said aloud."""
    rows = [r for f in sorted((plain / "events").glob("*.parquet")) for r in pq.read_table(f).to_pylist()]
    marks = sorted(f"{r['event_id']} {r['user_id']} {r['event']}" for r in rows)
    assert hashlib.md5("".join(marks).encode()).hexdigest() == "ee0c993b940be64a8e4b5375fcdacb15"
