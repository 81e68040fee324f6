"""SQL as a value: templates that are literal in our code, filled with names, literals and expressions only.

``sql("SELECT {what} FROM {table} WHERE {day} < {n}", what=..., table=name("ledger"), day=name("app_day"), n=3)``

A template must be a literal (the type checker holds this with ``LiteralString``); a plain ``str`` given as
a part becomes a quoted text literal, never syntax. Text is made for one dialect at the very end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, LiteralString

if TYPE_CHECKING:
    from headwater.engine.dialect import Dialect

__all__ = [
    "Part",
    "Shim",
    "Sql",
    "commas",
    "conjunction",
    "disjunction",
    "engine_type",
    "is_plain_type",
    "name",
    "render",
    "shim",
    "sql",
    "union_all",
]


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier from anywhere; the dialect quotes it."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text literal from anywhere; the dialect quotes it."""

    text: str


@dataclass(frozen=True, slots=True)
class Shim:
    """A call to one of the dialect's own functions."""

    function: str
    args: tuple[Sql, ...]


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of SQL, not yet bound to a dialect."""

    pieces: tuple[str | Name | Text | Shim, ...]


Part = Sql | str | int | float | bool | None | Sequence[Sql]


def sql(template: LiteralString, /, **parts: Part) -> Sql:
    """Fill a literal template. ``{x}`` takes a part; a sequence is joined with commas."""
    pieces: list[str | Name | Text | Shim] = []
    for literal, field, _, _ in Formatter().parse(template):
        if literal:
            pieces.append(literal)
        if field is not None:
            pieces.extend(_as_sql(parts[field]).pieces)
    return Sql(tuple(pieces))


def name(identifier: str) -> Sql:
    """A quoted identifier."""
    return Sql((Name(identifier),))


def shim(function: LiteralString, /, *args: Part) -> Sql:
    """A call to a function of the dialect shim, such as ``shim("local_day", at, zone)``."""
    return Sql((Shim(function, tuple(_as_sql(a) for a in args)),))


def engine_type(described: str) -> Sql:
    """A type as the engine itself described it. Raises ``ValueError`` for text that is no type."""
    if not is_plain_type(described):
        raise ValueError(f"'{described}' is no type of an engine")
    return Sql((described,))


def is_plain_type(described: str) -> bool:
    """Whether a type holds one plain value: no list, struct, map or enum."""
    return bool(re.fullmatch(r"[A-Z][A-Z0-9_ ]*(\(\d+(, ?\d+)?\))?( WITH TIME ZONE)?", described))


def commas(parts: Sequence[Sql]) -> Sql:
    """Parts joined with commas, each on a line of its own."""
    return _joined(parts, ",\n  ")


def conjunction(parts: Sequence[Sql]) -> Sql:
    """Parts joined with AND; TRUE where there is none."""
    return _joined(parts, " AND ") if parts else Sql(("TRUE",))


def disjunction(parts: Sequence[Sql]) -> Sql:
    """Parts joined with OR; FALSE where there is none."""
    return _joined(parts, " OR ") if parts else Sql(("FALSE",))


def union_all(parts: Sequence[Sql]) -> Sql:
    """The rows of all of one or more queries with the same columns."""
    return _joined(parts, "\nUNION ALL ")


def render(query: Sql, dialect: Dialect) -> str:
    """The text of a query in one dialect."""
    return "".join(_piece_text(piece, dialect) for piece in query.pieces)


def _piece_text(piece: str | Name | Text | Shim, dialect: Dialect) -> str:
    match piece:
        case str():
            return piece
        case Name():
            return dialect.quote_name(piece.text)
        case Text():
            return dialect.quote_text(piece.text)
        case Shim():
            return dialect.functions[piece.function](*(render(a, dialect) for a in piece.args))


def _as_sql(part: Part) -> Sql:  # noqa: PLR0911  one line for each kind of part
    match part:
        case Sql():
            return part
        case None:
            return Sql(("NULL",))
        case bool():
            return Sql(("TRUE" if part else "FALSE",))
        case int():
            return Sql((str(part),))
        case float():
            if not math.isfinite(part):
                raise ValueError(f"{part} has no SQL literal")
            return Sql((f"CAST({part!r} AS DOUBLE)",))
        case str():
            return Sql((Text(part),))
        case _:
            return commas(part)


def _joined(parts: Sequence[Sql], separator: LiteralString) -> Sql:
    pieces: list[str | Name | Text | Shim] = []
    for index, part in enumerate(parts):
        if index:
            pieces.append(separator)
        pieces.extend(part.pieces)
    return Sql(tuple(pieces))
