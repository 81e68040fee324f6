"""``headwater experiment``: the group of commands about tests. Its commands join it from the modules beside this one."""

from __future__ import annotations

import typer

from headwater.app.cli.program import app, in_order

__all__ = ["experiment"]

experiment = typer.Typer(
    cls=in_order("design", "simulate", "assign", "assign-sql", "analyze", "scorecard", "log"),
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Design, assign, analyze and remember tests.",
)
app.add_typer(experiment, name="experiment")
