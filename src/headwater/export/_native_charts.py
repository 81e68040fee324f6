"""Charts that Excel draws itself, from cells the reader can see on the sheet ``Chart data``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from xlsxwriter.chart import Chart as ExcelChart
from xlsxwriter.utility import xl_range_abs
from xlsxwriter.worksheet import Worksheet

from headwater.core.block import Chart, ChartKind, Field, Form
from headwater.export._book import LINE, SOFT, Book
from headwater.export._forms import decimals, is_number, is_numeric, label_with_unit, number_format
from headwater.export._plot import PALETTE, Plot, plot_of
from headwater.export._text import clipped, visible

__all__ = ["CHART_WIDTH", "ChartData", "height_of"]

SHEET: Final = "Chart data"
FONT: Final = {"size": 9, "color": SOFT}
CHART_WIDTH: Final = 820
HEIGHT: Final = 300
PER_BAR: Final = 26
MANY_POINTS: Final = 30
LABEL_LIMIT: Final = 200
DATE_TICKS: Final = 6
ROUND_STEPS: Final = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10, 12)
ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A plot and the row of its header on the data sheet."""

    plot: Plot
    header: int

    @property
    def width(self) -> int:
        return 5 if self.plot.banded else 1

    def column(self, series: int, part: int = 0) -> int:
        """Parts: 0 value, 1 low, 2 high, 3 down to low, 4 up to high."""
        return 1 + series * self.width + part

    @property
    def n_rows(self) -> int:
        return max(len(self.plot.categories), 1)

    def span(self, column: int, rows: int | None = None) -> str:
        cells = xl_range_abs(self.header + 1, column, self.header + (rows or self.n_rows), column)
        return f"='{SHEET}'!{cells}"


class ChartData:
    """Places charts on sheets and, at the end, writes the cells they draw."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._placed: list[_Placed] = []
        self._next = 2

    def insert(self, sheet: Worksheet, row: int, chart: Chart) -> int:
        """Put the chart at ``row``; returns its height in pixels."""
        placed = _Placed(plot=plot_of(chart), header=self._next + 2)
        self._next += max(placed.n_rows, 2) + 5
        self._placed.append(placed)
        drawn, height = self._draw(placed), height_of(placed.plot)
        drawn.set_size({"width": CHART_WIDTH, "height": height})
        drawn.set_title({"none": True})
        drawn.set_chartarea({"border": {"color": LINE}})
        shared = len(placed.plot.series) > 1 or chart.kind is ChartKind.CALIBRATION
        helpers = self._helpers(placed)
        drawn.set_legend(
            {"position": "top", "font": FONT, "delete_series": helpers} if shared else {"none": True}
        )
        place = {
            "object_position": 1,
            "x_offset": 4,
            "y_offset": 2,
            "description": clipped(visible(chart.finding), 255),
        }
        sheet.insert_chart(row, 0, drawn, place)
        return height

    def write(self) -> None:
        """Write the sheet with every chart's cells, if there is a chart."""
        if not self._placed:
            return
        sheet = self._book.sheet(SHEET)
        sheet.set_column(0, 0, 30)
        sheet.set_column(1, 40, 16)
        self._book.text(
            sheet, 0, 0, "The cells behind the pictures", self._book.style(bold=True, font_size=14)
        )
        for placed in self._placed:
            self._write_one(sheet, placed)

    def _draw(self, placed: _Placed) -> ExcelChart:
        kind, plot = placed.plot.chart.kind, placed.plot
        if kind is ChartKind.CALIBRATION or (kind is ChartKind.LINE and is_numeric(plot.at.form)):
            return self._scatter(placed)
        if kind is ChartKind.BAR and plot.on_its_side:
            return self._sideways(placed)
        return self._upright(placed, "column" if kind is ChartKind.BAR else "line")

    def _chart(self, kind: str, subtype: str = "") -> ExcelChart:
        chart = self._book.workbook.add_chart({"type": kind, **({"subtype": subtype} if subtype else {})})
        if chart is None:
            raise ValueError(kind)
        return chart

    def _scatter(self, placed: _Placed) -> ExcelChart:
        line = placed.plot.chart.kind is ChartKind.LINE
        chart = self._chart("scatter", "straight_with_markers" if line else "")
        for i, color in _colored(placed):
            look = {
                "line": {"color": color, "width": 2.25} if line else {"none": True},
                "marker": _marker(color),
            }
            chart.add_series({**self._series(placed, i), **look, **self._bars(placed, i, color)})
        if not line:
            chart.add_series(self._diagonal(placed))
        self._axes(chart, placed)
        return chart

    def _upright(self, placed: _Placed, kind: str) -> ExcelChart:
        chart, plot = self._chart(kind), placed.plot
        lined = plot.chart.kind is ChartKind.LINE
        for i, color in _colored(placed):
            look: dict[str, Any] = {"fill": {"color": color}, "gap": 60, "overlap": 0}
            if kind == "line":
                stroke = {"color": color, "width": 2.25} if lined else {"none": True}
                look = {"line": stroke, "marker": _marker(color)}
            ink = "#17212B" if kind == "column" else color
            chart.add_series({**self._series(placed, i), **look, **self._bars(placed, i, ink)})
        if placed.plot.banded and placed.n_rows > MANY_POINTS:
            self._thin_edges(chart, placed)
        self._axes(chart, placed)
        return chart

    def _sideways(self, placed: _Placed) -> ExcelChart:
        chart = self._chart("bar")
        for i, color in _colored(placed):
            look = {"fill": {"color": color}, "gap": 50, "overlap": 0}
            chart.add_series({**self._series(placed, i), **look, **self._bars(placed, i, "#17212B")})
        plain = {"num_font": FONT, "line": {"color": SOFT}, "major_tick_mark": "none"}
        chart.set_y_axis({**plain, "reverse": True, "crossing": "max", "major_gridlines": {"visible": False}})
        chart.set_x_axis(self._value_axis(placed))
        return chart

    def _thin_edges(self, chart: ExcelChart, placed: _Placed) -> None:
        for i, color in _colored(placed):
            for part in (1, 2):
                edge = {"color": color, "width": 0.75, "dash_type": "dash"}
                chart.add_series({**self._series(placed, i, part), "line": edge, "marker": {"type": "none"}})

    def _helpers(self, placed: _Placed) -> list[int]:
        n = len(placed.plot.series)
        edges = (
            placed.plot.banded and placed.n_rows > MANY_POINTS and placed.plot.chart.kind is ChartKind.LINE
        )
        thin = edges and not is_numeric(placed.plot.at.form)
        return list(range(n, n + 2 * n)) if thin else []

    def _series(self, placed: _Placed, i: int, part: int = 0) -> dict[str, Any]:
        column = placed.column(i, part)
        return {
            "name": [SHEET, placed.header, column],
            "categories": placed.span(0),
            "values": placed.span(column),
        }

    def _bars(self, placed: _Placed, i: int, color: str) -> dict[str, Any]:
        if not placed.plot.banded or placed.n_rows > MANY_POINTS:
            return {}
        bars = {
            "type": "custom",
            "plus_values": placed.span(placed.column(i, 4)),
            "minus_values": placed.span(placed.column(i, 3)),
            "line": {"color": color, "width": 1.25},
        }
        return {"y_error_bars": bars}

    def _diagonal(self, placed: _Placed) -> dict[str, Any]:
        column = placed.column(len(placed.plot.series))
        return {
            "name": [SHEET, placed.header, column + 1],
            "categories": placed.span(column, 2),
            "values": placed.span(column + 1, 2),
            "line": {"color": SOFT, "width": 1.25, "dash_type": "dash"},
            "marker": {"type": "none"},
        }

    def _axes(self, chart: ExcelChart, placed: _Placed) -> None:
        at = placed.plot.at
        axis = {
            "name": [SHEET, placed.header, 0],
            "name_font": {**FONT, "bold": False},
            "num_font": FONT,
            "num_format": number_format(at, 0) if at.form is not Form.TEXT else "General",
            "line": {"color": SOFT},
            "major_gridlines": {"visible": False},
            "label_position": "low",
        }
        if at.form is Form.DATE and placed.plot.chart.kind is ChartKind.LINE:
            axis |= {"date_axis": True, "num_format": "d mmm yyyy", **_date_steps(placed.plot)}
        if is_numeric(at.form) and placed.plot.chart.kind in {ChartKind.LINE, ChartKind.CALIBRATION}:
            axis |= {"min": 0} if all(float(c) >= 0 for c in placed.plot.categories if is_number(c)) else {}
        chart.set_x_axis(axis)
        chart.set_y_axis(self._value_axis(placed))

    def _value_axis(self, placed: _Placed) -> dict[str, Any]:
        value = placed.plot.value
        largest = max((abs(p.value) for p in placed.plot.points if p.value is not None), default=0.0)
        coarse = largest >= (0.05 if value.form is Form.SHARE else 5)
        places = 0 if coarse else min(_places(placed.plot), 2)
        return {
            "name": [SHEET, placed.header - 1, 1],
            "name_font": {**FONT, "bold": False},
            "num_font": FONT,
            "num_format": number_format(value, places),
            "line": {"none": True},
            "major_gridlines": {"visible": True, "line": {"color": LINE, "width": 0.75}},
            "major_tick_mark": "none",
            **_value_ends(placed.plot),
        }

    def _write_one(self, sheet: Worksheet, placed: _Placed) -> None:
        book, plot, head = self._book, placed.plot, placed.header
        strong = book.style(bold=True, bottom=1, bottom_color=LINE)
        right = book.style(bold=True, align="right", indent=1, bottom=1, bottom_color=LINE)
        book.text(sheet, head - 2, 0, plot.chart.title, book.style(bold=True))
        book.text(
            sheet, head - 1, 1, clipped(_unit_label(plot.value), LABEL_LIMIT), book.style(font_color=SOFT)
        )
        book.text(sheet, head, 0, clipped(_unit_label(plot.at), LABEL_LIMIT), strong)
        for i, series in enumerate(plot.series):
            names = (
                clipped(series or plot.value.label, LABEL_LIMIT),
                "low",
                "high",
                "value to low",
                "value to high",
            )
            for part in range(placed.width):
                book.text(sheet, head, placed.column(i, part), names[part], right)
        if plot.chart.kind is ChartKind.CALIBRATION:
            column = placed.column(len(plot.series))
            book.text(sheet, head, column, "Predicted", right)
            book.text(sheet, head, column + 1, "Perfect agreement", right)
        for offset in range(max(placed.n_rows, 2)):
            self._write_row(sheet, placed, offset)

    def _write_row(self, sheet: Worksheet, placed: _Placed, offset: int) -> None:
        book, plot, row = self._book, placed.plot, placed.header + 1 + offset
        if offset < len(plot.categories):
            at = plot.categories[offset]
            label = clipped(at, LABEL_LIMIT) if isinstance(at, str) else at
            book.cell(sheet, (row, 0), label, form=plot.at.form, style=book.style_of(plot.at, 2))
            look = book.style_of(plot.value, _places(plot))
            for i, series in enumerate(plot.series):
                point = plot.of(series).get(at)
                if point is None or point.value is None:
                    continue
                known = point.low is not None and point.high is not None
                low, high = (point.low, point.high) if known else (point.value, point.value)
                cells = (
                    point.value,
                    low,
                    high,
                    point.value - float(low or 0),
                    float(high or 0) - point.value,
                )
                for part in range(placed.width):
                    place = (row, placed.column(i, part))
                    book.cell(sheet, place, cells[part], form=plot.value.form, style=look)
        if plot.chart.kind is ChartKind.CALIBRATION and offset < 2:
            edge = _reach(plot)[offset]
            column = placed.column(len(plot.series))
            for place in (column, column + 1):
                book.cell(sheet, (row, place), edge, form=plot.value.form, style=book.style_of(plot.value, 2))


def height_of(plot: Plot) -> int:
    """Pixels the drawn chart is high."""
    kind = plot.chart.kind
    if kind is ChartKind.BAR and plot.on_its_side:
        bars = max(1, len(plot.categories)) * max(1, len(plot.series))
        return max(HEIGHT // 2, 90 + PER_BAR * bars)
    return HEIGHT + 80 if kind is ChartKind.CALIBRATION else HEIGHT


def _colored(placed: _Placed) -> list[tuple[int, str]]:
    return [(i, PALETTE[i % len(PALETTE)]) for i in range(len(placed.plot.series))]


def _marker(color: str) -> dict[str, Any]:
    return {"type": "circle", "size": 6, "fill": {"color": color}, "border": {"color": color}}


def _value_ends(plot: Plot) -> dict[str, float]:
    """Ends of the value axis that hold every interval; a program that draws may look at the values alone."""
    values = [v for p in plot.points for v in (p.value, p.low, p.high) if v is not None]
    if not plot.banded or not values:
        return {}
    low, high = min(values), max(values)
    ends = {"max": _round_up(high)} if high > 0 else {}
    if low < 0:
        return {**ends, "min": -_round_up(-low)}
    return {**ends, "min": 0.0} if plot.chart.kind is ChartKind.BAR or low < high / 2 else ends


def _round_up(value: float) -> float:
    unit = 10.0 ** math.floor(math.log10(value))
    return next(round(step * unit, 12) for step in ROUND_STEPS if step * unit >= value * (1 - ROUNDING))


def _places(plot: Plot) -> int:
    return decimals(plot.value, (point.value for point in plot.points))


def _date_steps(plot: Plot) -> dict[str, Any]:
    try:
        days = [date.fromisoformat(str(at)[:10]).toordinal() for at in plot.categories]
    except ValueError:
        return {}
    step = -(-(max(days) - min(days)) // DATE_TICKS) if days else 0
    return {"major_unit": step, "major_unit_type": "days"} if step > 0 else {}


def _unit_label(field: Field) -> str:
    return (
        f"{field.label} ({field.unit})" if field.form is Form.MONEY and field.unit else label_with_unit(field)
    )


def _reach(plot: Plot) -> tuple[float, float]:
    ends = [v for p in plot.points for v in (p.at, p.value, p.low, p.high) if is_number(v)]
    numbers = [float(end) for end in ends]
    return min([0.0, *numbers]), max([0.0, *numbers])
