"""A file of an experiment's users as typed rows: numbers as doubles, ids and arms as text, times in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from headwater.contracts.looks import Look, encoding_of, look_at, time_readings, value_counts
from headwater.contracts.typing import id_text, raw_name, typed_column
from headwater.core.table import Kind
from headwater.effects.units import Units
from headwater.engine.engine import Engine
from headwater.engine.relation import Relation
from headwater.engine.sources import find_files, open_relation
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["Columns", "Roles", "read_columns", "units_of_columns"]

_FEW_VALUES = 50
_SWITCHES = ({"true", "false"}, {"TRUE", "FALSE"}, {"True", "False"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which column of a file is what; as in ``Units``."""

    arm: str
    unit: str | None = None
    strata: tuple[str, ...] = ()
    exposed: str | None = None
    cluster: str | None = None
    is_long: bool = False
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A file opened: what its columns hold in the first rows. ``values`` counts those of columns with few."""

    relation: Relation
    looks: tuple[Look, ...]
    values: Mapping[str, Mapping[str, int]]
    kinds: Mapping[str, Kind]

    def look(self, column: str) -> Look:
        """What a column holds. Raises ``StopIteration`` for one that is not there."""
        return next(k for k in self.looks if k.column == column)


def read_columns(engine: Engine, path: Path, *, delimiter: str | None = None) -> Columns:
    """Open a CSV, JSON lines, Parquet or Excel file (or a folder, or a glob) and look at its columns.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    encoding = encoding_of(find_files(path))
    relation = open_relation(engine, path, delimiter=delimiter, encoding=encoding)
    seen = (
        relation
        if engine.reader is engine
        else open_relation(engine.reader, path, delimiter=delimiter, encoding=encoding)
    )
    looks = look_at(engine.reader, seen)
    few = [k.column for k in looks if 0 < k.n_distinct <= _FEW_VALUES]
    values = dict(zip(few, value_counts(engine.reader, seen, few), strict=True))
    return Columns(
        relation=relation,
        looks=looks,
        values=values,
        kinds={k.column: _kind(k, values.get(k.column, {})) for k in looks},
    )


def _kind(look: Look, values: Mapping[str, int]) -> Kind:
    if look.kind is not Kind.TEXT:
        return look.kind
    if values and any(set(values) <= s for s in _SWITCHES):
        return Kind.BOOLEAN
    if look.is_numeric:
        return Kind.NUMBER
    return Kind.TIMESTAMP if time_readings(look) == (None,) else Kind.TEXT


def units_of_columns(engine: Engine, columns: Columns, roles: Roles) -> Units:
    """The rows with their types and roles. Text files are read once and held by the engine; Parquet is read as it is."""
    as_text = {roles.arm, roles.unit, roles.cluster} - {None}
    kinds = {c: Kind.TEXT if c in as_text else k for c, k in columns.kinds.items()}
    declared = dict(columns.relation.columns)
    cells = [
        sql("{v} AS {c}", v=_value(c, kinds[c], declared[c], roles, as_id=c in as_text), c=name(c))
        for c in kinds
    ]
    raw = [sql("{c} AS {r}", c=name(c), r=raw_name(c)) for c in kinds]
    query = sql(
        "SELECT {cells} FROM (SELECT {raw} FROM {rows} r) x",
        cells=commas(cells),
        raw=commas(raw),
        rows=columns.relation.rows,
    )
    return Units(
        rows=_rows(engine, columns.relation, query),
        columns=kinds,
        arm=roles.arm,
        unit=roles.unit,
        strata=roles.strata,
        exposed=roles.exposed,
        cluster=roles.cluster,
        is_long=roles.is_long,
        time_zone=roles.time_zone,
    )


def _value(column: str, kind: Kind, declared: str, roles: Roles, *, as_id: bool) -> Sql:
    if as_id:
        return id_text(raw_name(column), declared)
    return typed_column(column, kind, declared, roles.time_zone).value


def _rows(engine: Engine, relation: Relation, query: Sql) -> Sql:
    if relation.format == "parquet":
        return sql("({q})", q=query)
    view = f"units {_mark(relation.files)}"
    engine.hold(view, query)
    return name(view)


def _mark(files: Sequence[Path]) -> str:
    return sha256("|".join(map(str, files)).encode()).hexdigest()[:12]
