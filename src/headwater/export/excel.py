"""A report as a workbook: text that stays text, tables that stay tables, a model that answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final

from xlsxwriter.worksheet import Worksheet

from headwater.core.block import Callout, Chart, Code, Document, Grid, Page, Prose, WhatIf
from headwater.export._atomic import replacing
from headwater.export._book import ACCENT, LINE, SOFT, Book
from headwater.export._native_charts import ChartData
from headwater.export._sheets import COLORS, WORDS, PageSheet
from headwater.export._what_if import checked, write_what_if

__all__ = ["Excel"]

STREAMED_CELLS: Final = 1_000_000
SUMMARY_WIDTHS: Final = (14, 118)
METHOD_WIDTHS: Final = (30, 26, 30, 14, 70)


class Excel:
    """Writes a document as a workbook: summary, a sheet per page, long tables, live model, method."""

    suffix: ClassVar[str] = ".xlsx"

    def write(self, document: Document, path: Path) -> None:
        """Write the whole workbook to ``path``, or nothing.

        Parameters
        ----------
        document
            What to write. Every text in it is written as text, whatever it looks like; the only
            formulas are those of ``WhatIfOutput``, checked against a list of functions.
        path
            The file to make or replace; its folder must exist.

        Raises
        ------
        UsageError
            ``export.no_folder``, ``export.chart_role``, ``export.ragged_row``, ``export.row_count``,
            ``export.what_if_name``, ``export.what_if_value``, ``export.what_if_formula``.
        """
        for block in _what_ifs(document):
            checked(block)
        streamed = _n_cells(document) > STREAMED_CELLS
        with replacing(path) as draft, TemporaryDirectory() as scratch:
            book = Book(draft, title=document.title, streamed=streamed, scratch=scratch)
            try:
                _fill(book, document)
                book.workbook.close()
            except BaseException:
                book.abandon()
                raise


def _n_cells(document: Document) -> int:
    return sum(
        b.n_rows * len(b.fields) for page in document.pages for b in page.blocks if isinstance(b, Grid)
    )


def _what_ifs(document: Document) -> Iterator[WhatIf]:
    return (b for page in document.pages for b in page.blocks if isinstance(b, WhatIf))


def _fill(book: Book, document: Document) -> None:
    summary = book.sheet("Summary")
    charts = ChartData(book)
    uses = Counter(p.name.casefold() for b in _what_ifs(document) for p in (*b.inputs, *b.outputs))
    book.tables.extend(uses)
    for page in document.pages:
        models = [block for block in page.blocks if isinstance(block, WhatIf)]
        if len(models) < len(page.blocks) or not models:
            PageSheet(book, charts, page).write()
        for block in models:
            local = any(uses[p.name.casefold()] > 1 for p in (*block.inputs, *block.outputs))
            write_what_if(book, block, local=local)
    _summarize(book, summary, document)
    _explain(book, document)
    charts.write()
    summary.activate()


def _summarize(book: Book, sheet: Worksheet, document: Document) -> None:
    for column, width in enumerate(SUMMARY_WIDTHS):
        sheet.set_column(column, column, width)
    book.paragraph(sheet, 0, SUMMARY_WIDTHS, document.title, bold=True, font_size=12, font_color=ACCENT)
    book.paragraph(sheet, 1, SUMMARY_WIDTHS, document.lead, font_size=18)
    row = 3
    for page in document.pages:
        row = _summarize_page(book, sheet, row, page) + 1


def _summarize_page(book: Book, sheet: Worksheet, row: int, page: Page) -> int:
    title = f"{page.title}  (for analysts)" if page.analyst else page.title
    book.paragraph(sheet, row, SUMMARY_WIDTHS, title, bold=True, font_size=13, bottom=1, bottom_color=LINE)
    row += 1
    for block in page.blocks:
        if isinstance(block, Prose):
            book.paragraph(sheet, row, SUMMARY_WIDTHS, block.text, font_size=13 if block.lead else 11)
            row += 1
        elif isinstance(block, Callout):
            row = _summarize_callout(book, sheet, row, block)
        elif isinstance(block, Chart | Grid | WhatIf):
            book.paragraph(sheet, row, SUMMARY_WIDTHS, _in_short(block), font_color=SOFT)
            row += 1
    return row


def _in_short(block: Chart | Grid | WhatIf) -> str:
    match block:
        case Chart():
            return f"Picture: {block.finding}"
        case Grid():
            return f"Table: {block.title} ({block.n_rows:,} rows)"
        case WhatIf():
            return f"Live model: {block.title}"


def _summarize_callout(book: Book, sheet: Worksheet, row: int, callout: Callout) -> int:
    finding = callout.finding
    color, fill = COLORS[finding.severity]
    reason = f"{finding.why} Next step: {finding.do}"
    lines = ((WORDS[finding.severity], finding.what, True), (finding.code, reason, False))
    for tag, text, strong in lines:
        book.fit(sheet, row, text, SUMMARY_WIDTHS[1], 11)
        tagged = book.style(bold=strong, font_color=color, bg_color=fill, text_wrap=True)
        book.text(sheet, row, 0, tag, tagged)
        book.text(sheet, row, 1, text, book.style(bold=strong, bg_color=fill, text_wrap=True))
        row += 1
    return row


def _explain(book: Book, document: Document) -> None:
    sheet = book.sheet("How it was computed")
    for column, width in enumerate(METHOD_WIDTHS):
        sheet.set_column(column, column, width)
    book.paragraph(sheet, 0, METHOD_WIDTHS, "How it was computed", bold=True, font_size=16)
    row = _facts(book, sheet, 2, document)
    row = _dictionary(book, sheet, row + 1, document)
    for code in (b for page in document.pages for b in page.blocks if isinstance(b, Code)):
        row = _code(book, sheet, row + 1, code)


def _facts(book: Book, sheet: Worksheet, row: int, document: Document) -> int:
    for key, value in (*document.provenance, *(("Note", note) for note in book.notes())):
        book.text(sheet, row, 0, key, book.style(font_color=SOFT, text_wrap=True))
        book.text(sheet, row, 1, value)
        row += 1
    return row


def _dictionary(book: Book, sheet: Worksheet, row: int, document: Document) -> int:
    grids = [b for page in document.pages for b in page.blocks if isinstance(b, Grid)]
    if not grids:
        return row
    strong = book.style(bold=True, font_color=SOFT, bottom=1, bottom_color=LINE)
    for column, head in enumerate(("Table", "Column", "Label", "Unit", "Meaning")):
        book.text(sheet, row, column, head, strong)
    for grid in grids:
        for field in grid.fields:
            row += 1
            cells = (grid.name, field.name, field.label, field.unit or field.form.value, field.note)
            for column, cell in enumerate(cells):
                book.text(sheet, row, column, cell, book.style(text_wrap=True))
    return row + 1


def _code(book: Book, sheet: Worksheet, row: int, code: Code) -> int:
    book.text(sheet, row, 0, f"{code.title} ({code.language})", book.style(bold=True))
    for line in code.text.splitlines():
        row += 1
        book.text(sheet, row, 0, line, book.style(font_name="Consolas", font_size=10))
    return row + 1
