"""The program: its name, its help, and how it ends. Commands join it from the modules beside this one."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import typer
from typer.exceptions import TyperException

from headwater.app.cli.speak import Speaker
from headwater.core.errors import UsageError

__all__ = ["app", "main"]

app = typer.Typer(
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


def _misused(message: str) -> int:
    commands = {c.callback.__name__ for c in app.registered_commands if c.callback}
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    do = f"headwater {command} --help" if command in commands else "headwater --help"
    error = UsageError("command.usage", what=message, why="Nothing was run.", do=do)
    return Speaker(as_json="--json" in sys.argv, quiet=True).refuse(command, error)
