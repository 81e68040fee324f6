"""``headwater verify``: the same project on two engines, compared step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated

import typer

from headwater.app.cli.program import app
from headwater.app.cli.session import Options, answer, with_options
from headwater.app.cli.speak import Reply
from headwater.app.config import read_memory, read_settings
from headwater.app.engines import ENGINES, open_engine
from headwater.app.store import Store
from headwater.app.verify import TOLERANCE, StepComparison, verify_engines
from headwater.core.errors import UsageError, near_miss
from headwater.engine.engine import Engine

__all__ = ["verify"]

_DIFFERS, _SHOWN = 4, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    engine: str
    master: str | None
    threads: int
    memory: str


@app.command()
@with_options
def verify(
    options: Options,
    engines: Annotated[
        str, typer.Option(help="Two engines, the first the one that is trusted.")
    ] = "duckdb,spark",
    master: Annotated[
        str | None, typer.Option(help="Spark's master; default: [run] master, or local[threads].")
    ] = None,
    report: Annotated[
        bool, typer.Option(help="Fit the models and compare the report too; without: the data's steps.")
    ] = True,
) -> None:
    """Run the project on two engines and compare every step, to the report's figures. Exit code 4 where something differs."""
    found: list[StepComparison] = []
    answer(options, "verify", lambda: _reply(options, engines, master, found, report=report))
    if not all(step.equal for step in found):
        raise typer.Exit(_DIFFERS)


def _reply(
    options: Options, engines: str, master: str | None, found: list[StepComparison], *, report: bool
) -> Reply:
    names = _names(engines)
    if options.dry_run:
        return Reply(
            text=f"Would run every step on {' and '.join(names)} and compare.", data={"dry_run": True}
        )
    settings = read_settings(options.config)
    store = Store(options.root)
    with store.held():
        scratch = store.scratch("verify")
        opened: list[Engine] = []
        try:
            for one in names:
                chosen = _Chosen(
                    engine=one,
                    master=master or settings.run.master,
                    threads=options.threads or settings.run.threads,
                    memory=read_memory(options.memory or settings.run.memory),
                )
                opened.append(open_engine(chosen, spill=scratch / f"spill {one}"))
            steps = verify_engines(
                (opened[0], opened[1]),
                settings,
                root=options.root,
                scratch=scratch,
                today=date.today(),
                report=report,
            )
            for step in steps:
                options.speaker().progress.print(f"  {step.step}: {'equal' if step.equal else 'DIFFERS'}")
                found.append(step)
        finally:
            for engine in opened:
                engine.close()
            store.scratch("verify")
    return _told(names, found)


def _told(names: Sequence[str], found: Sequence[StepComparison]) -> Reply:
    lines = [_line(step) for step in found]
    equal = all(step.equal for step in found)
    n_differing = sum(not step.equal for step in found)
    end = "all equal" if equal else f"{n_differing} of them differ"
    lines.append(
        f"{len(found)} steps on {names[0]} and {names[1]}: {end} (doubles to {TOLERANCE:g} of their size)."
    )
    data = {
        "engines": list(names),
        "equal": equal,
        "tolerance": TOLERANCE,
        "steps": [asdict(s) | {"equal": s.equal} for s in found],
    }
    return Reply(text="\n".join(lines), data=data)


def _line(step: StepComparison) -> str:
    gap = f" (not compared: {step.gap})" if step.gap else ""
    if step.equal:
        return f"equal    {step.step}: {step.n_rows[0]:,} {step.counted}{gap}"
    where = ", ".join(step.columns[:_SHOWN]) + (" and others" if len(step.columns) > _SHOWN else "")
    first = f"DIFFERS  {step.step}: {step.n_differing:,} of {step.n_rows[0]:,} and {step.n_rows[1]:,} {step.counted}, in {where}{gap}"
    shown = [
        f"           {e.column}: {e.values[0]} and {e.values[1]}{f' ({e.where})' if e.where else ''}"
        for e in step.examples[:_SHOWN]
    ]
    return "\n".join([first, *shown])


def _names(engines: str) -> tuple[str, str]:
    names = [n.strip() for n in engines.split(",")]
    unknown = [n for n in names if n not in ENGINES]
    if unknown or len(names) != 2 or names[0] == names[1]:
        raise UsageError(
            "verify.engines",
            what=f"'{engines}' does not name two engines.",
            why="One is compared with the other.",
            do=near_miss(unknown[0], ENGINES) if unknown else "Write --engines duckdb,spark.",
        )
    return names[0], names[1]
