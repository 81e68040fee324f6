"""The program: its name, its help, and how it ends. Commands join it from the modules beside this one."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from headwater.app.cli.speak import Speaker
from headwater.core.errors import UsageError

__all__ = ["app", "in_order", "main"]

_ROAD = (
    "init", "run", "report", "demo", "profile", "infer", "check", "compare", "audit", "ledger", "snapshot", "leakage",
    "backtest", "tune", "fit", "predict", "drivers", "changes", "curves", "newcomers", "value", "experiment", "verify",
    "simulate", "explain", "doctor", "version",
)  # fmt: skip


def in_order(*road: str) -> type[TyperGroup]:
    """A group of commands in the order of a road, whatever module they come from; others come last."""

    class InOrder(TyperGroup):
        def list_commands(self, ctx: typer.Context) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]  typer's context is click's
            return sorted(
                super().list_commands(ctx), key=lambda name: road.index(name) if name in road else len(road)
            )

    return InOrder


app = typer.Typer(
    cls=in_order(*_ROAD),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From a raw event log to a decision that can be defended.",
)


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot show a character shows its number
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="headwater", standalone_mode=False)
    except TyperException as error:
        code = _misused(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


_WORDS = {
    "Input should be a valid integer, unable to parse string as an integer": "it is not a whole number",
    "Input should be a valid number, unable to parse string as a number": "it is not a number",
    "Input should be greater than or equal to": "it must be at least",
    "Input should be less than or equal to": "it must be at most",
    "Input should be greater than": "it must be above",
    "Input should be less than": "it must be below",
}


def _misused(message: str) -> int:
    commands = {c.callback.__name__ for c in app.registered_commands if c.callback}
    groups = {g.name for g in app.registered_groups}
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    page = f"headwater {command} --help" if command in commands | groups else "headwater --help"
    error = UsageError("command.usage", what=_plain(message), why="Nothing was run.", do=f"Look at '{page}'.")
    return Speaker(as_json="--json" in sys.argv, quiet=True).refuse(command, error)


def _plain(message: str) -> str:
    """What the reader of the command line says, in our words."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message
