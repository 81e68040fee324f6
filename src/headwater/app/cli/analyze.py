"""``headwater experiment analyze``: a scorecard of an experiment's file, with or without a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from headwater.app.cli.experiment import experiment
from headwater.app.cli.session import Options, answer, in_workspace, with_options
from headwater.app.cli.speak import Reply, finding_data, finding_line
from headwater.app.cli.tables import grid_text
from headwater.app.experiment_cards import card_of
from headwater.app.experiment_file import Asked, analyze_file
from headwater.app.road import write
from headwater.app.store import Store
from headwater.app.study import Study
from headwater.core.errors import UsageError
from headwater.core.finding import Severity
from headwater.core.span import day_of
from headwater.effects.scorecard import Scorecard
from headwater.engine.duckdb import DuckDB

__all__ = ["analyze", "scorecard"]


@experiment.command()
@with_options
def analyze(
    options: Options,
    data: Annotated[
        Path, typer.Argument(help="A file, folder or glob with a row for each user: CSV, JSON lines, Parquet, Excel.")
    ],
    *,
    plan: Annotated[Path | None, typer.Option(help="A plan file; the analysis is held to it.")] = None,
    user: Annotated[str | None, typer.Option(help="The column of the user's id, or of what was randomized.")] = None,
    arm: Annotated[str | None, typer.Option(help="The column of the arm.")] = None,
    control: Annotated[str | None, typer.Option(help="The arm that others are compared with.")] = None,
    outcome: Annotated[
        list[str] | None, typer.Option(help="A column, or an expression such as 'orders > 0'; again for more.")
    ] = None,
    ratio: Annotated[list[str] | None, typer.Option(help="Such as 'revenue / orders'.")] = None,
    quantile: Annotated[list[str] | None, typer.Option(help="Such as 'latency @ 0.9'.")] = None,
    covariate: Annotated[list[str] | None, typer.Option(help="A column known before exposure (CUPED).")] = None,
    predict_from: Annotated[list[str] | None, typer.Option(help="A column known before exposure, number or text, for a cross-fitted prediction as covariate.")] = None,
    guardrail: Annotated[
        list[str] | None, typer.Option(help="A metric that must not be harmed; 'crashes=0.02' tolerates 2%.")
    ] = None,
    lower: Annotated[list[str] | None, typer.Option(help="A metric of which less is better.")] = None,
    share: Annotated[list[str] | None, typer.Option(help="The planned share of an arm: control=0.5; equal by default.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="A column of strata, such as country.")] = None,
    exposed: Annotated[str | None, typer.Option(help="The column of the first exposure: a day or time.")] = None,
    cluster: Annotated[str | None, typer.Option(help="The column of what was randomized as a whole, such as city.")] = None,
    long: Annotated[bool, typer.Option("--long", help="Users may have several rows; they are added up.")] = False,
    winsorize: Annotated[float | None, typer.Option(help="Cap means and ratios at this quantile, such as 0.999.")] = None,
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.49, help="The error rate of all primary metrics together.")] = 0.05,
    looked: Annotated[str | None, typer.Option(help="Shares of the planned users at earlier looks: 0.25,0.5.")] = None,
    record: Annotated[Path | None, typer.Option(help="A folder that remembers: earlier looks come from it, this one is added.")] = None,
    to: Annotated[list[Path] | None, typer.Option(help="Write it to a file (.html, .xlsx); again for more.")] = None,
) -> None:  # fmt: skip
    """What an experiment says: may it be trusted, what each metric did, and the verdict. No settings are needed."""

    def work() -> Reply:
        asked = Asked(
            arm=arm, control=control, unit=user, strata=tuple(by or ()), exposed=exposed, cluster=cluster, is_long=long,
            outcomes=tuple(outcome or ()), ratios=tuple(ratio or ()), quantiles=tuple(quantile or ()),
            covariates=tuple(covariate or ()), predict_from=tuple(predict_from or ()), guardrails=tuple(guardrail or ()), lower=tuple(lower or ()),
            shares=dict(_numbers(s, "--share") for s in share) if share else None, winsorize=winsorize, alpha=alpha, plan=plan,
            looked=_looks(looked), record=record,
        )  # fmt: skip
        engine = DuckDB(
            threads=options.threads or 2, memory=options.memory or "1500MB", spill=Store(options.root).spill
        )
        try:
            card = analyze_file(engine, data, asked, today=day_of(date.today()))
        finally:
            engine.close()
        return _scorecard_reply(card, to or ())

    answer(options, "experiment analyze", work)


@experiment.command()
@with_options
def scorecard(
    options: Options,
    name: Annotated[str, typer.Argument(help="An experiment of [[experiments]].")],
    *,
    looked: Annotated[
        str | None, typer.Option(help="Shares of the planned users at earlier looks: 0.25,0.5.")
    ] = None,
    to: Annotated[
        list[Path] | None, typer.Option(help="Write it to a file (.html, .xlsx); again for more.")
    ] = None,
) -> None:
    """What an experiment of this workspace says, from the log of exposures and the ledger as they are now."""

    def work(study: Study) -> Reply:
        return _scorecard_reply(card_of(study, name, looked=_looks(looked)), to or ())

    in_workspace(options, "experiment scorecard", work)


def _scorecard_reply(card: Scorecard, to: Sequence[Path]) -> Reply:
    paths = [str(p) for p in write(card, *to)]
    notes = [f for c in card.checks for f in c.findings if f.severity is not Severity.BLOCK]
    lines = [
        card.lead,
        *(f"what would change it: {w}" for w in card.verdict.would_change),
        "",
        *([grid_text(card.effect_grid())] if card.rows else ["No effect may be read yet."]),
        "",
        _trust_line(card),
        *(finding_line(f) for f in (*card.verdict.findings, *card.findings, *notes)),
        *(f"written: {p}" for p in paths),
    ]
    return Reply(text="\n".join(lines), data=_data(card, paths))


def _trust_line(card: Scorecard) -> str:
    said = [f"{c.name} {c.says}" for c in card.checks if c.says not in {"passed", "not run"}]
    n_passed = sum(c.says == "passed" for c in card.checks)
    n_not = sum(c.says == "not run" for c in card.checks)
    return f"trust: {n_passed} checks passed, {n_not} could not run{'; ' if said else ''}{', '.join(said)}"


def _data(card: Scorecard, paths: list[str]) -> dict[str, Any]:
    return {
        "experiment": card.plan.name,
        "verdict": card.verdict.stance.value,
        "because": list(card.verdict.because),
        "would_change": list(card.verdict.would_change),
        "arms": dict(card.arms),
        "effects": [
            dict(zip([f.name for f in card.row_grid().fields], r, strict=True))
            for r in card.row_grid().stream()
        ],
        "checks": [
            asdict(c) | {"says": c.says, "findings": [finding_data(f) for f in c.findings]}
            for c in card.checks
        ],
        "findings": [finding_data(f) for f in card.findings],
        "reports": paths,
    }


def _numbers(text: str, option: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    return name.strip(), _number(number, option)


def _looks(text: str | None) -> tuple[float, ...]:
    return tuple(_number(x, "--looked") for x in text.split(",")) if text else ()


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UsageError(
            "experiment.share",
            what=f"{option} has '{text.strip()}', which is no share.",
            why="Nothing was run.",
            do="Write a number above 0 and at most 1, such as 0.5.",
        )
    return value
