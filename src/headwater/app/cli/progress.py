"""Progress on stderr: one bar a step, with rows and time left, fed by the engine itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from headwater.engine.engine import Engine

__all__ = ["Bars"]


class Bars:
    """A watcher that draws a bar for each step under way and leaves one line when it is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._depth = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    @contextmanager
    def step(self, title: str, *, engine: Engine, n_rows: int | None) -> Generator[None]:
        """Draw while the step runs; a step within a step gets a bar below."""
        task = self._opened(title, n_rows)

        def report(share_done: float) -> None:
            self._progress.update(task, completed=share_done, rows=_rows(share_done, n_rows))

        try:
            with engine.reporting(report):
                yield
        finally:
            self._closed(task)
        self._console.print(f"  {title}{f' ({n_rows:,} rows)' if n_rows else ''}: done", highlight=False)

    def _opened(self, title: str, n_rows: int | None) -> TaskID:
        if self._depth == 0:
            self._progress.start()
        self._depth += 1
        return self._progress.add_task(title, total=1.0, rows=_rows(0.0, n_rows))

    def _closed(self, task: TaskID) -> None:
        self._progress.remove_task(task)
        self._depth -= 1
        if self._depth == 0:
            self._progress.stop()


def _rows(share: float, n_rows: int | None) -> str:
    return f"{int(share * n_rows):,} of {n_rows:,} rows" if n_rows else f"{share:.0%}"
