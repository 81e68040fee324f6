"""Group sequential: looks that share the error out among them, by the information each had."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import ClassVar, cast

from headwater.core.errors import UsageError, near_miss
from headwater.core.finding import Finding, Severity
from headwater.effects.plan import Plan, StopRule
from headwater.effects.reading import Reading
from headwater.effects.stopping._looks import is_over, looks_with, no_planned_users
from headwater.numerics.group_sequential import Spending, repeated_p, spending_bounds

__all__ = ["GroupSequential"]

NAMES = {
    "obrien_fleming": "O'Brien-Fleming",
    "pocock": "Pocock",
    "power": "power",
    "hwang_shih_decani": "Hwang-Shih-DeCani",
}


class GroupSequential:
    """May stop at any look; a look spends error by the share of planned users it has, so looks need no fixed dates."""

    about: ClassVar[str] = "a few looks that share the error out among them"

    def read(
        self, plan: Plan, *, n_users: int, today: int | None, alpha: float, looked: tuple[float, ...] = ()
    ) -> Reading:
        """The repeated interval and p-value of this look; ``looked`` empty: the planned looks before it were taken."""
        stop = plan.stop
        if not stop.n_users:
            return no_planned_users("a group sequential test")
        spending = _spending(stop)
        share = n_users / stop.n_users
        before = looked or _planned_before(stop, share)
        looks = looks_with(share, before)
        if len(looks) > 1 and looks[-2] >= 1:
            return _already_over(looks[-2], share)
        is_last = share >= 1 or (
            stop.ends_on is not None and bool(is_over(plan, n_users=n_users, today=today))
        )
        bounds = spending_bounds(looks, alpha=alpha, spending=spending, is_last=is_last)
        return Reading(
            may_decide=True,
            reach=float(bounds[-1]),
            p_of=_later(looks, alpha, spending, is_last=is_last),
            method=f"group sequential ({NAMES[spending]} spending), look {len(looks)} at {share:.0%}",
            findings=(*_over_planned(share), *_under_planned(share, is_last=is_last)),
        )


def _spending(stop: StopRule) -> Spending:
    if stop.spending not in NAMES:
        raise UsageError(
            "stopping.spending",
            what=f"There is no spending function named '{stop.spending}'.",
            why="How the error is shared out among the looks is not known, so nothing was read.",
            do=near_miss(stop.spending, tuple(NAMES)),
        )
    return cast(Spending, stop.spending)


def _planned_before(stop: StopRule, share: float) -> tuple[float, ...]:
    """The planned looks before the one that this look is nearest to."""
    if not stop.looks:
        return ()
    nearest = min(range(len(stop.looks)), key=lambda i: abs(stop.looks[i] - share))
    return stop.looks[:nearest]


def _later(
    looks: tuple[float, ...], alpha: float, spending: Spending, *, is_last: bool
) -> Callable[[float], float]:
    """The p-value, worked out when it is first asked for."""

    @cache
    def made() -> Callable[[float], float]:
        return repeated_p(looks, alpha=alpha, spending=spending, is_last=is_last)

    def p(z: float) -> float:
        return made()(z)

    return p


def _over_planned(share: float) -> tuple[Finding, ...]:
    if share <= 1:
        return ()
    return (
        Finding(
            code="stopping.over_planned",
            severity=Severity.NOTE,
            what=f"{share:.0%} of the planned users have come.",
            why="No error is left to spend above 100%: this is the last look, and its bound is that of the users there are.",
            do="Decide now. Another look would find no error to spend.",
            numbers={"share": share},
        ),
    )


def _under_planned(share: float, *, is_last: bool) -> tuple[Finding, ...]:
    if share >= 1 or not is_last:
        return ()
    return (
        Finding(
            code="stopping.under_planned",
            severity=Severity.NOTE,
            what=f"The planned last day has come with {share:.0%} of the planned users.",
            why="This look spends all the error that was left, so the level holds; the power is lower than planned.",
            do="Decide now; plan the next test by the users who came in this one.",
            numbers={"share": share},
        ),
    )


def _already_over(last: float, share: float) -> Reading:
    return Reading(
        may_decide=False,
        reach=None,
        p_of=None,
        method="group sequential, after its last look",
        findings=(
            Finding(
                code="stopping.already_over",
                severity=Severity.BLOCK,
                what=f"An earlier look had {last:.0%} of the planned users and spent all the error; now it is {share:.0%}.",
                why="Another chance to win, after all chances were taken, is a false win more often than planned.",
                do="Keep the result of that look; ask anew with a new test.",
                numbers={"last_share": last, "share": share},
            ),
        ),
    )
