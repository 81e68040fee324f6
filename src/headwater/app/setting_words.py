"""What does not fit at a setting, in words: what stands there, what it must be, and how to write it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

__all__ = ["ended", "misfit", "shown_value"]

_MOST_SHOWN = 60
_DURATIONS = frozenset({"every", "fx_max_age", "horizon", "horizons", "left_edge", "windows"})
_KINDS = {
    "bool": ("true or false", "Write true or false, without quotes."),
    "date": ("a date", "Write it as 2011-09-01."),
    "dict": ("a table", "Write it as a table of its own ([name], once), or in { }."),
    "float": ("a number", "Write a number without quotes."),
    "int": ("a whole number", "Write a whole number without quotes."),
    "list": (
        "a list",
        "Write it in [ ], even where it holds one thing only; of a section there may be several, each as [[name]].",
    ),
    "model": ("a table", "Write it as a table of its own ([name], once), or in { }."),
    "string": ("text", "Write it in quotes."),
}
_DURATION = ("a duration", 'Write a whole number and h, d or w in quotes, such as "90d" or "4w".')
_BOUNDS = "Write a number within its bounds."
_EMPTY = ("it is empty", "Write at least one value, or take the key out where it has a default.")
_LONG = ("{given} is longer than {max_length}", "Write less.")
_LIMITS = {
    "greater_than": ("{given} must be above {gt}", _BOUNDS),
    "greater_than_equal": ("{given} must be at least {ge}", _BOUNDS),
    "less_than": ("{given} must be below {lt}", _BOUNDS),
    "less_than_equal": ("{given} must be at most {le}", _BOUNDS),
    "literal_error": ("{given} is none of {expected}", "Write one of them."),
    "string_pattern_mismatch": (
        "{given} does not fit",
        "Begin with a small letter; write small letters, digits and _ only, 40 at most.",
    ),
    "string_too_long": _LONG,
    "string_too_short": _EMPTY,
    "too_long": _LONG,
    "too_short": _EMPTY,
}


def misfit(problem: Mapping[str, Any]) -> tuple[str, str]:
    """Of one problem that pydantic found: what is wrong, to follow "is wrong: ", and what to do.

    >>> misfit({"type": "int_type", "loc": ("run", "seed"), "input": "7", "msg": "", "ctx": {}})
    ("'7' is not a whole number", 'Write a whole number without quotes.')
    """
    kind, given, limits = str(problem["type"]), shown_value(problem.get("input")), problem.get("ctx", {})
    if kind in _LIMITS:
        what, do = _LIMITS[kind]
        return what.format(given=given, **limits), do
    first = kind.partition("_")[0]
    if first in _KINDS:
        what, do = _DURATION if _is_duration(problem["loc"], first) else _KINDS[first]
        return f"{given} is not {what}", do
    own = str(problem["msg"]).removeprefix("Value error, ")
    return own.rstrip("."), "Correct it; docs/configuration.md lists every setting."


def ended(sentence: str) -> str:
    """A sentence with one mark at its end.

    >>> ended("Did you mean 'bg_nbd'?"), ended("it is empty")
    ("Did you mean 'bg_nbd'?", 'it is empty.')
    """
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def _is_duration(location: tuple[int | str, ...], first: str) -> bool:
    names = [p for p in location if isinstance(p, str)]
    return first == "string" and bool(names) and names[-1] in _DURATIONS


def shown_value(given: object) -> str:
    """A value as it could stand in the file, cut where it is long."""
    match given:
        case bool():
            return str(given).lower()
        case date():
            return str(given)
        case dict():
            return "a table"
        case list():
            return "a list"
        case str():
            text = given if len(given) <= _MOST_SHOWN else f"{given[:_MOST_SHOWN]}..."
            return f"'{text}'"
        case _:
            return str(given)[:_MOST_SHOWN]
