"""``headwater experiment log``: what the record of experiments remembers, and what happened afterwards."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from headwater.app.cli.experiment import experiment
from headwater.app.cli.session import Options, answer, with_options
from headwater.app.cli.speak import Reply
from headwater.app.cli.tables import grid_text
from headwater.app.experiment_memory import note_afterwards, recorded
from headwater.core.block import Grid
from headwater.core.errors import UsageError, near_miss
from headwater.core.span import day_of
from headwater.effects.program import program

__all__ = ["log"]


@experiment.command()
@with_options
def log(
    options: Options,
    folder: Annotated[Path, typer.Argument(help="The folder that --record of experiment analyze wrote.")],
    *,
    shipped: Annotated[
        str | None, typer.Option(help="Note that this experiment's winner was shipped.")
    ] = None,
    dropped: Annotated[
        str | None, typer.Option(help="Note that nothing of this experiment was shipped.")
    ] = None,
    arm: Annotated[str, typer.Option(help="The arm that was shipped.")] = "",
    whole: Annotated[
        bool,
        typer.Option("--program", help="How often we win, what the wins are worth, what to expect next."),
    ] = False,
    note: Annotated[str, typer.Option(help="Why, in words.")] = "",
) -> None:
    """The experiments of a record, each with its last verdict. The tables beside it are Parquet, for SQL and BI."""

    def work() -> Reply:
        name = shipped or dropped
        if name is not None:
            known = {look["experiment"] for look in recorded(folder).looks}
            if name not in known:
                raise UsageError(
                    "experiment.unknown",
                    what=f"The record in {folder} has no experiment '{name}'.",
                    why="Nothing was noted.",
                    do=near_miss(name, known),
                )
            note_afterwards(
                folder, name, today=day_of(date.today()), arm=arm, shipped=bool(shipped), note=note
            )
        record = recorded(folder)
        if whole:
            found = program(record.results)
            return Reply(text=str(found), data=asdict(found))
        grid = next(b for b in record.blocks() if isinstance(b, Grid))
        return Reply(text=grid_text(grid), data=asdict(record))

    answer(options, "experiment log", work)
