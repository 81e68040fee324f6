"""Units that are one row and of one arm: who has several rows is refused, who met several arms is left out and counted.

Rows of one unit taken as units make every error too small; a unit of several arms belongs to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.effects.facts import N_CROSSED, fact_key
from headwater.effects.units import Units
from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, name, shim, sql

__all__ = ["WholeUnits", "whole_units"]

_EXACT_UP_TO = 2_000_000
_BUCKETS, _LOOKED_AT = 64, 4
_ONE_PERCENT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeUnits:
    """The units without those that met several arms, and what is told of these."""

    units: Units
    findings: tuple[Finding, ...] = ()
    facts: dict[str, float]


def whole_units(engine: Engine, units: Units, *, arms: Sequence[str], n_rows: int) -> WholeUnits:
    """Look at the ids of units, or of clusters where these were assigned; nothing is looked at where neither is named.

    Up to two million rows every id is looked at; of more, first those of one bucket in sixteen, and all of them
    where that shows any fault.

    Raises
    ------
    DataError
        ``units.repeated``: units have several rows, and the rows were not declared long.
    """
    key = units.cluster or units.unit
    if key is None:
        return WholeUnits(units=units, facts={})
    within = sql("{arm} IN ({arms})", arm=units.arm_text, arms=[sql("{a}", a=a) for a in arms])
    if n_rows > _EXACT_UP_TO:
        slice_ = sql("{b} < {n} AND {w}", b=shim("bucket", _id(key)), n=_LOOKED_AT, w=within)
        _, n_repeated, n_crossed = _counts(engine, units, key, slice_)
        if not n_crossed and not (n_repeated and _is_one_row(units)):
            return WholeUnits(units=units, facts=_facts(arms, 0))
    n_units, n_repeated, n_crossed = _counts(engine, units, key, within)
    if n_repeated - n_crossed > 0 and _is_one_row(units):
        raise _repeated(key, n_repeated - n_crossed, n_units)
    if not n_crossed:
        return WholeUnits(units=units, facts=_facts(arms, 0))
    return WholeUnits(
        units=units.within(_without(units, key, within)),
        findings=(_crossed(key, n_crossed, n_units),),
        facts=_facts(arms, n_crossed),
    )


def _is_one_row(units: Units) -> bool:
    return not units.is_long and units.cluster is None


def _id(key: str) -> Sql:
    return sql("CAST({k} AS STRING)", k=name(key))


def _facts(arms: Sequence[str], n_crossed: int) -> dict[str, float]:
    """Whoever met several arms has no first one here: each arm is told an equal part."""
    return {fact_key(N_CROSSED, arm): n_crossed / len(arms) for arm in arms}


def _counts(engine: Engine, units: Units, key: str, where: Sql) -> tuple[int, int, int]:
    """Units, those with several rows, and those of several arms."""
    found = engine.one(
        sql(
            "SELECT count(*), coalesce(sum(CASE WHEN n > 1 THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN a <> z THEN 1 ELSE 0 END), 0)"
            " FROM (SELECT count(*) AS n, min({arm}) AS a, max({arm}) AS z FROM {rows} r WHERE {where} AND {k} IS NOT NULL GROUP BY {k}) u",
            arm=units.arm_text,
            rows=units.rows,
            where=where,
            k=name(key),
        )
    )
    return int(found[0]), int(found[1]), int(found[2])


def _without(units: Units, key: str, within: Sql) -> Sql:
    crossed = sql(
        "SELECT {k} FROM {rows} r WHERE {where} AND {k} IS NOT NULL GROUP BY {k} HAVING min({arm}) <> max({arm})",
        k=name(key),
        rows=units.rows,
        where=within,
        arm=units.arm_text,
    )
    return sql(
        "(SELECT * FROM {rows} r WHERE {k} IS NULL OR {k} NOT IN ({crossed}))",
        rows=units.rows,
        k=name(key),
        crossed=crossed,
    )


def _crossed(key: str, n_crossed: int, n_units: int) -> Finding:
    share = n_crossed / n_units
    return Finding(
        code="exposures.crossed",
        severity=Severity.WARN if share > _ONE_PERCENT else Severity.NOTE,
        what=f"{n_crossed:,} of {n_units:,} values of '{key}' ({share:.2%}) are in more than one arm; they are left out.",
        why="Their outcome belongs to no arm; where one arm crosses more than another, leaving them out tips the comparison.",
        do="See that arms are assigned by a stable id (a login on a second device is the usual cause).",
        numbers={"n_crossed": n_crossed, "share": share},
    )


def _repeated(key: str, n_repeated: int, n_units: int) -> DataError:
    return DataError(
        "units.repeated",
        what=f"{n_repeated:,} of {n_units:,} values of '{key}' have several rows.",
        why="Rows of one user taken as users make every interval too narrow.",
        do="Say that rows are to be added up for each user (--long), bring one row a user, or name the column that was assigned.",
        n_repeated=n_repeated,
        n_units=n_units,
    )
