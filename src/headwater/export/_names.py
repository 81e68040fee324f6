"""Names a workbook accepts: sheets, tables, columns and defined names, each unique."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headwater.export._text import clipped, visible

__all__ = ["column_headers", "is_defined_name", "sheet_name", "table_name"]

SHEET_LIMIT = 31
HEADER_LIMIT = 255
_NOT_IN_SHEET = re.compile(
    r"[\[\]:*?/\\\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd]"
)
_NOT_IN_TABLE = re.compile(r"\W")
_ENCODED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_CELL_LIKE = re.compile(r"(?i)[a-z]{1,3}\d+|r\d*(c\d*)?|c\d*")
_DEFINED = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,254}")


def sheet_name(wanted: str, taken: Iterable[str]) -> str:
    """A legal sheet name close to ``wanted`` that none of ``taken`` equals, whatever the case."""
    clean = _NOT_IN_SHEET.sub(" ", visible(wanted)).strip().strip("'").strip()
    clean = " ".join(clean.split()) or "Sheet"
    if clean.casefold() == "history":
        clean = "History sheet"
    return _unique(clean, {name.casefold() for name in taken}, SHEET_LIMIT, " ({})")


def table_name(wanted: str, taken: Iterable[str]) -> str:
    """A legal table name close to ``wanted``; the same input gives the same name every week."""
    clean = _NOT_IN_TABLE.sub("_", visible(wanted)) or "table"
    if not (clean[0].isalpha() or clean[0] == "_") or _CELL_LIKE.fullmatch(clean):
        clean = f"t_{clean}"
    return _unique(clean, {name.casefold() for name in taken}, HEADER_LIMIT, "_{}")


def column_headers(labels: Iterable[str]) -> list[str]:
    """Headers of an Excel Table: one line each, never empty, unique whatever the case."""
    headers: list[str] = []
    for label in labels:
        line = _ENCODED.sub("\uff3f", " ".join(visible(label).split())) or "Column"
        headers.append(_unique(line, {header.lower() for header in headers}, HEADER_LIMIT, " ({})"))
    return headers


def is_defined_name(name: str) -> bool:
    """Whether Excel takes the name for a cell: letters, digits, ``_``, ``.``; not ``B12`` or ``R1C1``."""
    return bool(_DEFINED.fullmatch(name)) and not _CELL_LIKE.fullmatch(name)


def _unique(name: str, taken: set[str], limit: int, suffix: str) -> str:
    candidate, n = _cut(name, limit), 1
    while candidate.casefold() in taken or candidate.lower() in taken:
        n += 1
        end = suffix.format(n)
        candidate = _cut(name, limit - len(end)) + end
    return candidate


def _cut(name: str, limit: int) -> str:
    return clipped(name, limit).strip().strip("'") or "Sheet"
