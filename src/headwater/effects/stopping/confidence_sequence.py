"""Confidence sequence: an interval that holds at all looks together, narrowest at the planned users."""

from __future__ import annotations

from typing import ClassVar

from headwater.effects.plan import Plan
from headwater.effects.reading import Reading
from headwater.effects.stopping._looks import few_users, no_planned_users
from headwater.numerics.always_valid import mixture_p, mixture_reach, tuned_ratio

__all__ = ["ConfidenceSequence"]


class ConfidenceSequence:
    """May stop after any user, at looks planned by nobody, with no end; it pays for that with wider intervals."""

    about: ClassVar[str] = "any number of looks at any time, no end needed"

    def read(
        self,
        plan: Plan,
        *,
        n_users: int,
        today: int | None,  # noqa: ARG002
        alpha: float,
        looked: tuple[float, ...] = (),  # noqa: ARG002  valid whatever was looked at
    ) -> Reading:
        """The asymptotic sequence of Waudby-Smith et al.; neither ``today`` nor ``looked`` matters to it."""
        if not plan.stop.n_users:
            return no_planned_users("a confidence sequence")
        share = n_users / plan.stop.n_users
        if share <= 0:
            return Reading(
                may_decide=False, reach=None, p_of=None, method="confidence sequence, before anybody"
            )
        ratio = tuned_ratio(plan.alpha) * share
        return Reading(
            may_decide=True,
            reach=mixture_reach(ratio, alpha),
            p_of=lambda z: mixture_p(z, ratio),
            method=f"confidence sequence, narrowest at {plan.stop.n_users:,} users, at {share:.0%}",
            findings=few_users(n_users),
        )
