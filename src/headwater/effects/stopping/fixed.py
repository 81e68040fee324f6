"""Fixed: one look, at the planned end."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.plan import Plan
from headwater.effects.reading import Reading
from headwater.effects.stopping._looks import is_over, looks_with
from headwater.numerics.group_sequential import crossing, naive_bound

__all__ = ["Fixed"]


class Fixed:
    """Decides once, at the end. Before it there are trust checks only, and what a decision now would cost."""

    about: ClassVar[str] = "one look at the planned end"

    def read(
        self, plan: Plan, *, n_users: int, today: int | None, alpha: float, looked: tuple[float, ...] = ()
    ) -> Reading:
        """No effect decides before the end; at it, a single look as in a textbook."""
        over = is_over(plan, n_users=n_users, today=today)
        share = n_users / plan.stop.n_users if plan.stop.n_users else None
        if over is None:
            finding = _no_day() if plan.stop.ends_on is not None else _no_end()
            return _reading(plan.stop.ends_on is None, "single look", finding)
        if not over:
            return _reading(False, "single look, before its planned end", _not_ended(share, looked, alpha))
        before = looks_with(share or 1.0, looked)[:-1]
        return _reading(True, "single look at the planned end", *(_peeked(before, share or 1.0, alpha)))


def _reading(may_decide: bool, method: str, *findings: Finding) -> Reading:
    return Reading(may_decide=may_decide, reach=None, p_of=None, method=method, findings=findings)


def _error(looks: tuple[float, ...], alpha: float) -> float:
    return crossing(looks, [naive_bound(alpha)] * len(looks)).either


def _not_ended(share: float | None, looked: tuple[float, ...], alpha: float) -> Finding:
    if share is None:
        return _blocked("The planned end has not come.", alpha, {})
    looks = looks_with(share, looked)
    whole = looks if share >= 1 else (*looks, 1.0)
    error = _error(whole, alpha)
    count = f"{len(looks)} look{'s' if len(looks) > 1 else ''} so far"
    return _blocked(
        f"{share:.0%} of the planned users have come, and the end has not. Whoever stops at the first p below "
        f"{alpha:.3g}, at the {count} or at the end, is wrong {error:.1%} of the time.",
        alpha,
        {"share": share, "n_looks": len(looks), "error": error},
    )


def _blocked(what: str, alpha: float, numbers: dict[str, int | float | str]) -> Finding:
    return Finding(
        code="stopping.not_ended",
        severity=Severity.BLOCK,
        what=what,
        why=f"A test of a single look keeps its error of {alpha:.3g} for that look alone; each look before it adds false wins.",
        do="Wait for the planned end; the trust checks are open at any time. Plan a group sequential test where looks are wanted.",
        numbers=numbers,
    )


def _peeked(before: tuple[float, ...], share: float, alpha: float) -> tuple[Finding, ...]:
    if not before:
        return ()
    error = _error((*before, share), alpha)
    return (
        Finding(
            code="stopping.peeked",
            severity=Severity.NOTE,
            what=f"{len(before)} earlier look{'s are' if len(before) > 1 else ' is'} on record. Had a p below {alpha:.3g} been allowed to end the test there, its error would have been {error:.1%}.",
            why="The figures hold because the plan kept its end; they would not if a look had decided.",
            do="Nothing, if nobody would have stopped early; else say so where the result is told.",
            numbers={"n_looks": len(before), "error": error},
        ),
    )


def _no_end() -> Finding:
    return Finding(
        code="stopping.no_end",
        severity=Severity.WARN,
        what="The plan names no end: neither a last day nor a number of users.",
        why="p-values and intervals hold for one look at a time fixed beforehand. Stopping when they look good multiplies the false wins: with 14 daily looks about 22% instead of 5%.",
        do="Read them as from one look if the end was fixed beforehand; else plan the next test with an end or with looks.",
    )


def _no_day() -> Finding:
    return Finding(
        code="stopping.no_day",
        severity=Severity.BLOCK,
        what="The plan ends on a day, but what day the data reach is not known.",
        why="Whether the test is over cannot be told, and a look before its end decides nothing.",
        do="Name the column of the exposure's time, or today.",
    )
