"""Measures compiled to SQL: an amount to sum on each event, or a key to count once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater.core.contract import Aggregate, Measure
from headwater.core.errors import ConfigError
from headwater.core.ledger import LedgerMeasure
from headwater.core.table import Column, Kind
from headwater.engine.expression import MICROS, compile_condition, compile_expression
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["CompiledMeasure", "after_comma", "compile_measures", "event_sums", "measure_columns"]

_FIXED = frozenset(
    {
        "user_id",
        "bucket",
        "app_day",
        "known_day",
        "n_events",
        "first_us",
        "last_us",
        "active_days",
        "cutoff",
        "age",
        "ahead",
        "oldest",
        "hour",
        "known_hour",
        "first_day",
        "since",
        "part",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledMeasure:
    """A measure's ledger column, and either the ``amount`` of an event or the ``key`` it is counted by."""

    measure: LedgerMeasure
    amount: Sql | None
    key: Sql | None
    about: str


def compile_measures(
    measures: Sequence[Measure], kinds: Mapping[str, Kind], *, currency: str
) -> tuple[CompiledMeasure, ...]:
    """Compile measures over event columns of these kinds. Raises ``ConfigError`` for one that cannot be."""
    compiled = tuple(_compiled(m, dict(kinds), currency) for m in measures)
    _require_own_names(compiled)
    return compiled


def event_sums(compiled: Sequence[CompiledMeasure]) -> list[Sql]:
    """The aggregates of the measures that add amounts."""
    return [
        sql("CAST(sum({a}) AS BIGINT) AS {n}", a=c.amount, n=name(c.measure.name))
        for c in compiled
        if c.amount is not None
    ]


def measure_columns(compiled: Sequence[CompiledMeasure]) -> tuple[Column, ...]:
    """The measures as columns of a table."""
    return tuple(
        Column(
            name=c.measure.name,
            kind=c.measure.kind,
            unit=f"1/{c.measure.scale:,} {c.measure.unit}" if c.measure.scale > 1 else c.measure.unit,
            about=c.about,
        )
        for c in compiled
    )


def after_comma(parts: Sequence[Sql]) -> Sql:
    """The parts, each after a comma; nothing where there is none."""
    return sql(", {parts}", parts=commas(parts)) if parts else sql("")


def _defined(measure: Measure) -> str:
    how = f"{measure.aggregate.value}({measure.expression})" if measure.expression else "count of events"
    return f"{how} where {measure.where}" if measure.where else how


def _compiled(measure: Measure, kinds: dict[str, Kind], currency: str) -> CompiledMeasure:
    if measure.name.casefold() in _FIXED or not measure.name.isidentifier():
        raise ConfigError(
            "measure.name",
            what=f"A measure cannot be named '{measure.name}'.",
            why="The name becomes part of column names.",
            do="Use a plain word of letters, digits and _, not one of " + ", ".join(sorted(_FIXED)) + ".",
        )
    where = compile_condition(measure.where, kinds) if measure.where else sql("TRUE")
    if measure.aggregate is Aggregate.COUNT:
        return _count(measure, amount=sql("CASE WHEN {w} THEN 1 ELSE 0 END", w=where))
    typed = compile_expression(measure.expression, kinds)
    if measure.aggregate is Aggregate.COUNT_DISTINCT:
        return _count(measure, key=sql("CASE WHEN {w} THEN CAST({x} AS STRING) END", w=where, x=typed.sql))
    if typed.kind not in {Kind.INTEGER, Kind.NUMBER, Kind.MONEY}:
        raise ConfigError(
            "measure.type",
            what=f"The measure '{measure.name}' sums '{measure.expression}', which is {typed.kind}.",
            why="Only numbers add up.",
            do="Declare the column's type under types (integer, number, money), or use count_distinct.",
        )
    scaled = (
        sql("CAST(round({x} * {m}) AS BIGINT)", x=typed.sql, m=MICROS)
        if typed.kind is Kind.NUMBER
        else sql("CAST({x} AS BIGINT)", x=typed.sql)
    )
    amount = sql("CASE WHEN {w} THEN coalesce({x}, 0) ELSE 0 END", w=where, x=scaled)
    scale = 1 if typed.kind is Kind.INTEGER else MICROS
    unit = measure.unit or (currency if typed.kind is Kind.MONEY else "")
    column = LedgerMeasure(name=measure.name, kind=typed.kind, unit=unit, scale=scale, counts=False)
    return CompiledMeasure(measure=column, amount=amount, key=None, about=_defined(measure))


def _require_own_names(compiled: Sequence[CompiledMeasure]) -> None:
    """Two measures that differ in case only, or by their unit only, would make the same columns."""
    seen: dict[str, str] = {}
    for one in (c.measure for c in compiled):
        for label in {one.name.casefold(), one.label.casefold()}:
            if seen.setdefault(label, one.name) != one.name:
                raise ConfigError(
                    "measure.name",
                    what=f"The measures '{seen[label]}' and '{one.name}' would both make columns named '{label}'.",
                    why="One of the two would hide the other.",
                    do="Give one of them another name.",
                )


def _count(measure: Measure, *, amount: Sql | None = None, key: Sql | None = None) -> CompiledMeasure:
    column = LedgerMeasure(name=measure.name, kind=Kind.INTEGER, unit=measure.unit, scale=1, counts=True)
    return CompiledMeasure(measure=column, amount=amount, key=key, about=_defined(measure))
