"""A chart's rows by role, checked once for every exporter that draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headwater.core.block import Cell, Chart, Field, Form, Role
from headwater.core.errors import UsageError, near_miss
from headwater.export._forms import decimals, is_number, is_numeric, label_with_unit, shown
from headwater.export._text import visible, width_of

__all__ = ["PALETTE", "Plot", "Point", "plot_of"]

PALETTE: Final = ("#2f73b8", "#d0782a", "#2a9378", "#a8549c", "#b5952a", "#6b7f94")
LONG_LABEL: Final = 10
MANY_BARS: Final = 9
PAIRS: Final = ({Role.X, Role.Y}, {Role.LOW, Role.HIGH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One row: ``at`` is the category or abscissa, ``value`` the measure; an unknown number is None."""

    at: Cell
    value: float | None
    series: str
    low: float | None
    high: float | None
    tip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Points in the order of the rows, the fields of the two axes, and the series in order of appearance."""

    chart: Chart
    at: Field
    value: Field
    series: tuple[str, ...]
    points: tuple[Point, ...]
    banded: bool
    shared: bool

    @property
    def categories(self) -> tuple[Cell, ...]:
        """The distinct abscissas, in order of appearance; numbers and dates sorted."""
        seen = list(dict.fromkeys(point.at for point in self.points if point.at is not None))
        if is_numeric(self.at.form) or self.at.form is Form.DATE:
            seen.sort(key=lambda at: (isinstance(at, str), at))
        return tuple(seen)

    @property
    def on_its_side(self) -> bool:
        """Whether the categories are many or long, so that bars lie on their side."""
        names = [str(at) for at in self.categories]
        bars = len(names) * max(1, len(self.series))
        return bars > MANY_BARS or any(width_of(name) > LONG_LABEL for name in names)

    def of(self, series: str) -> dict[Cell, Point]:
        """The points of one series by abscissa."""
        return {point.at: point for point in self.points if point.series == series}


def plot_of(chart: Chart) -> Plot:
    """The chart's rows by role. ``value`` is Y unless only X is numeric (categories down the side).

    Raises ``UsageError`` (``export.chart_role``) where a role is missing or names no field, and
    ``export.ragged_row`` where a row has another length than the fields.
    """
    index = _columns(chart)
    x, y = chart.fields[index[Role.X]], chart.fields[index[Role.Y]]
    turned = is_numeric(x.form) and not is_numeric(y.form)
    at, value = (Role.Y, Role.X) if turned else (Role.X, Role.Y)
    points = _points(chart, index, at, value)
    return Plot(
        chart=chart,
        at=chart.fields[index[at]],
        value=chart.fields[index[value]],
        series=tuple(dict.fromkeys(point.series for point in points)),
        points=points,
        banded=Role.LOW in index,
        shared=Role.SERIES in index,
    )


def _columns(chart: Chart) -> dict[Role, int]:
    places = {field.name: i for i, field in enumerate(chart.fields)}
    for role, name in chart.roles:
        if name not in places:
            raise _bad_role(chart, f"{role.value} is '{name}', which is no field.", near_miss(name, places))
    index = {role: places[name] for role, name in chart.roles}
    if not index.keys() >= PAIRS[0] or len(index.keys() & PAIRS[1]) == 1:
        raise _bad_role(
            chart, "x and y are needed, and low and high come together.", "Name the missing role."
        )
    for row in chart.rows:
        if len(row) != len(chart.fields):
            raise UsageError(
                "export.ragged_row",
                what=f"A row of chart '{chart.name}' has {len(row)} cells for {len(chart.fields)} fields.",
                why="The picture would show values under the wrong names.",
                do="Give every row one cell per field.",
            )
    return index


def _bad_role(chart: Chart, fact: str, step: str) -> UsageError:
    return UsageError(
        "export.chart_role",
        what=f"In the roles of chart '{chart.name}', {fact}",
        why="The picture cannot be drawn.",
        do=step,
    )


def _points(chart: Chart, index: dict[Role, int], at: Role, value: Role) -> tuple[Point, ...]:
    places = [decimals(field, (row[i] for row in chart.rows)) for i, field in enumerate(chart.fields)]

    def number(row: tuple[Cell, ...], role: Role) -> float | None:
        cell = row[index[role]] if role in index else None
        return float(cell) if is_number(cell) else None

    def tip(row: tuple[Cell, ...]) -> str:
        pairs = zip(chart.fields, row, places, strict=True)
        return "\n".join(visible(f"{label_with_unit(f)}: {shown(c, f, p)}"[:300]) for f, c, p in pairs)

    return tuple(
        Point(
            at=row[index[at]],
            value=number(row, value),
            series=str(row[index[Role.SERIES]]) if Role.SERIES in index else "",
            low=number(row, Role.LOW),
            high=number(row, Role.HIGH),
            tip=tip(row),
        )
        for row in chart.rows
    )
