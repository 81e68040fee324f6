"""Columns that are nearly numbers: what of them no number can be read from, counted as the gate counts it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from headwater.contracts.facts import Roles, is_reserved
from headwater.contracts.looks import Look, time_readings
from headwater.contracts.roles import is_personal, money_score, quantity_score
from headwater.contracts.typing import is_there, kind_of_engine_type, raw_name, typed_column
from headwater.core.finding import Finding, Severity
from headwater.core.table import Kind
from headwater.engine.engine import Engine
from headwater.engine.sources import Relation
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["Unread", "check_mixed", "mixed_columns", "unread_of"]

_LEAST, _NUMERIC = 0.5, 0.95
_MOST = 8
_ID = frozenset({"id", "ids", "no", "code", "key", "uuid", "version", "zip", "postcode", "phone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Of ``n_filled`` values of a column, ``n_unread`` cannot be read as ``kind``; ``example`` is the most frequent of these."""

    column: str
    kind: Kind
    n_filled: int
    n_unread: int
    example: str

    @property
    def told(self) -> str:
        """The counts in words; empty where every value can be read."""
        if not self.n_unread:
            return ""
        share = self.n_unread / self.n_filled
        return f"{self.n_unread:,} of {self.n_filled:,} values of {self.column} ({share:.2%}) are no number, most often {self.example!r}"


def mixed_columns(looks: Sequence[Look], roles: Roles) -> dict[str, Kind]:
    """Columns of text that are numbers by half and more, not by nearly all, and play no part; with the kind their name suggests.

    Ids, codes, times and what looks personal are left out.
    """
    parts = (roles.user, *roles.times, roles.event, roles.money, roles.quantity, roles.order, *roles.keep)
    taken = {look.column for look in parts if look is not None}
    found = [look for look in looks if look.column not in taken and _is_mixed(look)]
    return {look.column: _kind(look) for look in found[:_MOST]}


def unread_of(engine: Engine, relation: Relation, columns: Mapping[str, Kind]) -> dict[str, Unread]:
    """How many values of each column the gate could not read as the kind given, over all rows."""
    if not columns:
        return {}
    types = dict(relation.columns)
    raw = [sql("{c} AS {r}", c=name(c), r=raw_name(c)) for c in columns]
    counts = [part for c, kind in columns.items() for part in _counts(c, kind, types[c])]
    found = engine.one(
        sql(
            "SELECT {n} FROM (SELECT {raw} FROM {rows}) AS came",
            n=commas(counts),
            raw=commas(raw),
            rows=relation.rows,
        )
    )
    return {
        c: Unread(column=c, kind=kind, n_filled=int(found[3 * i]), n_unread=int(found[3 * i + 1]), example=str(found[3 * i + 2] or ""))
        for i, (c, kind) in enumerate(columns.items())
    }  # fmt: skip


def check_mixed(mixed: Sequence[Unread]) -> tuple[Finding, ...]:
    """One finding for each column that is kept as text although most of it is numbers (``init.mixed_column``)."""
    return tuple(
        Finding(
            code="init.mixed_column",
            severity=Severity.WARN if one.kind is not Kind.NUMBER else Severity.NOTE,
            what=f"{one.told}: it is kept as text, so that no row is lost.",
            why="Text is not summed: no measure can be built on it"
            + (", although its name says money or quantity." if one.kind is not Kind.NUMBER else "."),
            do=f'Write types = {{ {json.dumps(one.column, ensure_ascii=False)} = "{one.kind}" }} to calculate with it; the {one.n_unread:,} rows then go to quarantine, so allow them under [gate] max_share.',
            numbers={"n_unread": one.n_unread, "n_filled": one.n_filled},
        )
        for one in mixed
    )


def _is_mixed(look: Look) -> bool:
    return (
        look.kind is Kind.TEXT
        and _LEAST <= look.share(look.n_number) < _NUMERIC
        and not time_readings(look)
        and not _ID & set(look.words)
        and not is_personal(look)
        and not is_reserved(look.column)
    )


def _kind(look: Look) -> Kind:
    """What the column would be if all its values were numbers."""
    whole = replace(look, n_number=look.n_filled)
    if money_score(whole) >= 4:
        return Kind.MONEY
    return Kind.INTEGER if quantity_score(whole) >= 2 and not look.n_fraction else Kind.NUMBER


def _counts(column: str, kind: Kind, engine_type: str) -> list[Sql]:
    raw = raw_name(column)
    unread = typed_column(column, kind, engine_type, "UTC").unreadable or sql("FALSE")
    return [
        sql("count(*) FILTER (WHERE {t})", t=is_there(raw, kind_of_engine_type(engine_type))),
        sql("count(*) FILTER (WHERE {u})", u=unread),
        sql("mode(left(CAST({r} AS STRING), 40)) FILTER (WHERE {u})", r=raw, u=unread),
    ]
