"""Which engine a project runs on: DuckDB, or Spark where ``[run]`` says so."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from headwater.core.errors import ConfigError
from headwater.engine.duckdb import DuckDB
from headwater.engine.engine import Engine
from headwater.engine.spark import Spark

__all__ = ["ENGINES", "EngineSettings", "engine_label", "open_engine"]

ENGINES = ("duckdb", "spark")


class EngineSettings(Protocol):
    """What ``[run]`` says of the engine."""

    @property
    def engine(self) -> str:
        """``duckdb`` or ``spark``."""
        ...

    @property
    def master(self) -> str | None:
        """Spark's master."""
        ...

    @property
    def threads(self) -> int:
        """Threads of the engine."""
        ...

    @property
    def memory(self) -> str:
        """Memory of the engine."""
        ...


def engine_label(engine: str) -> str:
    """The engine with its version, as it stands in the key of every step: engines hash rows each in its own way."""
    package = {"duckdb": "duckdb", "spark": "pyspark"}.get(engine, engine)
    try:
        return f"{engine} {version(package)}"
    except PackageNotFoundError:  # told when the engine is opened
        return engine


def open_engine(
    run: EngineSettings, *, spill: Path, threads: int | None = None, memory: str | None = None
) -> Engine:
    """The engine that the settings name; ``threads`` and ``memory`` replace theirs. Raises ``HeadwaterError``."""
    n_threads, amount = threads or run.threads, memory or run.memory
    match run.engine:
        case "duckdb":
            return DuckDB(threads=n_threads, memory=amount, spill=spill)
        case "spark":
            master = run.master or f"local[{n_threads}]"
            return Spark(master=master, threads=n_threads, memory=amount, spill=spill)
        case other:
            raise ConfigError(
                "config.value",
                what=f"'{other}' is no engine.",
                why="Nothing was run.",
                do=f"Write one of: {', '.join(ENGINES)}.",
            )
