"""What stop rules share: looks as shares of the planned users, and the reading of who cannot say."""

from __future__ import annotations

from headwater.core.finding import Finding, Severity
from headwater.effects.plan import Plan
from headwater.effects.reading import Reading

__all__ = ["few_users", "is_over", "looks_with", "no_planned_users"]

SAME_LOOK = 1e-6
FEW_USERS = 200


def looks_with(now: float, looked: tuple[float, ...]) -> tuple[float, ...]:
    """The earlier looks that had fewer users than now, in order and once each, and then now."""
    before = sorted(s for s in looked if 0 < s < now - SAME_LOOK)
    once = [s for i, s in enumerate(before) if i == 0 or s - before[i - 1] > SAME_LOOK]
    return (*once, now)


def is_over(plan: Plan, *, n_users: int, today: int | None) -> bool | None:
    """Whether the planned end has come; None where no end was planned, or today is not known."""
    stop = plan.stop
    if stop.ends_on is not None and today is not None:
        return today >= stop.ends_on
    if stop.n_users:
        return n_users >= stop.n_users
    return None


def no_planned_users(rule: str) -> Reading:
    """A sequential rule whose plan names no number of users."""
    return Reading(
        may_decide=False,
        reach=None,
        p_of=None,
        method=f"{rule}, without a planned number of users",
        findings=(
            Finding(
                code="stopping.no_planned_users",
                severity=Severity.BLOCK,
                what=f"The plan stops by {rule}, but names no number of users.",
                why="How much error a look may spend, or where a sequence is narrowest, depends on the users planned; chosen after a look at the data it protects nothing.",
                do="Plan the number of users (headwater experiment design says how many), before the first look.",
            ),
        ),
    )


def few_users(n_users: int) -> tuple[Finding, ...]:
    """A warning where a normal approximation is asked to hold at so few users."""
    if n_users >= FEW_USERS:
        return ()
    return (
        Finding(
            code="stopping.few_users",
            severity=Severity.WARN,
            what=f"{n_users} users have been exposed; the sequence is asymptotic and starts to hold at some {FEW_USERS}.",
            why="Among few users the estimated spread is itself uncertain, and false alarms are more frequent than stated.",
            do="Look again when more users have come.",
            numbers={"n_users": n_users},
        ),
    )
