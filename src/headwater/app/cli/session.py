"""What every command shares: the options, the workspace, and turning errors into exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from headwater.app.cli.progress import Bars
from headwater.app.cli.rehearsal import rehearsed
from headwater.app.cli.speak import Reply, Speaker
from headwater.app.config import CONFIG_NAME, read_memory, read_settings, read_threads
from headwater.app.store import STORE_NAME
from headwater.app.study import Study
from headwater.app.watch import WouldRun
from headwater.core.errors import HeadwaterError

__all__ = ["JUnit", "JsonLines", "Options", "answer", "in_workspace", "with_options"]

JsonLines = Annotated[
    Path | None, typer.Option(help="Write the results as JSON lines, into a folder that is there.")
]
JUnit = Annotated[
    Path | None, typer.Option(help="Write the results as JUnit XML, into a folder that is there.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options that every command understands."""

    config: Annotated[Path, typer.Option("--config", "-c", help="The settings file.")] = Path(CONFIG_NAME)
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")] = False
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of every random draw; default: [run] seed.")
    ] = None
    threads: Annotated[
        int | None, typer.Option(help="Threads of the engine, 1 to 512; default: [run] threads.")
    ] = None
    memory: Annotated[
        str | None, typer.Option(help="Memory of the engine, such as 4GB; default: [run] memory.")
    ] = None
    own: frozenset[str] = frozenset()
    """The command's own options that were given."""

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.config.resolve().parent

    def speaker(self) -> Speaker:
        """The voice these options ask for."""
        return Speaker(as_json=self.as_json, quiet=self.quiet or self.as_json)

    def require(self) -> None:
        """Raise ``HeadwaterError`` where threads or memory are none that ``[run]`` would take."""
        if self.threads is not None:
            read_threads(self.threads)
        if self.memory is not None:
            read_memory(self.memory)

    def at(self, folder: Path) -> Options:
        """The same options in another folder."""
        return replace(self, config=folder / CONFIG_NAME)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is ``Options``, with each of them as an option of its own."""
    own = list(inspect.signature(command).parameters.values())[1:]
    hints = get_type_hints(command, include_extras=True)
    hints_of_all = get_type_hints(Options, include_extras=True)
    shared = [f for f in fields(Options) if f.name != "own"]

    def run(**given: Any) -> None:
        values = {f.name: given.pop(f.name) for f in shared}
        options = Options(
            **values, own=frozenset(o for o, value in given.items() if value not in (None, False))
        )
        try:
            options.require()
        except HeadwaterError as error:
            raise typer.Exit(options.speaker().refuse(command.__name__, error)) from None
        command(options, **given)

    parameters = [
        inspect.Parameter(p.name, inspect.Parameter.KEYWORD_ONLY, default=p.default, annotation=hints[p.name])
        for p in own
    ]
    parameters += [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints_of_all[f.name]
        )
        for f in shared
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]  how inspect lets a wrapper say what it takes
    return run


def answer(options: Options, command: str, work: Callable[[], Reply]) -> None:
    """Say what ``work`` returns; turn its errors into messages and exit codes."""
    speaker = options.speaker()
    try:
        reply = work()
    except HeadwaterError as error:
        raise typer.Exit(speaker.refuse(command, error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except OSError as error:
        raise typer.Exit(speaker.refuse(command, _of_the_system(error))) from None
    except Exception as error:
        raise typer.Exit(
            speaker.unexpected(command, error, options.root / STORE_NAME / "last-error.txt")
        ) from None
    speaker.say(command, reply)


def _of_the_system(error: OSError) -> HeadwaterError:
    return HeadwaterError(
        "workspace.disk",
        what=f"'{error.filename}' cannot be read or written: {error.strerror or error}.",
        why="The step was stopped; nothing was published.",
        do="Check that the path exists, who may read and write there, and that the disk has room.",
    )


def in_workspace(options: Options, command: str, work: Callable[[Study], Reply]) -> None:
    """Open the workspace of ``--config``, hold it, and answer; with ``--dry-run`` only say what would be done."""
    answer(options, command, lambda: _held(options, command, work))


def _held(options: Options, command: str, work: Callable[[Study], Reply]) -> Reply:
    settings = read_settings(options.config)
    study = Study(
        options.root,
        settings,
        today=date.today(),
        seed=options.seed,
        threads=options.threads,
        memory=options.memory,
        watcher=Bars(options.speaker().progress),
        rehearsal=options.dry_run,
    )
    with study.store.held():
        if not options.dry_run:
            study.store.sweep()
        try:
            reply = work(study)
        except WouldRun as first:
            return rehearsed(command, study, first, given=options.own)
    return rehearsed(command, study, None, given=options.own) if options.dry_run else reply
