"""Worlds that several tests read: one large enough for its averages, one small with every fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headwater.engine.duckdb import DuckDB
from headwater.simulate.planted import KINDS, Faults
from headwater.simulate.world import World
from headwater.simulate.write import simulate


@dataclass(frozen=True)
class Made:
    """A world on disk, and an engine to read it with."""

    world: World
    folder: Path
    engine: DuckDB
    faults: Faults | None = None


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    engine = DuckDB(threads=2, memory="2GB", spill=tmp_path_factory.mktemp("spill") / "spill")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory, reader: DuckDB) -> Made:
    """14,000 users over 240 days, no faults: about three million events."""
    world = World(seed=11, n_users=14_000, n_days=240)
    folder = tmp_path_factory.mktemp("town")
    simulate(reader, world, folder=folder)
    return Made(world=world, folder=folder, engine=reader)


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory, reader: DuckDB) -> Made:
    """1,000 users over 150 days with every kind of fault."""
    world = World(seed=5, n_users=1_000, n_days=150)
    shares = dict(KINDS) | {"bot": 0.003, "many_devices": 0.01, "shared_device": 0.02}
    faults = Faults(shares=shares, seed=3)
    folder = tmp_path_factory.mktemp("faulty")
    simulate(reader, world, folder=folder, faults=faults)
    return Made(world=world, folder=folder, engine=reader, faults=faults)
