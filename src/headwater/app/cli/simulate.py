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
from headwater.core.span import date_of
from headwater.simulate.world import FIRST_DAY, Season

__all__ = ["simulate"]


@app.command()
@with_options
def simulate(
    options: Options,
    *,
    to: Annotated[Path, typer.Option(help="The folder to write to; it is made.")],
    users: Annotated[
        int,
        typer.Option(
            min=1,
            help="How many users sign up over all days; 10,000 make about 3.6 million events, 120 MB and 10 seconds.",
        ),
    ] = 10_000,
    days: Annotated[int, typer.Option(min=60, help="How many days the app lives.")] = 365,
    events: Annotated[
        int | None,
        typer.Option(min=1, help="About how many events to make; the number of users follows from it."),
    ] = None,
    by: Annotated[str, typer.Option(help="One file of the log for each day, or each month.")] = "month",
    since: Annotated[str, typer.Option("--from", help="The day the app opens.")] = date_of(
        FIRST_DAY
    ).isoformat(),
    until: Annotated[
        str | None,
        typer.Option(
            help="End the log before this date, such as 2025-09-01; run again with a later one to add days."
        ),
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            help="Dirt to plant in the log, with a table of which rows: none, default, all, or kinds with the share of rows: future=0.001,alias=0.02."
        ),
    ] = "none",
    season: Annotated[
        Season,
        typer.Option(
            help="What the calendar does to activity: nothing, a mild year, or a strong one with two promotions."
        ),
    ] = Season.MILD,
    chunk: Annotated[
        int, typer.Option(min=20, help="Users made at a time: fewer need less memory. No row depends on it.")
    ] = 200_000,
) -> None:
    """Make up an app to practice on: a log of events with everything beside it that a real one has, and the truth.

    A short-video app with purchases, ads and subscriptions is written as Parquet files: events, users, costs,
    exchange rates and experiments, under truth/ what is really so (each user's worth, each effect, each planted
    fault), and a headwater.toml, so that 'headwater run' works at once.
    """
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
            since=since,
            until=until,
            faults=faults,
            season=season,
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
    since: str,
    until: str | None,
    faults: str,
    season: Season,
    chunk: int,
) -> Reply:
    if options.dry_run:
        size = f"about {events:,} events" if events else f"{users:,} users"
        return Reply(text=f"Would write an app of {size} over {days} days to {to}.", data={"dry_run": True})
    made = make_world(
        to,
        n_users=users,
        n_days=days,
        n_events=events,
        seed=7 if options.seed is None else options.seed,
        by=by,
        since=since,
        until=until,
        faults=faults,
        season=season,
        users_at_a_time=chunk,
        threads=options.threads or 2,
        memory=options.memory or "1500MB",
        console=options.speaker().progress,
    )
    size = sum(f.stat().st_size for f in to.rglob("*.parquet")) / 1e6
    files = f"{made.n_files} file{'s' if made.n_files != 1 else ''} of the log"
    text = (
        f"Wrote {made.n_events:,} events of {made.n_users:,} users in {files}, up to {made.until} (exclusive)"
        + (f"; {made.n_kept} files were there already" if made.n_kept else "")
        + f". {to} holds {size:,.0f} MB in all.\nWhat is really so is in {to / 'truth'}."
        + f"\nNext: headwater run --config {to / 'headwater.toml'}"
    )
    return Reply(text=text, data={**asdict(made), "folder": str(made.folder)})
