"""Raw values to typed ones: every column parsed once, what cannot be parsed counted, never guessed."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.contract import Contract, Source
from headwater.core.errors import ConfigError, near_miss
from headwater.core.table import Kind
from headwater.engine.expression import MICROS, columns_of
from headwater.engine.sql import Sql, name, shim, sql

__all__ = [
    "TypedColumn",
    "came_name",
    "id_text",
    "instant_of",
    "is_there",
    "kind_of_engine_type",
    "local_time",
    "raw_name",
    "source_columns",
    "time_column",
    "typed_column",
    "user_column",
    "without_nan",
]

_TYPES = (
    (("TIMESTAMP", "DATETIME"), Kind.TIMESTAMP),
    (("DATE",), Kind.DAY),
    (("BOOL",), Kind.BOOLEAN),
    (("DECIMAL", "FLOAT", "DOUBLE", "REAL"), Kind.NUMBER),
    (
        (
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "HUGEINT",
            "UTINYINT",
            "USMALLINT",
            "UINTEGER",
            "UBIGINT",
        ),
        Kind.INTEGER,
    ),
)
_FLOATS = ("FLOAT", "DOUBLE", "REAL")
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
_LARGEST = 1.7976931348623157e308
_EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedColumn:
    """A parsed column: its value (NULL where missing or unreadable) and whether a value was there but unreadable."""

    column: str
    kind: Kind
    value: Sql
    unreadable: Sql | None


def raw_name(column: str) -> Sql:
    """The raw value of a source column inside the check query, after repairs."""
    return name(f"raw {column}")


def came_name(column: str) -> Sql:
    """The value of a repaired source column as it came."""
    return name(f"came {column}")


def kind_of_engine_type(engine_type: str) -> Kind:
    """The type of a column as the file declares it."""
    if engine_type.upper() == "INT":
        return Kind.INTEGER
    for prefixes, kind in _TYPES:
        if engine_type.upper().startswith(prefixes):
            return kind
    return Kind.TEXT


def source_columns(contract: Contract, present: dict[str, str]) -> dict[str, Kind]:
    """The columns to keep in ``events``, with their types. Raises ``ConfigError`` for one that is not there."""
    source = contract.source
    wanted: dict[str, str] = {}
    for where, column in _named_columns(contract):
        wanted.setdefault(column, where)
    for column, where in wanted.items():
        if column not in present:
            raise ConfigError(
                "source.missing_column",
                what=f"{where} names the column '{column}', which '{source.path}' does not have.",
                why="The column's facts would be missing from every number built on it.",
                do=near_miss(column, present),
            )
    special = {source.user, source.at, source.event, source.known_at}
    kept = [c for c in wanted if c not in special or c in _in_measures(contract) or c in source.keep]
    return {c: source.types.get(c) or kind_of_engine_type(present[c]) for c in kept}


def _named_columns(contract: Contract) -> list[tuple[str, str]]:
    source = contract.source
    named = [("user", source.user), ("at", source.at), ("event", source.event), ("known_at", source.known_at)]
    found = [(where, column) for where, column in named if column is not None]
    found += [("keep", c) for c in source.keep] + [("types", c) for c in source.types]
    found += [(f"The rule {r.rule}", c) for r in contract.rules for c in r.columns]
    return found + [("A measure", c) for c in _in_measures(contract)]


def _in_measures(contract: Contract) -> list[str]:
    texts = [t for m in contract.measures for t in (m.expression, m.where) if t]
    return [c for text in texts for c in columns_of(text)]


def without_nan(value: Sql, engine_type: str) -> Sql:
    """A raw value; NaN, which some writers put where nothing is known, becomes NULL."""
    floating = engine_type.upper().startswith(_FLOATS)
    return sql("CASE WHEN NOT isnan({v}) THEN {v} END", v=value) if floating else value


def typed_column(column: str, kind: Kind, engine_type: str, zone: str) -> TypedColumn:
    """Parse one column to its declared type. Times without an offset are read in ``zone``; a DAY is an app day."""
    raw = raw_name(column)
    text = sql("nullif({t}, '')", t=shim("trimmed", raw))
    native = kind_of_engine_type(engine_type)
    match kind:
        case Kind.TEXT:
            value = sql("nullif(CAST({r} AS STRING), '')", r=raw)
        case Kind.INTEGER if native is Kind.INTEGER:
            value = sql("TRY_CAST({r} AS BIGINT)", r=raw)
        case Kind.INTEGER:
            whole = sql("TRY_CAST({t} AS DECIMAL(38, 6))", t=text)
            value = sql(
                "CASE WHEN {d} = floor({d}) AND CAST({d} AS DOUBLE) = TRY_CAST({t} AS DOUBLE) THEN TRY_CAST({d} AS BIGINT) END",
                d=whole,
                t=text,
            )
        case Kind.MONEY if engine_type.upper().startswith(_FLOATS):
            value = sql("TRY_CAST(round(CAST({r} AS DOUBLE) * {m}) AS BIGINT)", r=raw, m=float(MICROS))
        case Kind.MONEY:
            value = sql(
                "TRY_CAST(TRY_CAST({t} AS DECIMAL(24, 6)) * {m} AS BIGINT)",
                t=text if native is Kind.TEXT else raw,
                m=MICROS,
            )
        case Kind.NUMBER:
            number = sql("TRY_CAST({t} AS DOUBLE)", t=text if native is Kind.TEXT else raw)
            value = sql("CASE WHEN abs({n}) <= {most} THEN {n} END", n=number, most=_LARGEST)
            return TypedColumn(
                column=column,
                kind=kind,
                value=value,
                unreadable=sql(
                    "({t} AND ({n} IS NULL OR (abs({n}) > {most} AND NOT isnan({n}))))",
                    t=is_there(raw, native),
                    n=number,
                    most=_LARGEST,
                ),
            )
        case Kind.BOOLEAN:
            value = sql("TRY_CAST({r} AS BOOLEAN)", r=raw)
        case Kind.TIMESTAMP:
            value = _instant(raw, None, engine_type, zone)
        case Kind.DAY:
            value = sql(
                "CAST(floor({us} / 86400000000.0) AS INTEGER)", us=shim("micros", shim("try_timestamp", raw))
            )
    there = is_there(raw, native)
    unreadable = None if kind is Kind.TEXT else sql("({t} AND {v} IS NULL)", t=there, v=value)
    return TypedColumn(column=column, kind=kind, value=value, unreadable=unreadable)


def is_there(raw: Sql, native: Kind) -> Sql:
    """Whether a raw value is there at all; only text can be blank."""
    if native is Kind.TEXT:
        text = sql("CAST({r} AS STRING)", r=raw)
        plain = sql("{t} >= '!' AND {t} < chr(127)", t=text)  # begins with what is no blank: no need to trim
        return sql(
            "CASE WHEN {p} THEN TRUE ELSE coalesce({t}, '') <> '' END", p=plain, t=shim("trimmed", raw)
        )
    return sql("{r} IS NOT NULL", r=raw)


def user_column(source: Source, engine_type: str) -> Sql:
    """The user id as text; ``17850.0``, an integer that passed through a float, becomes ``17850``."""
    return id_text(raw_name(source.user), engine_type)


def id_text(raw: Sql, engine_type: str) -> Sql:
    """A value as an id: trimmed text, NULL where blank, without the ``.0`` of a float."""
    text = sql("nullif({t}, '')", t=shim("trimmed", raw))
    native = kind_of_engine_type(engine_type)
    if native is Kind.INTEGER:
        return text
    if native is Kind.NUMBER:
        whole = sql("{r} = floor({r}) AND abs({r}) < 1e18", r=raw)
        return sql(
            "CASE WHEN {w} THEN CAST(CAST({r} AS BIGINT) AS STRING) ELSE {t} END", w=whole, r=raw, t=text
        )
    return sql(
        "CASE WHEN {t} LIKE '%.0' AND {m} THEN left({t}, length({t}) - 2) ELSE {t} END",
        t=text,
        m=shim("matches", text, r"\d+\.0"),
    )


def time_column(column: str, source: Source, engine_type: str, zone: str) -> Sql:
    """A time as UTC microseconds, NULL outside the years 1 to 9999. Times without an offset are read in ``zone``."""
    return instant_of(raw_name(column), engine_type, zone, form=source.at_format)


def instant_of(raw: Sql, engine_type: str, zone: str, *, form: str | None = None) -> Sql:
    """A raw value as UTC microseconds, NULL where it is no time or outside the years 1 to 9999."""
    us = _instant(raw, form, engine_type, zone)
    return sql(
        "CASE WHEN {us} BETWEEN {first} AND {last} THEN {us} END", us=us, first=_FIRST_US, last=_LAST_US
    )


def _instant(raw: Sql, form: str | None, engine_type: str, zone: str) -> Sql:
    if form in _EPOCHS:
        return sql("TRY_CAST(TRY_CAST({r} AS DECIMAL(24, 6)) * {m} AS BIGINT)", r=raw, m=_EPOCHS[form])
    if "WITH TIME ZONE" in engine_type.upper() or engine_type.upper() == "TIMESTAMPTZ":
        return shim("micros", raw)
    if kind_of_engine_type(engine_type) in {Kind.TIMESTAMP, Kind.DAY}:
        return _zoned(sql("CAST({r} AS TIMESTAMP)", r=raw), zone)
    text = shim("trimmed", raw)
    if form is not None:
        parsed = shim("try_format", text, form)
        return shim("micros", parsed) if _names_offset(form) else _zoned(parsed, zone)
    local = _zoned(shim("try_timestamp", text), zone)
    return sql(
        "CASE WHEN {o} THEN {z} WHEN {n} THEN {l} END",
        o=shim("has_offset", text),
        z=shim("micros", shim("try_zoned", text)),
        n=shim("has_no_offset", text),
        l=local,
    )


def local_time(column: str, source: Source, engine_type: str) -> Sql | None:
    """The wall-clock time as written, where it carries no offset; None where the source gives instants."""
    if source.at_format in _EPOCHS or "WITH TIME ZONE" in engine_type.upper():
        return None
    raw = raw_name(column)
    if kind_of_engine_type(engine_type) in {Kind.TIMESTAMP, Kind.DAY}:
        return sql("CAST({r} AS TIMESTAMP)", r=raw)
    text = shim("trimmed", raw)
    if source.at_format is not None:
        return None if _names_offset(source.at_format) else shim("try_format", text, source.at_format)
    return sql("CASE WHEN {n} THEN {t} END", n=shim("has_no_offset", text), t=shim("try_timestamp", text))


def _names_offset(form: str) -> bool:
    return "%z" in form or "%Z" in form


def _zoned(timestamp: Sql, zone: str) -> Sql:
    return shim("micros", timestamp) if zone == "UTC" else shim("zoned_micros", timestamp, zone)
