"""A staged roll-out: whether the next share of users may get the new thing, by what the scorecard says of guardrails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from headwater.core.errors import UsageError
from headwater.core.finding import Severity
from headwater.effects.metric import Part
from headwater.effects.scorecard import Row, Scorecard

__all__ = ["STAGES", "Move", "NextStage", "next_stage"]

STAGES = (0.01, 0.05, 0.25, 0.5, 1.0)
_HALF = 0.5


class Move(StrEnum):
    """What to do with the coverage."""

    RAISE = "raise"
    WAIT = "wait"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStage:
    """The move, the coverage it leads to, and why."""

    move: Move
    coverage: float
    because: tuple[str, ...]


def next_stage(
    card: Scorecard, *, coverage: float, n_days: int, least_days: int = 1, stages: Sequence[float] = STAGES
) -> NextStage:
    """Whether a roll-out goes on to its next stage.

    In this order: a guardrail whose whole interval is worse than the control withdraws it; a trust check that blocks,
    a guardrail without a number or that may not be read yet, and fewer than ``least_days`` days in this stage make it
    wait; so does, from half of the users on, a guardrail not yet shown to be within its margin. Otherwise the coverage
    goes up. The stages are looks: the guardrails need a stop rule that allows several.

    Parameters
    ----------
    card
        Of the users so far.
    coverage
        That of now, one of ``stages``.
    n_days
        Whole days in this stage.
    """
    if coverage not in stages:
        raise UsageError(
            "rollout.stage",
            what=f"A coverage of {coverage:g} is no stage; they are {', '.join(f'{s:g}' for s in stages)}.",
            why="Nobody knows what comes after it.",
            do="Name the stage that runs now, or the stages you use.",
        )
    guardrails = [r for r in card.rows if r.metric.part is Part.GUARDRAIL]
    harmed = tuple(_said(r, "is worse than in the control") for r in guardrails if r.outcome == "harmed")
    if harmed:
        return NextStage(move=Move.WITHDRAW, coverage=0.0, because=harmed)
    waits = (*_waits(card, guardrails, is_late=coverage >= _HALF), *_early(n_days, least_days))
    if waits:
        return NextStage(move=Move.WAIT, coverage=coverage, because=waits)
    later = [s for s in stages if s > coverage]
    if not later:
        return NextStage(move=Move.WAIT, coverage=coverage, because=("All users have it.",))
    held = f"{len(guardrails)} guardrails hold" if guardrails else "no guardrail was declared"
    because = (f"No trust check blocks, and {held} at {coverage:.0%} of users.",)
    return NextStage(move=Move.RAISE, coverage=min(later), because=because)


def _waits(card: Scorecard, guardrails: Sequence[Row], *, is_late: bool) -> tuple[str, ...]:
    blocked = [f.what for c in card.checks for f in c.findings if f.severity is Severity.BLOCK]
    unread = [
        _said(r, r.refused.what if r.refused else "may not be read for a decision yet")
        for r in guardrails
        if not _is_read(r)
    ]
    unproven = [
        _said(r, f"is not yet shown to be within its margin of {r.metric.margin:.1%}")
        for r in guardrails
        if is_late and r.metric.margin is not None and r.outcome == "not shown within margin"
    ]
    return (*blocked, *unread, *unproven)


def _early(n_days: int, least_days: int) -> tuple[str, ...]:
    return (f"This stage has run {n_days} of at least {least_days} days.",) if n_days < least_days else ()


def _is_read(row: Row) -> bool:
    return row.refused is None and row.outcome != "not read yet"


def _said(row: Row, what: str) -> str:
    return f"Guardrail '{row.metric.name}' of arm '{row.arm}': {what.rstrip('.')}."
