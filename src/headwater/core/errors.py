"""The tree of errors. Each carries a finding (code, fact, consequence, next step) and an exit code.

::

    HeadwaterError            exit 1
      UsageError              exit 2   the call or command line is wrong
      ConfigError             exit 3   headwater.toml is wrong
      SourceError             exit 3   a declared source cannot be read
      GateError               exit 4   the data failed the quality gate
      DataError               exit 4   the data cannot answer what was asked
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

from headwater.core.finding import Finding, Number, Severity

__all__ = [
    "ConfigError",
    "DataError",
    "GateError",
    "HeadwaterError",
    "SourceError",
    "UsageError",
    "near_miss",
]


class HeadwaterError(Exception):
    """An error a person can act on.

    Parameters
    ----------
    code
        Stable name such as ``config.unknown_key``.
    what, why, do
        The fact with its numbers, the consequence, the next step.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, *, what: str, why: str, do: str, **numbers: Number) -> None:
        what, why, do = _ended(what), _ended(why), _ended(do)
        self.finding = Finding(code=code, severity=Severity.BLOCK, what=what, why=why, do=do, numbers=numbers)
        super().__init__(f"{code}: {what} {why} {do}")


class UsageError(HeadwaterError):
    """The call or command line cannot be carried out as given."""

    exit_code = 2


class ConfigError(HeadwaterError):
    """The settings file is wrong."""

    exit_code = 3


class SourceError(ConfigError):
    """A declared source cannot be read."""


class GateError(HeadwaterError):
    """The data failed the quality gate."""

    exit_code = 4


class DataError(HeadwaterError):
    """The data cannot answer what was asked."""

    exit_code = 4


def _ended(text: str) -> str:
    """The text with one mark at its end: the words of a library come with one or without.

    >>> _ended("It says: no such file"), _ended("It says: no footer.."), _ended("Set it: export KEY=...")
    ('It says: no such file.', 'It says: no footer.', 'Set it: export KEY=...')
    """
    bare = text.rstrip()
    if bare.endswith(("...", ".)", "?)", "!)")):
        return bare
    words = bare.rstrip(".")
    return words if words.endswith(("?", "!")) else f"{words}."


def near_miss(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant: ``"Did you mean 'revenue'?"``, or list what there is.

    >>> near_miss("revenu", ["revenue", "purchases"])
    "Did you mean 'revenue'?"
    >>> near_miss("zzz", ["b", "a"])
    'Known: a, b.'
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}." if names else "None is declared."
