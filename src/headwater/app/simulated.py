"""A simulated app laid out as a workspace: its world, its files, its settings."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from headwater.app.config import CONFIG_NAME, read_memory, read_threads
from headwater.contracts.rules import RULES
from headwater.core.span import day_of
from headwater.engine.duckdb import DuckDB
from headwater.simulate.faults import read_faults
from headwater.simulate.project import project_text
from headwater.simulate.world import FIRST_DAY, Season, World
from headwater.simulate.write import Simulated, simulate

__all__ = ["make_world"]

_EVENTS_OF_A_USER, _GROWTH = 360, 0.54
"""About how many events a user brings in a year, and the power of the days by which that grows; measured over
worlds of 3,000 to 20,000 users and 60 to 730 days, within 7%."""


def make_world(
    folder: Path,
    *,
    n_users: int = 10_000,
    n_days: int = 365,
    n_events: int | None = None,
    seed: int = 7,
    by: str = "month",
    since: str | None = None,
    until: str | None = None,
    faults: str = "none",
    season: Season = Season.MILD,
    users_at_a_time: int = 200_000,
    threads: int = 2,
    memory: str = "1500MB",
    console: Console | None = None,
) -> Simulated:
    """Write a simulated app under ``folder``, with the ``headwater.toml`` that runs on it.

    ``n_events`` gives about so many events in place of ``n_users``. Raises ``UsageError`` (``simulate.*``).
    """
    users = n_users if n_events is None else max(1, round(n_events / _events_of_a_user(n_days)))
    first = FIRST_DAY if since is None else day_of(since)
    world = World(seed=seed, n_users=users, n_days=n_days, first_day=first, users_at_a_time=users_at_a_time, seasons=season)  # fmt: skip
    planted = read_faults(faults, seed=seed)
    until_day = world.end_day if until is None else min(day_of(until), world.end_day)
    with tempfile.TemporaryDirectory(prefix="headwater-") as spill:
        engine = DuckDB(
            threads=read_threads(threads), memory=read_memory(memory), spill=Path(spill) / "spill"
        )
        try:
            made = simulate(engine, world, folder=folder, by=by, until_day=until_day, faults=planted, told=_teller(console, world, folder))  # fmt: skip
        finally:
            engine.close()
    text = project_text(world, until_day=until_day, rules=tuple(RULES.names()))
    (folder / CONFIG_NAME).write_text(text, encoding="utf-8", newline="\n")
    return made


def _events_of_a_user(n_days: int) -> float:
    return _EVENTS_OF_A_USER * (n_days / 365) ** _GROWTH


class _Teller:
    """One line as the work begins, then one for each tenth that is done."""

    def __init__(self, console: Console, world: World, folder: Path) -> None:
        self.console = console
        self.told = 0
        n = round(world.n_users * _events_of_a_user(world.n_days))
        console.print(
            f"Making an app of {world.n_users:,} users over {world.n_days} days in {folder}: about {n:,} events.",
            highlight=False,
        )

    def __call__(self, done: int, of: int) -> None:
        if done * 10 // of > self.told or done == of:
            self.told = done * 10 // of
            self.console.print(f"  {done:,} of {of:,} files of the log are written", highlight=False)


def _teller(console: Console | None, world: World, folder: Path) -> _Teller | None:
    return None if console is None else _Teller(console, world, folder)
