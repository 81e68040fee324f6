"""Laying out a page on a sheet: text over the columns, tables and pictures one below the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from xlsxwriter.format import Format
from xlsxwriter.utility import xl_range_abs
from xlsxwriter.worksheet import Worksheet

from headwater.core.block import Callout, Cell, Chart, Field, Grid, Heading, Page, Prose
from headwater.core.finding import Severity
from headwater.export._book import ACCENT, SOFT, Book
from headwater.export._forms import decimals, is_numeric, label_with_unit, shown
from headwater.export._names import column_headers, table_name
from headwater.export._native_charts import CHART_WIDTH, ChartData, height_of
from headwater.export._plot import plot_of
from headwater.export._rows import checked_rows
from headwater.export._text import clipped, visible, width_of

__all__ = ["COLORS", "MOST_ROWS", "WORDS", "PageSheet"]

WORDS: Final = {Severity.NOTE: "i  Note", Severity.WARN: "!  Warning", Severity.BLOCK: "×  Blocked"}
COLORS: Final = {
    Severity.NOTE: ("#1F5F9E", "#EDF4FB"),
    Severity.WARN: ("#8A5300", "#FDF4E3"),
    Severity.BLOCK: ("#A3242C", "#FCECEC"),
}
MOST_ROWS: Final = 1_048_576
INLINE_ROWS: Final = 60
SAMPLE: Final = 200
NARROW: Final = 10
WIDE: Final = 46
TEXT_COLUMNS: Final = 112
PIXELS_PER_ROW: Final = 20
PIXELS_PER_CHARACTER: Final = 8
CELL_PADDING: Final = 5
POINTS_PER_PIXEL: Final = 0.75
PAPER_WIDTH: Final = 1020  # A4 landscape inside the margins, at 96 dots per inch
PAPER_HEIGHT: Final = 640


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """What a look at the first rows of a grid decides: headers, decimals, widths."""

    headers: list[str]
    places: list[int]
    widths: list[int]


def _layout(grid: Grid) -> _Layout:
    sample = tuple(islice(grid.stream(), SAMPLE))
    headers = column_headers(label_with_unit(field) for field in grid.fields)
    columns = [[row[i] for row in sample if i < len(row)] for i in range(len(grid.fields))]
    places = [decimals(field, column) for field, column in zip(grid.fields, columns, strict=True)]
    widths = [
        _width(header, field, column, place)
        for header, field, column, place in zip(headers, grid.fields, columns, places, strict=True)
    ]
    return _Layout(headers=headers, places=places, widths=widths)


def _width(header: str, field: Field, column: list[Cell], places: int) -> int:
    longest = max((width_of(clipped(shown(cell, field, places), WIDE)) for cell in column), default=0)
    return min(WIDE, max(NARROW, longest + 4, width_of(header) + 5))


class PageSheet:
    """One page of the document on a sheet of its own; long tables get sheets of their own beside it."""

    def __init__(self, book: Book, charts: ChartData, page: Page) -> None:
        self._book, self._charts, self._page = book, charts, page
        self._sheet = book.sheet(page.title)
        self._layouts = {id(b): _layout(b) for b in page.blocks if isinstance(b, Grid)}
        self._widths = self._set_columns()
        self._row = 0
        self._used = 0.0
        self._breaks: list[int] = []

    def write(self) -> None:
        """Write the page and its long tables."""
        self._line(self._page.title, size=16, bold=True)
        self._row += 1
        self._sheet.freeze_panes(1, 0)
        for block in self._page.blocks:
            self._block(block)
        self._sheet.set_h_pagebreaks(self._breaks)

    def _set_columns(self) -> list[int]:
        """Fit the columns to the short tables; returns the widths of those that text may span."""
        inline = [
            self._layouts[id(b)].widths for b in self._page.blocks if isinstance(b, Grid) and _is_short(b)
        ]
        n = max((len(widths) for widths in inline), default=0)
        widths = [max(each[i] for each in inline if i < len(each)) for i in range(n)]
        while sum(widths) < TEXT_COLUMNS:
            widths.append(14)
        for i, width in enumerate(widths):
            self._sheet.set_column(i, i, width)
        n_text = next(i for i in range(1, len(widths) + 1) if sum(widths[:i]) >= TEXT_COLUMNS)
        used = widths[: max(n, n_text)]
        pixels = sum(PIXELS_PER_CHARACTER * width + CELL_PADDING for width in used)
        self._page_height = PAPER_HEIGHT * max(1.0, max(pixels, CHART_WIDTH) / PAPER_WIDTH)
        return widths[:n_text]

    def _keep_together(self, pixels: float) -> None:
        """Begin a new printed page where the next block would not fit on this one."""
        if self._used and self._used + pixels > self._page_height and pixels <= self._page_height:
            self._breaks.append(self._row)
            self._used = 0.0
        self._used += pixels

    def _block(self, block: object) -> None:
        match block:
            case Heading():
                self._row += 1
                self._line(block.text, size=13 if block.level <= 2 else 11, bold=True)
            case Prose():
                self._line(block.text, size=13 if block.lead else 11)
            case Callout():
                self._callout(block)
            case Chart():
                self._chart(block)
            case Grid():
                self._grid(block)
            case _:
                pass

    def _line(
        self, text: str, *, size: int = 11, bold: bool = False, color: str = "", fill: str = ""
    ) -> None:
        look: dict[str, object] = {"font_size": size, "bold": bold}
        look |= {"font_color": color} if color else {}
        look |= {"bg_color": fill} if fill else {}
        points = self._book.paragraph(self._sheet, self._row, self._widths, text, **look)
        self._used += points / POINTS_PER_PIXEL
        self._row += 1

    def _callout(self, callout: Callout) -> None:
        finding = callout.finding
        color, fill = COLORS[finding.severity]
        self._line(f"{WORDS[finding.severity]}   {finding.code}", bold=True, color=color, fill=fill)
        self._line(finding.what, bold=True, fill=fill)
        self._line(f"{finding.why} Next step: {finding.do}", fill=fill)
        self._row += 1

    def _chart(self, chart: Chart) -> None:
        self._row += 1
        if not plot_of(chart).series:  # Excel has no chart of nothing
            self._line(chart.title, size=12, bold=True)
            self._line(chart.finding, color=SOFT)
            return
        self._keep_together(height_of(plot_of(chart)) + 2 * PIXELS_PER_ROW)
        self._line(chart.title, size=12, bold=True)
        self._line(chart.finding, color=SOFT)
        height = self._charts.insert(self._sheet, self._row, chart)
        self._row += height // PIXELS_PER_ROW + 2

    def _grid(self, grid: Grid) -> None:
        self._row += 1
        self._keep_together((grid.n_rows + 2) * PIXELS_PER_ROW if _is_short(grid) else 0)
        self._line(grid.title, size=12, bold=True)
        if grid.note:
            self._line(grid.note, color=SOFT)
        if _is_short(grid):
            self._row = self._table(self._sheet, self._row, grid, most=grid.n_rows) + 1
        else:
            self._long_table(grid)

    def _long_table(self, grid: Grid) -> None:
        sheet, top = self._book.sheet(grid.title), 0
        self._line(f"{grid.n_rows:,} rows, on the sheet '{sheet.get_name()}'.", color=SOFT)
        for i, width in enumerate(self._layouts[id(grid)].widths):
            sheet.set_column(i, i, width)
        most = min(grid.n_rows, MOST_ROWS - 1)
        if grid.n_rows > most:
            most -= 1
            missing = grid.n_rows - most
            fact = f"A sheet holds {most:,} of the {grid.n_rows:,} rows; the other {missing:,} are not here."
            warned = self._book.style(bold=True, font_color=COLORS[Severity.WARN][0])
            self._book.text(sheet, 0, 0, fact, warned)
            self._line(fact, bold=True, color=COLORS[Severity.WARN][0])
            top = 1
        self._table(sheet, top, grid, most=most)
        sheet.freeze_panes(top + 1, 1)
        sheet.repeat_rows(top)

    def _table(self, sheet: Worksheet, top: int, grid: Grid, *, most: int) -> int:
        book, layout = self._book, self._layouts[id(grid)]
        looks = [book.style_of(f, p) for f, p in zip(grid.fields, layout.places, strict=True)]
        heads = [self._head(field) for field in grid.fields]
        for i, header in enumerate(layout.headers):
            book.text(sheet, top, i, header, heads[i])
            self._comment(sheet, top, i, grid.fields[i])
        row = top
        for row, cells in enumerate(checked_rows(grid, at_most=most), start=top + 1):
            for i, cell in enumerate(cells):
                book.cell(sheet, (row, i), cell, form=grid.fields[i].form, style=looks[i])
        if grid.fields and row > top:
            self._as_table(sheet, (top, row), grid, heads)
        elif row == top:
            row += 1
            book.text(sheet, row, 0, "No rows.", book.style(font_color=SOFT))
        return row + 1

    def _as_table(self, sheet: Worksheet, rows: tuple[int, int], grid: Grid, heads: list[Format]) -> None:
        name = table_name(grid.name, self._book.tables)
        self._book.tables.append(name)
        last = len(grid.fields) - 1
        if self._book.streamed:
            place = str(sheet.name).replace("'", "''")
            self._book.workbook.define_name(name, f"='{place}'!{xl_range_abs(rows[0], 0, rows[1], last)}")
            if not _is_short(grid):
                sheet.autofilter(rows[0], 0, rows[1], last)
            return
        headers = self._layouts[id(grid)].headers
        columns = [{"header": h, "header_format": f} for h, f in zip(headers, heads, strict=True)]
        look = {"style": "Table Style Light 1", "autofilter": not _is_short(grid)}
        options = {"name": name, "columns": columns, **look}
        sheet.add_table(rows[0], 0, rows[1], last, options)

    def _head(self, field: Field) -> Format:
        align = "right" if is_numeric(field.form) else "left"
        return self._book.style(
            bold=True,
            align=align,
            indent=1,
            bg_color="#F0F4F7",
            bottom=1,
            bottom_color=ACCENT,
            font_color=SOFT,
        )

    def _comment(self, sheet: Worksheet, row: int, column: int, field: Field) -> None:
        if field.note:
            options = {"author": "", "x_scale": 2.0, "y_scale": 0.8, "color": "#FFFFFF", "font_size": 9}
            sheet.write_comment(row, column, clipped(visible(field.note), 1_000), options)


def _is_short(grid: Grid) -> bool:
    return grid.n_rows <= INLINE_ROWS
