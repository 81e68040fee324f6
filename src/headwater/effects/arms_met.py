"""Which arms the rows of an experiment name, and which rows belong to none that was planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.effects.units import Units
from headwater.engine.engine import Engine
from headwater.engine.sql import sql

__all__ = ["MOST_ARMS", "ArmsMet", "arms_met"]

MOST_ARMS = 20
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmsMet:
    """The arms to gather, in order, how many rows they have, and what was left out."""

    arms: tuple[str, ...]
    n_rows: int
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict[str, float])


def arms_met(engine: Engine, units: Units, *, arms: Sequence[str]) -> ArmsMet:
    """The planned arms, or all that are there, with the rows of no arm and of others counted.

    Raises
    ------
    DataError
        A planned arm has no rows (``arms.missing``), there is only one (``arms.one``), or there are more
        than ``MOST_ARMS`` (``arms.many``).
    """
    counts = _counts(engine, units)
    n_none = counts.pop(None, 0)
    there = {arm: n for arm, n in counts.items() if arm is not None}
    if not arms and len(there) > MOST_ARMS:
        raise _many(units)
    chosen = tuple(arms) or tuple(sorted(there))
    absent = [a for a in chosen if a not in there]
    if absent:
        raise _missing(units, absent, there)
    if len(chosen) < 2:
        raise _one(units, chosen)
    n_other = sum(n for arm, n in there.items() if arm not in chosen)
    if arms and len(there) > MOST_ARMS + len(chosen):
        n_other = _n_others(engine, units, chosen)
    found = [_no_arm(n_none)] if n_none else []
    if n_other:
        found.append(_unknown(n_other, [a for a in there if a not in chosen]))
    facts = {"n_without_arm": float(n_none), "n_other_arm": float(n_other)}
    n_rows = sum(there[a] for a in chosen)
    return ArmsMet(arms=chosen, n_rows=n_rows, findings=tuple(found), facts=facts)


def _counts(engine: Engine, units: Units) -> dict[str | None, int]:
    found = engine.rows(
        sql(
            "SELECT {arm} AS arm, count(*) AS n FROM {rows} r GROUP BY {arm} ORDER BY n DESC LIMIT {most}",
            arm=units.arm_text,
            rows=units.rows,
            most=10 * MOST_ARMS,
        )
    )
    return {None if arm is None else str(arm): int(n) for arm, n in found}


def _n_others(engine: Engine, units: Units, chosen: Sequence[str]) -> int:
    (n,) = engine.one(
        sql(
            "SELECT count(*) FROM {rows} r WHERE {arm} NOT IN ({chosen})",
            rows=units.rows,
            arm=units.arm_text,
            chosen=[sql("{a}", a=a) for a in chosen],
        )
    )
    return int(n)


def _listed(arms: Sequence[str]) -> str:
    shown = ", ".join(f"'{a}'" for a in arms[:_SHOWN])
    return shown if len(arms) <= _SHOWN else f"{shown} and others"


def _no_arm(n: int) -> Finding:
    return Finding(
        code="exposures.no_arm",
        severity=Severity.WARN,
        what=f"{n:,} rows name no arm; they are left out.",
        why="Where one arm loses more rows than another, the arms are no longer alike.",
        do="See why the arm was not logged, and look at the sample ratio check.",
        numbers={"n_without_arm": n},
    )


def _unknown(n: int, others: Sequence[str]) -> Finding:
    return Finding(
        code="exposures.unknown_arm",
        severity=Severity.WARN,
        what=f"{n:,} rows are of arms that are not planned ({_listed(others)}); they are left out.",
        why="The shares planned are of the planned arms only.",
        do="Plan every arm, or see why the rows hold others.",
        numbers={"n_other_arm": n},
    )


def _many(units: Units) -> DataError:
    return DataError(
        "arms.many",
        what=f"The column '{units.arm}' holds more than {MOST_ARMS} different values.",
        why="An experiment has a few arms; this looks like another column.",
        do="Name the column of the arm, or name the arms to compare.",
    )


def _missing(units: Units, absent: Sequence[str], there: Mapping[str, int]) -> DataError:
    return DataError(
        "arms.missing",
        what=f"No row of the column '{units.arm}' is of the arm {_listed(absent)}; it holds {_listed(list(there)) or 'nothing'}.",
        why="An arm without users cannot be compared.",
        do="Name the arms as the rows spell them.",
    )


def _one(units: Units, chosen: Sequence[str]) -> DataError:
    return DataError(
        "arms.one",
        what=f"The column '{units.arm}' holds {len(chosen)} arms{f': {_listed(chosen)}' if chosen else ''}.",
        why="An effect is a difference between two arms.",
        do="Name the column of the arm, and see that the rows of all arms are there.",
    )
