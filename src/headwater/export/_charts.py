"""Charts as Vega-Lite specs, built with Altair.

No name from the data becomes a Vega field or expression: columns are called ``at``, ``value``, ``low``,
``high``, ``series`` and ``tip``, and the tooltip is one ready text. Vega-Lite pastes axis titles (to describe
marks for screen readers) and explicit orders of categories into expressions, so neither is used: the figure
has a label and a table, and categories stand in the order of the rows.
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt

from headwater.core.block import Cell, Chart, ChartKind, Field, Form
from headwater.export._forms import is_number, is_numeric, shown
from headwater.export._plot import PALETTE, Plot, plot_of
from headwater.export._text import visible

__all__ = ["vega_spec"]

RULE = "#8795a3"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "Noto Sans CJK SC", sans-serif'
_AUTOSIZE = alt.AutoSizeParams(type="fit-x", contains="padding")


def vega_spec(chart: Chart) -> dict[str, Any]:
    """The chart as a Vega-Lite spec with its data inside. Raises what ``plot_of`` raises."""
    plot = plot_of(chart)
    draw = {
        ChartKind.LINE: _line,
        ChartKind.BAR: _bar,
        ChartKind.POINT_INTERVAL: _point_interval,
        ChartKind.CALIBRATION: _calibration,
    }[chart.kind]
    layers = alt.layer(*draw(plot)).properties(
        data=_data(plot), width="container", height=_height(plot), autosize=_AUTOSIZE
    )
    spec = layers.configure(**_config()).to_dict()
    return {**spec, "usermeta": {"embedOptions": {}}}


def _data(plot: Plot) -> alt.InlineData:
    rows = [
        {
            "at": _abscissa(point.at, plot.at),
            "value": point.value,
            "low": point.low,
            "high": point.high,
            "series": visible(point.series),
            "tip": point.tip,
        }
        for point in plot.points
    ]
    return alt.InlineData(values=rows)


def _abscissa(at: Cell, field: Field) -> Cell:
    if is_number(at) and is_numeric(field.form):
        return at
    if at is None:
        return None
    return visible(at if isinstance(at, str) else shown(at, field, 0))


def _height(plot: Plot) -> Any:
    kind = plot.chart.kind
    if kind is ChartKind.POINT_INTERVAL or (kind is ChartKind.BAR and plot.on_its_side):
        per_series = max(1, len(plot.series))
        return {"step": 30 if per_series == 1 else 14 * per_series + 10, "for": "position"}
    return 340 if kind is ChartKind.CALIBRATION else 280


def _line(plot: Plot) -> list[alt.Chart]:
    x, color = _abscissa_axis(plot, alt.X), _color(plot)
    base = alt.Chart().encode(x=x)
    line = base.mark_line(strokeWidth=2.5).encode(y=_value_axis(plot, alt.Y), **color)
    dots = base.mark_point(filled=True, size=46).encode(y=_value_axis(plot, alt.Y), tooltip=_tip(), **color)
    if not plot.banded:
        return [line, dots]
    high = alt.Y2("high")
    band = base.mark_area(opacity=0.16).encode(y=_value_axis(plot, alt.Y, "low"), y2=high, **color)
    return [band, line, dots]


def _bar(plot: Plot) -> list[alt.Chart]:
    if plot.on_its_side:
        places = {"y": _abscissa_axis(plot, alt.Y), **_offset(plot, alt.YOffset)}
        bars = alt.Chart().mark_bar(cornerRadiusEnd=2).encode(x=_value_axis(plot, alt.X), **places)
        whiskers = _interval(plot, places, upright=False)
    else:
        places = {"x": _abscissa_axis(plot, alt.X), **_offset(plot, alt.XOffset)}
        bars = alt.Chart().mark_bar(cornerRadiusEnd=2).encode(y=_value_axis(plot, alt.Y), **places)
        whiskers = _interval(plot, places, upright=True)
    return [bars.encode(tooltip=_tip(), **_color(plot)), *whiskers]


def _point_interval(plot: Plot) -> list[alt.Chart]:
    places = {"y": _abscissa_axis(plot, alt.Y), **_offset(plot, alt.YOffset)}
    dots = alt.Chart().mark_point(filled=True, size=80, opacity=1)
    dots = dots.encode(x=_value_axis(plot, alt.X), tooltip=_tip(), **places, **_color(plot))
    whiskers = [rule.encode(**_color(plot)) for rule in _interval(plot, places, upright=False)]
    return [*whiskers, dots]


def _calibration(plot: Plot) -> list[alt.Chart]:
    reach = _reach(plot)
    data = alt.InlineData(values=[{"at": edge, "value": edge} for edge in reach])
    x, y = _abscissa_axis(plot, alt.X), _value_axis(plot, alt.Y)
    diagonal = alt.Chart(data).mark_line(strokeDash=[5, 4], color=RULE, strokeWidth=1.5).encode(x=x, y=y)
    whiskers = [rule.encode(**_color(plot)) for rule in _interval(plot, {"x": x}, upright=True)]
    dots = alt.Chart().mark_point(filled=True, size=70, opacity=1).encode(x=x, y=y, tooltip=_tip())
    return [diagonal, *whiskers, dots.encode(**_color(plot))]


def _interval(plot: Plot, places: dict[str, Any], *, upright: bool) -> list[alt.Chart]:
    if not plot.banded:
        return []
    rule = alt.Chart().mark_rule(strokeWidth=2, opacity=0.9)
    if plot.chart.kind is ChartKind.BAR:
        rule = alt.Chart().mark_rule(strokeWidth=1.5, color=RULE)
    if upright:
        return [rule.encode(y=_value_axis(plot, alt.Y, "low"), y2=alt.Y2("high"), tooltip=_tip(), **places)]
    return [rule.encode(x=_value_axis(plot, alt.X, "low"), x2=alt.X2("high"), tooltip=_tip(), **places)]


def _reach(plot: Plot) -> tuple[float, float]:
    ends = [v for p in plot.points for v in (p.at, p.value, p.low, p.high) if is_number(v)]
    numbers = [float(end) for end in ends] or [0.0, 1.0]
    return min(0.0, *numbers), max(0.0, *numbers)


def _tip() -> alt.Tooltip:
    return alt.Tooltip(field="tip", type="nominal")


def _color(plot: Plot) -> dict[str, Any]:
    if not plot.shared:
        return {"color": alt.value(PALETTE[0])}
    colors = [PALETTE[i % len(PALETTE)] for i in range(len(plot.series))]
    legend = (
        alt.Legend(title=None, symbolOpacity=1, symbolType="circle", symbolStrokeWidth=0)
        if len(plot.series) > 1
        else None
    )
    scale = alt.Scale(range=colors)
    return {"color": alt.Color(field="series", type="nominal", sort=None, scale=scale, legend=legend)}


def _offset(plot: Plot, channel: type[alt.XOffset] | type[alt.YOffset]) -> dict[str, Any]:
    if len(plot.series) < 2:
        return {}
    offset = channel(field="series", type="nominal", sort=None)
    return {"xOffset" if channel is alt.XOffset else "yOffset": offset}


def _abscissa_axis(plot: Plot, channel: type[alt.X] | type[alt.Y]) -> Any:
    title = _axis_title(plot.at)
    discrete = plot.chart.kind in {ChartKind.BAR, ChartKind.POINT_INTERVAL}
    if plot.at.form is Form.DATE and not discrete:
        axis = alt.Axis(format="%-d %b %Y", labelOverlap=True, tickCount=6)
        scale = alt.Scale(type="utc")
        return channel(field="at", type="temporal", title=title, axis=axis, scale=scale)
    if is_numeric(plot.at.form) and not discrete:
        axis = alt.Axis(format=_tick_format(plot, plot.at), labelOverlap=True, tickCount=6)
        scale = alt.Scale(zero=plot.chart.kind is ChartKind.CALIBRATION, nice=True)
        return channel(field="at", type="quantitative", title=title, axis=axis, scale=scale)
    angle = 0 if discrete else alt.Undefined
    axis = alt.Axis(labelAngle=angle, labelOverlap=not discrete, grid=False)
    return channel(
        field="at", type="ordinal", title=title if channel is alt.X else None, sort=None, axis=axis
    )


def _value_axis(
    plot: Plot,
    channel: type[alt.X] | type[alt.Y],
    column: str = "value",
) -> Any:
    axis = alt.Axis(format=_tick_format(plot, plot.value), tickCount=5, grid=True)
    scale = alt.Scale(zero=_starts_at_zero(plot), nice=True)
    title = _axis_title(plot.value)
    return channel(field=column, type="quantitative", title=title, axis=axis, scale=scale)


def _starts_at_zero(plot: Plot) -> bool:
    if plot.chart.kind in {ChartKind.CALIBRATION, ChartKind.BAR}:
        return True
    values = [v for p in plot.points for v in (p.value, p.low, p.high) if v is not None]
    return bool(values) and plot.chart.kind is ChartKind.LINE and 0 <= min(values) <= 0.5 * max(values)


def _axis_title(field: Field) -> str:
    unit = f" ({field.unit})" if field.unit and field.form is not Form.SHARE else ""
    return visible(f"{field.label}{unit}"[:80])


def _tick_format(plot: Plot, field: Field) -> str:
    values = [abs(v) for p in plot.points for v in (p.value, p.low, p.high) if v is not None]
    if field is plot.at:
        values = [abs(float(p.at)) for p in plot.points if is_number(p.at)]
    largest = max((v for v in values if math.isfinite(v)), default=1.0)
    if field.form is Form.SHARE:
        return ".1~%" if largest >= 0.02 else ".2~%"
    if largest >= 100_000:
        return "~s"
    return ",.2~f" if largest >= 1 else ",.4~f"


def _config() -> dict[str, Any]:
    return {
        "aria": False,
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 10,
            "labelPadding": 6,
            "ticks": False,
            "domain": False,
            "gridDash": [2, 3],
        },
        "axisX": {"grid": False, "domain": True},
        "legend": {"orient": "top", "labelFontSize": 12, "labelLimit": 220, "symbolSize": 90, "offset": 8},
    }
