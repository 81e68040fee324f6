"""How a cell is shown: the same decimals and symbols on a page, in a tooltip and in a workbook."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median
from typing import TypeGuard

from headwater.core.block import Cell, Field, Form

__all__ = ["decimals", "is_number", "is_numeric", "label_with_unit", "number_format", "shown", "symbol"]

NUMERIC = frozenset({Form.INTEGER, Form.NUMBER, Form.SHARE, Form.MONEY})
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "¥", "JPY": "¥", "INR": "₹", "KRW": "₩", "BRL": "R$"}
WHOLE_CURRENCIES = frozenset({"JPY", "KRW", "VND", "IDR"})
NUMBER_STEPS = ((100.0, 1), (10.0, 2), (1.0, 3), (0.01, 4))


def is_numeric(form: Form) -> bool:
    """Whether cells of that form are aligned right and sorted as numbers."""
    return form in NUMERIC


def is_number(cell: Cell) -> TypeGuard[int | float]:
    """Whether the cell is a finite number (a truth value is not)."""
    return isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell)


def symbol(field: Field) -> str:
    """The sign of a field's currency, or nothing where it is not well known."""
    return SYMBOLS.get(field.unit, "") if field.form is Form.MONEY else ""


def label_with_unit(field: Field) -> str:
    """The label, with its unit in brackets where the cells do not show it."""
    if not field.unit or symbol(field) or field.form is Form.SHARE:
        return field.label
    return f"{field.label} ({field.unit})"


def decimals(field: Field, cells: Iterable[Cell]) -> int:
    """Places after the point for a whole column, so that its points line up.

    ``cells`` is a sample of the column; the middle of its sizes decides.
    """
    sizes = [abs(float(c)) for c in cells if is_number(c) and c]
    middle = median(sizes) if sizes else 1.0
    if field.form is Form.SHARE:
        return 2 if middle < 0.01 else 1
    if field.form is Form.MONEY:
        return _money_decimals(field, middle)
    if field.form is Form.NUMBER and not all(size.is_integer() for size in sizes):
        return next((places for least, places in NUMBER_STEPS if middle >= least), 6)
    return 0


def _money_decimals(field: Field, middle: float) -> int:
    if field.unit in WHOLE_CURRENCIES or middle >= 10_000:
        return 0
    return 4 if middle < 0.1 else 2


def shown(cell: Cell, field: Field, places: int) -> str:
    """The cell as people read it: ``1,234``, ``12.3%``, ``£4.50``; an unknown value is a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str) or not is_numeric(field.form):
        return str(cell)
    if not math.isfinite(cell):
        return "not finite"
    return _number(cell, field, places)


def _number(cell: int | float, field: Field, places: int) -> str:
    if field.form is Form.SHARE:
        return f"{cell:.{places}%}"
    if isinstance(cell, int) and field.form is not Form.MONEY:
        return f"{cell:,}"
    sign = "-" if cell < 0 else ""
    size = f"{abs(cell):,.{places}f}"
    if cell and float(size.replace(",", "")) == 0.0:
        size = f"{abs(cell):.2g}"
    return f"{sign}{symbol(field)}{size}"


def number_format(field: Field, places: int) -> str:
    """The workbook's format for the same look; empty for text."""
    point = "." + "0" * places if places else ""
    if field.form is Form.SHARE:
        return f"0{point}%"
    if field.form is Form.MONEY:
        sign = symbol(field)
        return f'"{sign}"#,##0{point}' if sign else f"#,##0{point}"
    return {Form.INTEGER: "#,##0", Form.NUMBER: f"#,##0{point}", Form.DATE: "yyyy-mm-dd"}.get(field.form, "")
