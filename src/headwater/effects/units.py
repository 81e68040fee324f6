"""The units of an experiment as rows to query: typed columns, and which of them is the arm, the unit, the day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from headwater.core.errors import ConfigError, near_miss
from headwater.core.table import Kind, Table
from headwater.engine.engine import table_scan
from headwater.engine.expression import MICROS, compile_expression
from headwater.engine.sql import Sql, name, shim, sql

__all__ = ["LARGEST", "Units", "units_of_table", "value_of"]

LARGEST = 1.7976931348623157e308


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Rows of an experiment, one for each unit, or several where ``is_long`` says so.

    Parameters
    ----------
    rows
        A FROM item: a scan, a view or a query in parentheses.
    columns
        Its columns and their types: times in UTC microseconds, days as app days, money in micro-units.
    arm
        Which column names the arm.
    unit
        The id of whoever was randomized; None: a row is a unit, and nothing is asked of ids.
    strata
        Columns within which arms are compared or looked at.
    exposed
        The day or time of the first exposure.
    cluster
        What was randomized as a whole, such as a city; its rows are added up.
    is_long
        Units may have several rows: their outcomes are added up.
    time_zone
        In which a time of exposure becomes an app day.
    """

    rows: Sql
    columns: Mapping[str, Kind]
    arm: str
    unit: str | None = None
    strata: tuple[str, ...] = ()
    exposed: str | None = None
    cluster: str | None = None
    is_long: bool = False
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        for column in (self.arm, self.unit, *self.strata, self.exposed, self.cluster):
            if column is not None and column not in self.columns:
                raise ConfigError(
                    "source.missing_column",
                    what=f"The experiment's rows have no column '{column}'.",
                    why="It was named as the arm, the unit, a stratum, the exposure or the cluster.",
                    do=near_miss(column, self.columns),
                )

    @property
    def arm_text(self) -> Sql:
        """The arm as text."""
        return self._text(self.arm)

    @property
    def stratum_texts(self) -> tuple[Sql, ...]:
        """Each stratum column as text."""
        return tuple(self._text(s) for s in self.strata)

    @property
    def exposed_day(self) -> Sql:
        """The app day of the first exposure, NULL where it is not told."""
        if self.exposed is None:
            return sql("CAST(NULL AS INTEGER)")
        at = name(self.exposed)
        is_time = self.columns[self.exposed] is Kind.TIMESTAMP
        return shim("local_day", at, self.time_zone) if is_time else sql("CAST({d} AS INTEGER)", d=at)

    def within(self, rows: Sql) -> Units:
        """The same of some of the rows."""
        return replace(self, rows=rows)

    def _text(self, column: str) -> Sql:
        value, kind = name(column), self.columns[column]
        if kind is Kind.TEXT:
            return value
        if kind is Kind.NUMBER:
            return sql(
                "CASE WHEN {v} = floor({v}) AND abs({v}) < 1e15 THEN CAST(CAST({v} AS BIGINT) AS STRING) ELSE CAST({v} AS STRING) END",
                v=value,
            )
        return sql("CAST({v} AS STRING)", v=value)


def units_of_table(
    table: Table,
    *,
    arm: str,
    unit: str | None = None,
    strata: Iterable[str] = (),
    exposed: str | None = None,
    cluster: str | None = None,
    is_long: bool = False,
    time_zone: str = "UTC",
) -> Units:
    """The rows of a table of ours."""
    return Units(
        rows=table_scan(table),
        columns={c.name: c.kind for c in table.columns},
        arm=arm,
        unit=unit,
        strata=tuple(strata),
        exposed=exposed,
        cluster=cluster,
        is_long=is_long,
        time_zone=time_zone,
    )


def value_of(expression: str, columns: Mapping[str, Kind]) -> Sql:
    """An outcome or covariate as a finite double: a condition is 0 or 1, money in its unit, NULL where unknown.

    Raises
    ------
    ConfigError
        The expression is not understood, or is of a kind that has no size.
    """
    typed = compile_expression(expression, columns)
    double = sql("CAST({x} AS DOUBLE)", x=typed.sql)
    match typed.kind:
        case Kind.INTEGER | Kind.BOOLEAN:
            return double
        case Kind.MONEY:
            return sql("({x} / {m})", x=double, m=float(MICROS))
        case Kind.NUMBER:
            return sql("CASE WHEN abs({x}) <= {most} THEN {x} END", x=double, most=LARGEST)
        case _:
            raise ConfigError(
                "metric.not_a_number",
                what=f"'{expression}' is a {typed.kind} value.",
                why="A metric needs a number, or a condition that counts as 0 or 1.",
                do="Write a comparison, such as plan == 'pro', or declare the column's type under types.",
            )
