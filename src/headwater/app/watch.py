"""Who watches a run: told which step is under way and how far the engine is; or a rehearsal, told the first."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from headwater.engine.engine import Engine

__all__ = ["Silent", "Watcher", "WouldRun"]


class Watcher(Protocol):
    """Told which step runs; given the engine's progress."""

    def step(self, title: str, *, engine: Engine, n_rows: int | None) -> AbstractContextManager[None]:
        """Watch a step while it runs; ``n_rows`` is what it reads, where that is known."""
        ...


class Silent:
    """A watcher that says nothing."""

    def step(self, title: str, *, engine: Engine, n_rows: int | None) -> AbstractContextManager[None]:
        """No output."""
        del title, engine, n_rows
        return nullcontext()


class WouldRun(Exception):  # noqa: N818  not an error: the first step a dry run would take
    """Raised by a rehearsal at the first ``step`` that is not there yet; its text says what that step does."""

    def __init__(self, title: str, *, step: str) -> None:
        super().__init__(title)
        self.step = step
