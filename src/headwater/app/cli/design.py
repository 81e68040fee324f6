"""``headwater experiment design``: how many users, how long, with which looks, from a file of past users."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from headwater.app.cli.experiment import experiment
from headwater.app.cli.session import Options, answer, with_options
from headwater.app.cli.speak import Reply, finding_data, finding_line
from headwater.app.cli.tables import grid_text
from headwater.app.design_file import DesignAsked, design_file, simulate_file
from headwater.app.plan_file import write_plan
from headwater.app.road import write
from headwater.app.store import Store
from headwater.core.block import Chart, Document, Grid, Page, Prose, WhatIf
from headwater.core.errors import UsageError
from headwater.core.span import day_of
from headwater.effects.designed import Design
from headwater.effects.simulate_on_history import HistorySimulation
from headwater.engine.duckdb import DuckDB

__all__ = ["design"]


@experiment.command()
@with_options
def design(
    options: Options,
    data: Annotated[
        Path, typer.Argument(help="Past users, a row for each: CSV, JSON lines, Parquet, Excel.")
    ],
    *,
    outcome: Annotated[
        list[str] | None, typer.Option(help="A column, or an expression such as 'orders > 0'; again for more.")
    ] = None,
    ratio: Annotated[list[str] | None, typer.Option(help="Such as 'revenue / orders'.")] = None,
    quantile: Annotated[list[str] | None, typer.Option(help="Such as 'latency @ 0.9'.")] = None,
    covariate: Annotated[list[str] | None, typer.Option(help="A column known before the outcome (CUPED).")] = None,
    guardrail: Annotated[list[str] | None, typer.Option(help="A metric with the harm it tolerates: crashes=0.02.")] = None,
    effect: Annotated[
        list[str] | None, typer.Option(help="The relative effect to find: 0.02, or revenue=0.01 for one metric.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The column of the user's id.")] = None,
    day: Annotated[str | None, typer.Option(help="The column of the day or time a user was first seen.")] = None,
    users_a_day: Annotated[float | None, typer.Option(min=0, help="New users a day, where no column says so.")] = None,
    share: Annotated[str, typer.Option(help="Shares of the arms, the control first: 0.5,0.25,0.25.")] = "0.5,0.5",
    looks: Annotated[int, typer.Option(min=1, max=200, help="How many looks, evenly spaced.")] = 1,
    traffic: Annotated[float, typer.Option(min=0.0001, max=1, help="The share of new users that takes part.")] = 1.0,
    window_days: Annotated[int | None, typer.Option(min=1, help="Days that each user's outcome takes.")] = None,
    winsorize: Annotated[float | None, typer.Option(help="Cap means and ratios at this quantile, such as 0.999.")] = None,
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.49, help="The error rate of all primary metrics together.")] = 0.05,
    power: Annotated[float, typer.Option(min=0.5, max=0.999, help="The chance to find the effect.")] = 0.8,
    cluster: Annotated[str | None, typer.Option(help="The column of what will be assigned as a whole, such as city.")] = None,
    simulate: Annotated[
        int, typer.Option(min=0, max=100_000, help="Try it on these users: so many random assignments.")
    ] = 0,
    lower: Annotated[list[str] | None, typer.Option(help="A metric of which less is better.")] = None,
    plan: Annotated[Path | None, typer.Option(help="Write the plan to this file, for 'analyze --plan'.")] = None,
    to: Annotated[list[Path] | None, typer.Option(help="Write it to a file (.html, .xlsx); again for more.")] = None,
) -> None:  # fmt: skip
    """Users, days, looks and what each costs, from past users; with --simulate, A/A tests and power on them."""

    def work() -> Reply:
        effects = dict(_named(e, "--effect") for e in effect or ())
        asked = DesignAsked(
            outcomes=tuple(outcome or ()), ratios=tuple(ratio or ()), quantiles=tuple(quantile or ()),
            covariates=tuple(covariate or ()), guardrails=dict(_named(g, "--guardrail") for g in guardrail or ()),
            effect=effects.pop("", 0.02), effects=effects, unit=user, day=day, users_a_day=users_a_day,
            shares=tuple(_number(s, "--share") for s in share.split(",")), looks=looks, traffic=traffic,
            window_days=window_days, winsorize=winsorize, alpha=alpha, power=power, cluster=cluster, lower=tuple(lower or ()),
        )  # fmt: skip
        engine = DuckDB(
            threads=options.threads or 2, memory=options.memory or "1500MB", spill=Store(options.root).spill
        )
        try:
            made = design_file(engine, data, asked)
            rng = np.random.default_rng(options.seed or 1)
            tried = simulate_file(engine, data, asked, n_runs=simulate, rng=rng) if simulate else None
        finally:
            engine.close()
        return _reply(made, tried, plan, tuple(to or ()))

    answer(options, "experiment design", work)


def _reply(made: Design, tried: HistorySimulation | None, plan: Path | None, to: tuple[Path, ...]) -> Reply:
    blocks = (*made.blocks(), *(tried.blocks() if tried else ()))
    lead = next(b.text for b in blocks if isinstance(b, Prose))
    paths = [str(p) for p in write(_document(made, tried, lead), *to)]
    if plan is not None:
        dated = replace(made.plan, registered_on=day_of(date.today()))
        paths.append(str(write_plan(dated, plan, because=lead)))
    findings = (*made.findings, *(tried.findings if tried else ()))
    lines = [lead]
    for block in blocks[1:]:
        if isinstance(block, Prose):
            lines += ["", block.text]
        elif isinstance(block, Grid) and block.name != "curve":
            lines += ["", f"{block.title}:", grid_text(block)]
        elif isinstance(block, Chart):
            lines += ["", f"{block.title}. {block.finding}"]
    lines += ["", *(finding_line(f) for f in findings), *(f"written: {p}" for p in paths)]
    data = {
        "n_users": made.n_users,
        "n_days": made.n_days,
        "stop": made.plan.stop.method,
        "looks": list(made.plan.stop.looks),
        "grids": {b.name: _rows(b) for b in blocks if isinstance(b, Grid)},
        "findings": [finding_data(f) for f in findings],
        "reports": paths,
    }
    return Reply(text="\n".join(lines).rstrip(), data=data)


def _document(made: Design, tried: HistorySimulation | None, lead: str) -> Document:
    own = made.blocks()
    pages = [
        Page(name="design", title="Design", blocks=tuple(b for b in own if not isinstance(b, WhatIf))),
        Page(name="sample_size", title="Sample size", blocks=tuple(b for b in own if isinstance(b, WhatIf))),
    ]
    if tried is not None:
        pages.insert(1, Page(name="simulation", title="On past users", blocks=tried.blocks()))
    return Document(title=f"Design of an experiment: {made.plan.name}", lead=lead, pages=tuple(pages))


def _rows(grid: Grid) -> list[dict[str, object]]:
    return [dict(zip([f.name for f in grid.fields], row, strict=True)) for row in grid.stream()]


def _named(text: str, option: str) -> tuple[str, float]:
    metric, _, number = text.rpartition("=")
    return metric.strip(), _number(number, option)


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < abs(value) <= 10:
        raise UsageError(
            "design.number",
            what=f"{option} has '{text.strip()}', which is no size of an effect or share.",
            why="Nothing was run.",
            do="Write a relative number such as 0.02, or a metric and a number: revenue=0.02.",
        )
    return value
