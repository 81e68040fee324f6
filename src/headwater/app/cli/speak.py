"""How the command line speaks: answers on stdout, progress and errors on stderr, one JSON object with --json."""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from headwater.core.errors import HeadwaterError
from headwater.core.finding import Finding
from headwater.core.show import one_line

__all__ = ["Reply", "Speaker", "finding_data", "finding_line"]

_OBEYED = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys and JSON leaves as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a command says: text for people, the same as data for machines."""

    text: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Speaker:
    """Writes replies and errors in the form asked for."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.progress = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, command: str, reply: Reply) -> None:
        """The answer, on stdout."""
        if self.as_json:
            _line({"command": command, "ok": True, **reply.data})
        else:
            sys.stdout.write(_plain(reply.text.rstrip("\n") + "\n"))

    def refuse(self, command: str, error: HeadwaterError) -> int:
        """An error a person can act on; returns the exit code."""
        if self.as_json:
            _line(
                {
                    "command": command,
                    "ok": False,
                    "exit_code": error.exit_code,
                    "error": finding_data(error.finding),
                }
            )
        finding = error.finding
        sys.stderr.write(
            _plain(
                f"error {finding.code}: {finding.what}\n  why it matters: {finding.why}\n  what to do:     {finding.do}\n"
            )
        )
        return error.exit_code

    def unexpected(self, command: str, error: Exception, log: Path) -> int:
        """A fault of ours: the trace goes to a file, not to the screen."""
        where = _logged(log, error)
        if self.as_json:
            _line(
                {
                    "command": command,
                    "ok": False,
                    "exit_code": 1,
                    "error": {"code": "unexpected", "what": str(error)},
                }
            )
        sys.stderr.write(
            f"error unexpected: {type(error).__name__}: {one_line(str(error).splitlines()[0]) if str(error) else ''}\n"
            f"  why it matters: this is a fault in Headwater; nothing was published.\n"
            f"  what to do:     report it with the trace in {where}\n"
        )
        return 1


def finding_data(finding: Finding) -> dict[str, Any]:
    """A finding as plain data."""
    return {**asdict(finding), "severity": finding.severity.value, "numbers": dict(finding.numbers)}


def cannot_say(finding: Finding) -> str:
    """A finding that forbids a figure, as the verdict that stands before it."""
    return f"Cannot say ({finding.code}): {finding.what} {finding.do}"


def finding_line(finding: Finding) -> str:
    """A finding on one line."""
    return f"{finding.severity.value} {finding.code}: {finding.what} {finding.do}"


def _line(data: Mapping[str, Any]) -> None:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, default=str)
    sys.stdout.write(_OBEYED.sub(lambda c: f"\\u{ord(c[0]):04x}", text) + "\n")


def _plain(text: str) -> str:
    return "\n".join(one_line(line) for line in text.split("\n"))


def _logged(log: Path, error: Exception) -> str:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return "(the trace could not be written)"
    return str(log)
