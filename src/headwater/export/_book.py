"""A workbook into which text goes as text and numbers as numbers, whatever they look like."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from headwater.core.block import Cell, Field, Form
from headwater.export._forms import is_number, number_format
from headwater.export._names import sheet_name
from headwater.export._text import clipped, estimated_lines, visible

__all__ = ["ACCENT", "INK", "LINE", "SOFT", "Book"]

INK: Final = "#17212B"
SOFT: Final = "#51606F"
ACCENT: Final = "#1F5F9E"
LINE: Final = "#DFE5EA"
CELL_LIMIT: Final = 32_767
EXACT: Final = 999_999_999_999_999
FIRST_YEAR: Final = 1900
USUAL_SIZE: Final = 11
LINE_POINTS: Final = 15.75
TALLEST: Final = 400.0
SEEN: Final = 4_000
PAPER_A4: Final = 9
UNDATED: Final = datetime(2000, 1, 1)
OPTIONS: Final = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "nan_inf_to_errors": True,
    "use_future_functions": True,
}


class Book:
    """An XlsxWriter workbook with the only doors through which cells are written.

    ``streamed`` writes rows to disk as they come: no Excel Tables then, and rows in order only.
    ``n_cut`` and ``n_replaced`` count the texts that could not be written as they were.
    """

    def __init__(self, path: Path, *, title: str, streamed: bool, scratch: str) -> None:
        self.streamed = streamed
        self.workbook = Workbook(str(path), {**OPTIONS, "constant_memory": streamed, "tmpdir": scratch})
        self.workbook.set_properties({"title": clipped(visible(title), 255), "created": UNDATED})
        self.workbook.set_size(2400, 1500)
        self.tables: list[str] = []
        self.n_cut = 0
        self.n_replaced = 0
        self._formats: dict[tuple[tuple[str, Any], ...], Format] = {}

    def abandon(self) -> None:
        """Let go of the files of rows without writing the workbook."""
        for sheet in self.workbook.worksheets():
            if self.streamed and sheet.row_data_fh:
                sheet.row_data_fh.close()

    def sheet(self, wanted: str) -> Worksheet:
        """A new sheet under a legal and unique name close to ``wanted``, set up for printing."""
        name = sheet_name(wanted, [sheet.name or "" for sheet in self.workbook.worksheets()])
        sheet = self.workbook.add_worksheet(name)
        sheet.hide_gridlines(2)
        sheet.set_landscape()
        sheet.set_paper(PAPER_A4)
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.5, right=0.5, top=0.6, bottom=0.6)
        sheet.set_footer("&C&P / &N")
        return sheet

    def style(self, **properties: Any) -> Format:
        """The format with these properties; each is made once."""
        key = tuple(sorted(properties.items()))
        if key not in self._formats:
            self._formats[key] = self.workbook.add_format({"font_color": INK, "valign": "top", **properties})
        return self._formats[key]

    def style_of(self, field: Field, places: int, **properties: Any) -> Format:
        """The format of a column's cells."""
        if field.form in {Form.TEXT, Form.ID}:
            return self.style(num_format="@", align="left", indent=1, **properties)
        if field.form is Form.BOOLEAN:
            return self.style(align="left", indent=1, **properties)
        look = number_format(field, places)
        side = "left" if field.form is Form.DATE else "right"
        return self.style(num_format=look, align=side, indent=1, **properties)

    def text(self, sheet: Worksheet, row: int, column: int, text: str, style: Format | None = None) -> None:
        """Write text as text: ``=1+1`` stays four characters."""
        fit = visible(text)
        self.n_replaced += fit != text
        held = clipped(fit, CELL_LIMIT)
        self.n_cut += held != fit
        sheet.write_string(row, column, held, style or self.style())

    def fit(self, sheet: Worksheet, row: int, text: str, columns: int, size: int) -> float:
        """Make the row high enough for the text, wrapped at ``columns`` usual characters; returns its points."""
        lines = estimated_lines(clipped(visible(text), SEEN), int(columns * USUAL_SIZE / size))
        points = min(TALLEST, LINE_POINTS * size / USUAL_SIZE * lines + 2)
        sheet.set_row(row, points)
        return points

    def paragraph(self, sheet: Worksheet, row: int, widths: Sequence[int], text: str, **look: Any) -> float:
        """Write text over the first columns, whose widths are given; returns the points its row is high."""
        points = self.fit(sheet, row, text, sum(widths), look.get("font_size", USUAL_SIZE))
        self.spread(sheet, row, len(widths) - 1, text, self.style(text_wrap=True, **look))
        return points

    def spread(self, sheet: Worksheet, row: int, last_column: int, text: str, style: Format) -> None:
        """Write text over the columns from the first to ``last_column``."""
        if last_column > 0:
            sheet.merge_range(row, 0, row, last_column, "", style)
        self.text(sheet, row, 0, text, style)

    def cell(self, sheet: Worksheet, at: tuple[int, int], cell: Cell, *, form: Form, style: Format) -> None:
        """Write a value: an id or a number Excel would round stays text, an unknown value stays empty."""
        row, column = at
        if cell is None:
            sheet.write_blank(row, column, None, style)
        elif isinstance(cell, bool):
            sheet.write_boolean(row, column, cell, style)
        elif is_number(cell) and form not in {Form.ID, Form.TEXT} and abs(cell) <= EXACT:
            sheet.write_number(row, column, cell, style)
        elif isinstance(cell, str) and form is Form.DATE and (moment := _moment(cell)):
            sheet.write_datetime(row, column, moment, style)
        elif isinstance(cell, float) and not is_number(cell):
            self.text(sheet, row, column, "not finite", style)
        else:
            self.text(sheet, row, column, str(cell), style)

    def notes(self) -> list[str]:
        """What could not be written as it was, in sentences."""
        said: list[str] = []
        if self.n_cut:
            said.append(
                f"{self.n_cut:,} texts were longer than {CELL_LIMIT:,} characters and end with an ellipsis."
            )
        if self.n_replaced:
            said.append(f"{self.n_replaced:,} texts held control characters; each is shown as U+FFFD.")
        if self.streamed:
            said.append(
                "The tables are large: they are plain ranges with filters and names, not Excel Tables."
            )
        return said


def _moment(text: str) -> datetime | None:
    """The calendar day a text names, or None where Excel could not hold it exactly."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime.combine(day, time()) if day.year > FIRST_YEAR else None
