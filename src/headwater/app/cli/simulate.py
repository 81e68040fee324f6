"""``headwater simulate``: a short-video app with known truth, as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headwater.app.cli.program import app
from headwater.app.cli.session import Options, answer, with_options
from headwater.app.cli.speak import Reply
from headwater.app.simulated import make_world

__all__ = ["simulate"]


@app.command()
@with_options
def simulate(
    options: Options,
    *,
    to: Annotated[Path, typer.Option(help="The folder to write to.")],
    users: Annotated[int, typer.Option(min=1, help="How many users ever sign up.")] = 10_000,
    days: Annotated[int, typer.Option(min=60, help="How many days the app lives.")] = 365,
    events: Annotated[
        int | None, typer.Option(min=1, help="About how many events, in place of --users.")
    ] = None,
    by: Annotated[str, typer.Option(help="Files of the log by day or by month of receipt.")] = "month",
    until: Annotated[
        str | None, typer.Option(help="Write what was received before this date only; later dates append.")
    ] = None,
    faults: Annotated[
        str, typer.Option(help="none, default, all, or kinds with shares: future=0.001,alias=0.02.")
    ] = "none",
    chunk: Annotated[
        int, typer.Option(min=20, help="Users worked on at a time; bounds memory, changes no row.")
    ] = 200_000,
) -> None:
    """Make a short-video app with known truth: log, sources, experiments, faults, and headwater.toml."""
    answer(
        options,
        "simulate",
        lambda: _reply(
            options,
            to=to,
            users=users,
            days=days,
            events=events,
            by=by,
            until=until,
            faults=faults,
            chunk=chunk,
        ),
    )


def _reply(
    options: Options,
    *,
    to: Path,
    users: int,
    days: int,
    events: int | None,
    by: str,
    until: str | None,
    faults: str,
    chunk: int,
) -> Reply:
    if options.dry_run:
        return Reply(
            text=f"Would write a world of {users:,} users and {days} days to {to}.", data={"dry_run": True}
        )
    made = make_world(
        to,
        n_users=users,
        n_days=days,
        n_events=events,
        seed=7 if options.seed is None else options.seed,
        by=by,
        until=until,
        faults=faults,
        users_at_a_time=chunk,
        threads=options.threads or 2,
        memory=options.memory or "1500MB",
        console=options.speaker().progress,
    )
    text = (
        f"{made.n_events:,} events of {made.n_users:,} users, received before {made.until}, in {made.n_files} files of {to}"
        + (f"; {made.n_kept} files were there already" if made.n_kept else "")
        + f".\nThe truth is in {to / 'truth'}. Next: headwater run --config {to / 'headwater.toml'}"
    )
    return Reply(text=text, data={**asdict(made), "folder": str(made.folder)})
