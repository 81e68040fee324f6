"""Steps of a run: each is made once, read back from the workspace where it is there, and watched while it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from headwater.app.store import StepResult, Store, fingerprint_of
from headwater.app.watch import Watcher, WouldRun
from headwater.core.ledger import Ledger
from headwater.core.table import Column, Table
from headwater.engine.engine import Engine
from headwater.engine.sql import commas, name, sql

__all__ = ["Steps", "ledger_key"]

T = TypeVar("T")


class Steps:
    """The steps made or read in one session, over one workspace and one engine.

    ``made`` holds them by step and key. With ``rehearsal`` a step that is not there raises ``WouldRun``.
    """

    def __init__(self, *, store: Store, engine: Engine, watcher: Watcher, rehearsal: bool) -> None:
        self.store = store
        self.engine = engine
        self.watcher = watcher
        self.rehearsal = rehearsal
        self.made: dict[str, StepResult[Any]] = {}

    def watched(self, title: str, *, step: str, n_rows: int | None = None) -> AbstractContextManager[None]:
        """Work under the watcher's eyes; a rehearsal ends here. Work without a title is not shown."""
        if self.rehearsal:
            raise WouldRun(title or step, step=step)
        return self.watcher.step(title, engine=self.engine, n_rows=n_rows) if title else nullcontext()

    def step(
        self,
        step: str,
        key: Mapping[str, object],
        shape: type[T],
        make: Callable[[Path], T],
        *,
        title: str = "",
        n_rows: int | None = None,
        line: Mapping[str, object] | None = None,
    ) -> T:
        """A step's value, from this session, from the workspace, or made now under the watcher's eyes.

        A step without a ``title`` is watched as part of what runs around it. ``line`` as in ``Store.step``.
        """
        label = f"{step} {fingerprint_of(key)[:8]}"
        if label in self.made:
            return self.made[label].value
        result = self.store.find(step, key, shape)
        if result is None:
            with self.watched(title, step=step, n_rows=n_rows):
                result = self.store.step(step, key, shape, make, line=line)
        self.made[label] = result
        return result.value

    def keep(self, rows: pa.Table, columns: tuple[Column, ...], folder: Path, *, table: str) -> Table:
        """Keep these columns of users' rows as a table of a step, in the order of their ids."""
        view = f"{table} rows"
        self.engine.register(view, rows)
        query = sql(
            "SELECT {columns} FROM {t} ORDER BY user_id",
            columns=commas([name(c.name) for c in columns]),
            t=name(view),
        )
        try:
            return self.engine.write(query, folder, table=table, columns=columns)
        finally:
            self.engine.release(view)


def ledger_key(ledger: Ledger) -> dict[str, object]:
    """What a step that reads the ledger depends on."""
    return {
        "days": ledger.days.fingerprint,
        "users": ledger.users.fingerprint,
        "measures": ledger.measures,
        "span": (ledger.first_day, ledger.end_day),
        "left_edge_days": ledger.left_edge_days,
        "settle_days": ledger.settle_days,
    }
