"""Values that are one but for case and blanks, and the repairs that make them one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater.contracts.looks import sample_rows
from headwater.core.contract import RepairSpec
from headwater.engine.engine import Engine
from headwater.engine.sources import Relation
from headwater.engine.sql import commas, name, sql

__all__ = ["Spelled", "spelled", "spellings_of"]

_BLANKS = " \t\n\r\u00a0\u3000"
_LONGEST = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelled:
    """The values of a column after the repairs proposed for it, each repair with its reason."""

    column: str
    values: tuple[str, ...]
    repairs: tuple[tuple[RepairSpec, str], ...]


def spellings_of(engine: Engine, relation: Relation, columns: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each value comes as it is written, blanks included, over the first rows; for columns of few, short values."""
    if not columns:
        return {}
    counted = [sql("histogram(left(CAST({c} AS STRING), {n}))", c=name(c), n=_LONGEST) for c in columns]
    row = engine.one(
        sql(
            "SELECT {h} FROM (SELECT {c} FROM {rows} LIMIT {n}) AS looked",
            h=commas(counted),
            c=commas([name(c) for c in columns]),
            rows=relation.rows,
            n=sample_rows(relation),
        )
    )
    found: list[dict[str, int] | None] = list(row)
    return {c: values or {} for c, values in zip(columns, found, strict=True)}


def spelled(column: str, values: Mapping[str, int]) -> Spelled:
    """What a column holds once blanks at the ends are trimmed and twins that differ in case are one.

    The most frequent spelling stays. Empty values are left out.

    >>> found = spelled("channel", {"google": 9, "Google": 2, "meta ": 1, "meta": 3})
    >>> found.values, [r.repair for r, _ in found.repairs]
    (('google', 'meta'), ['trim', 'aliases'])
    """
    plain: dict[str, int] = {}
    for value, n in values.items():
        plain[value.strip(_BLANKS)] = plain.get(value.strip(_BLANKS), 0) + n
    plain.pop("", None)
    blank = [v for v in values if v != v.strip(_BLANKS)]
    meant = _meant(plain)
    repairs = [*_trim(column, blank, values), *_aliases(column, meant, plain)]
    return Spelled(column=column, values=tuple(sorted(set(meant.values()))), repairs=tuple(repairs))


def _meant(values: Mapping[str, int]) -> dict[str, str]:
    """Each spelling with the most frequent one of its twins."""
    twins: dict[str, list[str]] = {}
    for value in values:
        twins.setdefault(" ".join(value.split()).casefold(), []).append(value)
    chosen = {key: min(found, key=lambda v: (-values[v], v)) for key, found in twins.items()}
    return {value: chosen[key] for key, found in twins.items() for value in found}


def _trim(column: str, blank: Sequence[str], values: Mapping[str, int]) -> list[tuple[RepairSpec, str]]:
    if not blank:
        return []
    n = sum(values[v] for v in blank)
    return [
        (
            RepairSpec(repair="trim", columns=(column,)),
            f"{n:,} of the values of {column} looked at begin or end with a blank, such as {blank[0][:40]!r}.",
        )
    ]


def _aliases(
    column: str, meant: Mapping[str, str], values: Mapping[str, int]
) -> list[tuple[RepairSpec, str]]:
    listed: dict[str, tuple[str, ...]] = {}
    for value in sorted(meant):
        if value != meant[value]:
            listed[meant[value]] = (*listed.get(meant[value], ()), value)
    if not listed:
        return []
    told = "; ".join(
        f"{', '.join(f'{v} ({values[v]:,})' for v in (to, *other))}" for to, other in list(listed.items())[:3]
    )
    return [
        (
            RepairSpec(repair="aliases", columns=(column,), aliases=listed),
            f"Values of {column} differ in case or blanks only: {told}. The most frequent spelling stays, the raw value is kept beside it.",
        )
    ]
