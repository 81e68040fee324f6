"""mSPRT: the mixture sequential probability ratio test, its prior as wide as the effect the plan is made for."""

from __future__ import annotations

from typing import ClassVar

from headwater.effects.plan import Plan
from headwater.effects.reading import Reading
from headwater.effects.stopping._looks import few_users, no_planned_users
from headwater.numerics.always_valid import mixture_p, mixture_reach
from headwater.numerics.group_sequential import fixed_drift

__all__ = ["Msprt"]


class Msprt:
    """Always valid, as platforms offer it; here for comparison. A confidence sequence with another width of prior."""

    about: ClassVar[str] = "any number of looks, by the mixture test of Johari et al."

    def read(
        self,
        plan: Plan,
        *,
        n_users: int,
        today: int | None,  # noqa: ARG002
        alpha: float,
        looked: tuple[float, ...] = (),  # noqa: ARG002  valid whatever was looked at
    ) -> Reading:
        """The prior's standard deviation is the effect that the planned users find with the planned power."""
        if not plan.stop.n_users:
            return no_planned_users("a mixture sequential test")
        share = n_users / plan.stop.n_users
        if share <= 0:
            return Reading(may_decide=False, reach=None, p_of=None, method="mSPRT, before anybody")
        ratio = fixed_drift(alpha=plan.alpha, power=plan.power) ** 2 * share
        return Reading(
            may_decide=True,
            reach=mixture_reach(ratio, alpha),
            p_of=lambda z: mixture_p(z, ratio),
            method=f"mSPRT, made for {plan.stop.n_users:,} users, at {share:.0%}",
            findings=few_users(n_users),
        )
