"""The commands. Each does one step of the road, or all of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from headwater import __version__
from headwater.app.agree import chosen_forecast, named_forecast
from headwater.app.cli.leakage import leakage_reply
from headwater.app.cli.program import app
from headwater.app.cli.quality import checked
from headwater.app.cli.replies import (
    backtest_reply,
    fit_reply,
    forecast_reply,
    ledger_reply,
    run_reply,
    snapshot_reply,
)
from headwater.app.cli.session import JsonLines, JUnit, Options, answer, in_workspace, with_options
from headwater.app.cli.speak import Reply, finding_data, finding_line
from headwater.app.cli.targets import Horizon, Model, Target, job_of
from headwater.app.demo import EXAMPLES, lay_out, require_example
from headwater.app.doctor import examine
from headwater.app.propose import write_settings
from headwater.app.run import run as run_all
from headwater.app.store import Store
from headwater.app.study import Study
from headwater.app.trusted import trust_findings
from headwater.contracts.infer import propose
from headwater.core.errors import HeadwaterError
from headwater.core.span import as_days, day_of
from headwater.engine.duckdb import DuckDB

__all__ = [
    "backtest",
    "check",
    "demo",
    "doctor",
    "fit",
    "init",
    "leakage",
    "ledger",
    "predict",
    "report",
    "run",
    "snapshot",
    "version",
]


@app.command()
@with_options
def init(
    options: Options,
    data: Annotated[
        Path, typer.Argument(help="A file, folder or glob: CSV, TSV, JSON lines, Parquet, Excel.")
    ],
    user: Annotated[str | None, typer.Option(help="The user column, where it cannot be found.")] = None,
    at: Annotated[str | None, typer.Option(help="The time column, where it cannot be found.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a settings file that is there.")] = False,
) -> None:
    """Look at data, propose a contract, write a commented headwater.toml."""
    answer(options, "init", lambda: _init(options, data, user=user, at=at, force=force))


@app.command()
@with_options
def run(options: Options) -> None:
    """The whole road, from the raw data to the report; only what changed is done again."""
    in_workspace(options, "run", lambda study: run_reply(study, run_all(study)))


@app.command()
@with_options
def report(options: Options) -> None:
    """The same as run: every step that is there is reused, the report is written."""
    in_workspace(options, "report", lambda study: run_reply(study, run_all(study)))


@app.command()
@with_options
def check(
    options: Options,
    against: Annotated[
        Path | None, typer.Option(help="An earlier load (file, folder or glob) to compare with.")
    ] = None,
    jsonl: JsonLines = None,
    junit: JUnit = None,
) -> None:
    """The quality gate: what is kept, what is in quarantine, and why. Exit code 4 where the load fails."""
    in_workspace(options, "check", lambda study: checked(study, against=against, jsonl=jsonl, junit=junit))


@app.command()
@with_options
def ledger(options: Options) -> None:
    """Build the ledger of additive user-days."""
    in_workspace(options, "ledger", ledger_reply)


@app.command()
@with_options
def snapshot(
    options: Options,
    cutoff: Annotated[list[str], typer.Option(help="A date such as 2011-09-01; may be given several times.")],
    horizon: Annotated[list[str], typer.Option(help="A duration such as 90d; may be given several times.")],
) -> None:
    """Users as known at cutoffs: features before, targets after."""
    in_workspace(
        options,
        "snapshot",
        lambda study: snapshot_reply(
            study.snapshot(
                cutoffs=tuple(sorted({day_of(c) for c in cutoff})),
                horizons=tuple(as_days(h) for h in horizon),
            )
        ),
    )


@app.command()
@with_options
def backtest(options: Options, target: Target = None, horizon: Horizon = None) -> None:
    """How each model would have done at past origins."""
    in_workspace(
        options, "backtest", lambda study: backtest_reply(study.backtest(job_of(study, target, horizon)))
    )


@app.command()
@with_options
def fit(options: Options, model: Model = None, target: Target = None, horizon: Horizon = None) -> None:
    """Fit one model on everything known."""
    in_workspace(options, "fit", lambda study: _fit(study, model, target, horizon))


@app.command()
@with_options
def predict(options: Options, model: Model = None, target: Target = None, horizon: Horizon = None) -> None:
    """Forecast every user from the end of the log."""
    in_workspace(options, "predict", lambda study: _predict(study, model, target, horizon))


@app.command()
@with_options
def leakage(options: Options, target: Target = None, horizon: Horizon = None) -> None:
    """Poison everything after the cutoffs and show that no feature moves. Exit code 4 where one does."""
    in_workspace(options, "leakage", lambda study: leakage_reply(study, job_of(study, target, horizon)))


@app.command()
@with_options
def demo(
    options: Options,
    example: Annotated[str, typer.Argument(help=f"One of: {', '.join(EXAMPLES)}.")] = EXAMPLES[0],
    folder: Annotated[Path, typer.Option(help="Where to lay it out.")] = Path("headwater-demo"),
) -> None:
    """Run the whole road on real data that ships with the package."""
    if options.dry_run:
        answer(options, "demo", lambda: _rehearsed_demo(example, folder))
        return
    try:
        lay_out(example, folder)
    except HeadwaterError as error:
        raise typer.Exit(options.speaker().refuse("demo", error)) from None
    in_workspace(options.at(folder), "demo", lambda study: run_reply(study, run_all(study)))


@app.command()
@with_options
def doctor(options: Options) -> None:
    """What is installed, what is missing, and the fix."""
    answer(options, "doctor", lambda: _doctor(options))


@app.command()
@with_options
def version(options: Options) -> None:
    """The version."""
    answer(options, "version", lambda: Reply(text=f"headwater {__version__}", data={"version": __version__}))


def _rehearsed_demo(example: str, folder: Path) -> Reply:
    require_example(example)
    return Reply(text=f"Would lay out {example} in {folder} and run it.", data={"dry_run": True})


def _init(given: Options, data: Path, *, user: str | None, at: str | None, force: bool) -> Reply:
    spill = Store(given.root).spill
    engine = DuckDB(threads=given.threads or 2, memory=given.memory or "1500MB", spill=spill)
    proposal = propose(engine, data, user=user, at=at, today=date.today())
    findings = [finding_data(f) for f in proposal.findings]
    if given.dry_run:
        return Reply(text=f"Would write {given.config}.", data={"dry_run": True, "findings": findings})
    text = write_settings(proposal, given.config, data=data, force=force)
    lines = [f"Wrote {given.config} for {proposal.n_rows:,} rows of {proposal.format}.", ""]
    lines += [f"  {c.setting}: {c.reason} ({c.sure.value})" for c in proposal.choices]
    lines += ["", *(finding_line(f) for f in proposal.findings)]
    lines += ["Read it, confirm what is marked CONFIRM, then: headwater run"]
    data_of = {"config": str(given.config), "n_rows": proposal.n_rows, "settings": text, "findings": findings}
    return Reply(text="\n".join(lines), data=data_of)


def _fit(study: Study, model: str | None, target: str | None, horizon: str | None) -> Reply:
    study.require_models(*([model] if model else []))
    job = job_of(study, target, horizon)
    return fit_reply(study.fit(model or study.backtest(job).choice.name, job))


def _predict(study: Study, model: str | None, target: str | None, horizon: str | None) -> Reply:
    study.require_models(*([model] if model else []))
    job = job_of(study, target, horizon)
    proof, agreed = named_forecast(study, model, job) if model else chosen_forecast(study, job)
    findings = (*trust_findings(study, job, proof, model=model), *agreed.findings)
    return forecast_reply(study, agreed.over(job.task), proof, findings)


def _doctor(given: Options) -> Reply:
    looks = examine(given.root if given.root.is_dir() else Path())
    lines = [
        f"{'ok ' if c.ok else 'BAD'}  {c.what}: {c.state}{'' if c.ok or not c.fix else '. ' + c.fix}"
        for c in looks
    ]
    if not all(c.ok for c in looks):
        raise HeadwaterError(
            "doctor.unwell",
            what="; ".join(f"{c.what}: {c.state}" for c in looks if not c.ok),
            why="Some steps will fail.",
            do=" ".join(c.fix for c in looks if not c.ok),
        )
    data: dict[str, Any] = {
        "checks": [{"what": c.what, "state": c.state, "ok": c.ok, "fix": c.fix} for c in looks]
    }
    return Reply(text="\n".join(lines), data=data)
