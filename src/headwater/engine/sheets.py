"""Excel and OpenDocument sheets as tables of text: what people see in a cell, ids without a stray ``.0``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from python_calamine import CalamineWorkbook

__all__ = ["distinct_names", "read_sheet"]


def read_sheet(file: Path) -> tuple[pa.Table, int | None]:
    """The first sheet's rows below its header, all text, and the sheet row they begin at (None: the sheet is empty).

    Raises ``CalamineError`` where the file is no workbook.
    """
    sheet = CalamineWorkbook.from_path(str(file)).get_sheet_by_index(0)
    cells = sheet.to_python()
    if not cells:
        return pa.table({}), None
    header = distinct_names([_cell_text(h) or f"column_{i + 1}" for i, h in enumerate(cells[0])])
    columns = [pa.array([_cell_text(row[i]) for row in cells[1:]], pa.string()) for i in range(len(header))]
    return pa.table(columns, names=header), (sheet.start[0] if sheet.start else 0) + 2


def distinct_names(columns: Sequence[str]) -> list[str]:
    """Column names as the engine tells them apart: a repeat, or one that differs in case only, is numbered.

    >>> distinct_names(["price", "Price", "at"])
    ['price', 'Price_1', 'at']
    """
    made: dict[str, str] = {}
    for column in columns:
        free, copy = column, 0
        while free.casefold() in made:
            copy += 1
            free = f"{column}_{copy}"
        made[free.casefold()] = free
    return list(made.values())


def _cell_text(value: Any) -> str | None:
    match value:
        case "" | None:
            return None
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case datetime() | date():
            return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
        case _:
            return str(value)
