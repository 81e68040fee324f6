"""``headwater tune``: settings of a model searched on past origins, with the log of every trial."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.app.cli.program import app
from headwater.app.cli.session import Options, in_workspace, with_options
from headwater.app.cli.speak import Reply, finding_data, finding_line
from headwater.app.cli.tables import grid_text
from headwater.app.cli.targets import Horizon, Target, job_of
from headwater.app.study import Study
from headwater.app.tuned import Tuned, tune_model, write_tuned
from headwater.core.block import Callout, Grid, Prose
from headwater.core.span import date_of
from headwater.learners.tuning import search_library
from headwater.models.tuning import dials_of

__all__ = ["tune"]

_SECONDS = 300.0


@app.command()
@with_options
def tune(
    options: Options,
    *,
    model: Annotated[str, typer.Option(help="The model to tune: one of the LightGBM models.")],
    target: Target = None,
    horizon: Horizon = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="How long to search; default: 300, or without end where --trials is given."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="The most trials; a seed and a number of them give the same again."),
    ] = None,
    write: Annotated[
        bool | None, typer.Option("--write", help="Put what was found into the settings file.")
    ] = None,
) -> None:
    """Search the settings of a model on past origins only: every trial, what it bought, the lines to paste."""
    limit = _SECONDS if seconds is None and trials is None else seconds

    def tuned(study: Study) -> Reply:
        dials_of(model)
        search_library()
        found = tune_model(study, model, job_of(study, target, horizon), seconds=limit, trials=trials)
        if write and found.lines and not study.rehearsal:
            write_tuned(options.config, model, found.tuning.found.settings, remark=found.remark)
        return tune_reply(found, written=str(options.config) if write and found.lines else None)

    in_workspace(options, "tune", tuned)


def tune_reply(found: Tuned, *, written: str | None) -> Reply:
    """The decision, every trial, and the lines for the settings file."""
    lines: list[str] = []
    for block in found.blocks():
        match block:
            case Prose(text=text):
                lines += [text, ""]
            case Grid():
                lines += [grid_text(block), ""]
            case Callout(finding=finding):
                lines += [finding_line(finding), ""]
            case _:
                pass
    if found.lines and written:
        lines += [f"Written to {written}:", found.lines]
    elif found.lines:
        lines += [
            "To fit with them, put this into headwater.toml, or run the same with --write:",
            found.lines,
        ]
    search = found.tuning.found
    data = {
        "model": found.tuning.model,
        "origins": [str(date_of(o)) for o in found.tuning.origins],
        "seen_by_backtest": found.seen_by_backtest,
        "settings": dict(found.tuning.settings),
        "changed": bool(search.settings),
        "gain": search.confirmed.share,
        "std_error": search.confirmed.std_error,
        "ended": search.ended,
        "trials": [
            {
                "trial": t.number,
                "settings": dict(t.settings),
                "gain": t.gain.share,
                "std_error": t.gain.std_error,
                "seconds": t.seconds,
                "stopped_early": t.stopped_early,
            }
            for t in search.trials
        ],
        "toml": found.lines,
        "findings": [finding_data(f) for f in found.findings],
        "written": written,
    }
    return Reply(text="\n".join(lines), data=data)
