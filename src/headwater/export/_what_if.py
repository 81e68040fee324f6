"""A live model on a sheet: yellow cells to change, formulas that answer, Python's value cached in each."""

from __future__ import annotations

import math
import re
from collections.abc import Set as AbstractSet
from typing import Any, Final

from xlsxwriter.utility import xl_rowcol_to_cell
from xlsxwriter.worksheet import Worksheet

from headwater.core.block import Field, Form, WhatIf, WhatIfInput, WhatIfOutput
from headwater.core.errors import UsageError
from headwater.export._book import ACCENT, LINE, SOFT, Book
from headwater.export._forms import decimals, number_format, shown
from headwater.export._names import is_defined_name
from headwater.export._text import clipped, visible

__all__ = ["checked", "write_what_if"]

FUNCTIONS: Final = frozenset(
    {
        "ABS",
        "AND",
        "AVERAGE",
        "BETA.DIST",
        "BETA.INV",
        "CEILING",
        "CHISQ.DIST",
        "CHISQ.INV",
        "EXP",
        "FLOOR",
        "GAMMA.DIST",
        "GAMMA.INV",
        "GAMMALN",
        "IF",
        "INT",
        "LN",
        "LOG",
        "LOG10",
        "MAX",
        "MEDIAN",
        "MIN",
        "MOD",
        "NORM.DIST",
        "NORM.INV",
        "NORM.S.DIST",
        "NORM.S.INV",
        "NOT",
        "OR",
        "PI",
        "POWER",
        "PRODUCT",
        "ROUND",
        "ROUNDDOWN",
        "ROUNDUP",
        "SIGN",
        "SQRT",
        "SUM",
        "T.DIST",
        "T.DIST.2T",
        "T.INV",
        "T.INV.2T",
    }
)
CONSTANTS: Final = frozenset({"TRUE", "FALSE"})
PIECE: Final = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_.]*)|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+|<=|>=|<>|[-+*/^()<>=,%])\s*"
)
PROMPT_LIMIT: Final = 255
PROMPT_TITLE_LIMIT: Final = 32
WIDTHS: Final = (38, 18, 24, 70)


def checked(block: WhatIf) -> WhatIf:
    """The same block, once its names and formulas are known to be safe.

    Raises ``UsageError``: ``export.what_if_name`` for a name Excel cannot give to a cell,
    ``export.what_if_value`` for a value that is not finite or an input outside its own limits,
    ``export.what_if_formula`` for anything but numbers, operators, listed functions and earlier names.
    """
    known: set[str] = set()
    for part in (*block.inputs, *block.outputs):
        if not is_defined_name(part.name) or part.name.casefold() in known or part.name.upper() in CONSTANTS:
            raise _refused("export.what_if_name", part.name, f"'{part.name[:60]}' cannot name one cell")
        inside = not isinstance(part, WhatIfInput) or part.low <= part.value <= part.high
        if not (math.isfinite(part.value) and inside):
            raise _refused("export.what_if_value", part.name, f"the value of '{part.name}' is {part.value}")
        if isinstance(part, WhatIfOutput):
            _check_formula(part, known)
        known.add(part.name.casefold())
    return block


def _check_formula(output: WhatIfOutput, known: AbstractSet[str]) -> None:
    text, at = output.formula.strip().removeprefix("="), 0
    if not text or text.count("(") != text.count(")"):
        raise _refused(
            "export.what_if_formula", output.name, "the formula is empty or its brackets do not pair"
        )
    while at < len(text):
        piece = PIECE.match(text, at)
        if piece is None:
            raise _refused("export.what_if_formula", output.name, f"the formula has {text[at : at + 20]!r}")
        at, name = piece.end(), piece.group("name")
        if name is None:
            continue
        called = text.startswith("(", at)
        fine = name.upper() in FUNCTIONS if called else name.casefold() in known or name.upper() in CONSTANTS
        if not fine:
            raise _refused("export.what_if_formula", output.name, f"the formula uses '{name}', not known yet")


def _refused(code: str, name: str, fact: str) -> UsageError:
    return UsageError(
        code,
        what=f"In the what-if '{name[:60]}', {fact}.",
        why="The workbook would not compute what Python computed, or would do something else.",
        do="Use finite values inside the limits, plain names, arithmetic, inputs and earlier outputs.",
    )


def write_what_if(book: Book, block: WhatIf, *, local: bool) -> None:
    """Write the sheet. ``local`` names the cells for this sheet only."""
    checked(block)
    sheet = book.sheet(block.title)
    for column, width in enumerate(WIDTHS):
        sheet.set_column(column, column, width)
    book.paragraph(sheet, 0, WIDTHS, block.title, bold=True, font_size=16)
    book.paragraph(sheet, 1, WIDTHS, block.note, font_color=SOFT)
    row = _head(book, sheet, 3, "Change the yellow cells", "Allowed")
    for part in block.inputs:
        _input(book, sheet, row, part)
        _name(book, sheet, row, part.name, local=local)
        row += 1
    row = _head(book, sheet, row + 1, "What follows", "This run")
    for part in block.outputs:
        _output(book, sheet, row, part)
        _name(book, sheet, row, part.name, local=local)
        row += 1
    sheet.freeze_panes(3, 0)
    if block.inputs:
        sheet.set_selection(4, 1, 4, 1)


def _head(book: Book, sheet: Worksheet, row: int, title: str, third: str) -> int:
    left = book.style(bold=True, font_color=ACCENT, bottom=1, bottom_color=LINE)
    note = book.style(bold=True, font_color=SOFT, bottom=1, bottom_color=LINE, align="left", indent=1)
    right = book.style(bold=True, font_color=SOFT, bottom=1, bottom_color=LINE, align="right")
    cells = ((title, left), ("Value", right), (third, right), ("Note", note))
    for column, (text, look) in enumerate(cells):
        book.text(sheet, row, column, text, look)
    return row + 1


def _look(part: WhatIfInput | WhatIfOutput) -> str:
    field = _field(part)
    return number_format(field, decimals(field, [part.value])) or "General"


def _field(part: WhatIfInput | WhatIfOutput) -> Field:
    return Field(name=part.name, label=part.label, form=part.form)


def _text_of(part: WhatIfInput | WhatIfOutput, value: float) -> str:
    field = _field(part)
    return shown(value, field, decimals(field, [value]))


def _input(book: Book, sheet: Worksheet, row: int, part: WhatIfInput) -> None:
    border = {"border": 1, "border_color": "#D9C66B"}
    yellow = book.style(num_format=_look(part), align="right", bg_color="#FFF6CC", locked=False, **border)
    reach = f"{_text_of(part, part.low)} to {_text_of(part, part.high)}"
    book.text(sheet, row, 0, part.label)
    book.cell(sheet, (row, 1), part.value, form=Form.NUMBER, style=yellow)
    book.text(sheet, row, 2, reach, book.style(align="right", font_color=SOFT))
    book.text(sheet, row, 3, part.note, book.style(text_wrap=True, font_color=SOFT, align="left", indent=1))
    prompt = clipped(visible(f"From {reach}. {part.note}"), PROMPT_LIMIT)
    sheet.data_validation(
        row,
        1,
        row,
        1,
        {
            "validate": "decimal",
            "criteria": "between",
            "minimum": part.low,
            "maximum": part.high,
            "input_title": clipped(visible(part.label), PROMPT_TITLE_LIMIT),
            "input_message": prompt,
            "error_title": "Outside the limits",
            "error_message": clipped(f"A number from {reach} is needed.", PROMPT_LIMIT),
        },
    )


def _output(book: Book, sheet: Worksheet, row: int, part: WhatIfOutput) -> None:
    strong = book.style(num_format=_look(part), align="right", bold=True, bg_color="#EDF4FB")
    book.text(sheet, row, 0, part.label)
    cached: Any = part.value
    sheet.write_formula(row, 1, "=" + part.formula.strip().removeprefix("="), strong, cached)
    book.text(sheet, row, 2, _text_of(part, part.value), book.style(align="right", font_color=SOFT))
    book.text(sheet, row, 3, part.note, book.style(text_wrap=True, font_color=SOFT, align="left", indent=1))


def _name(book: Book, sheet: Worksheet, row: int, name: str, *, local: bool) -> None:
    place = str(sheet.name).replace("'", "''")
    scope = f"'{place}'!" if local else ""
    book.workbook.define_name(f"{scope}{name}", f"='{place}'!{xl_rowcol_to_cell(row, 1, True, True)}")
