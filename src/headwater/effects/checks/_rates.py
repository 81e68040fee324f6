"""Shares of an arm's users of whom a fact is told."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.effects.facts import N_ASSIGNED, fact_of
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.numerics.rates import rates_differ

__all__ = ["ArmRates", "arm_rates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRates:
    """``share`` is over all arms, ``p`` tests that arms do not differ, ``text`` says the share of each."""

    share: float
    p: float
    text: str


def arm_rates(plan: Plan, gathered: Gathered, fact: str, *, are_left_out: bool = False) -> ArmRates | None:
    """Shares of users by arm, of a triggered analysis over all who were assigned; None where an arm's is not known.

    ``are_left_out``: whom the fact is told of were taken out of the users, and count beside them.
    """
    known = [fact_of(gathered, fact, arm.name) for arm in plan.arms]
    events = [round(n) for n in known if n is not None]
    users = [
        round(fact_of(gathered, N_ASSIGNED, arm.name) or gathered.users_of(arm.name)) for arm in plan.arms
    ]
    if len(events) < len(users) or not sum(users):
        return None
    if are_left_out:
        users = [n + e for n, e in zip(users, events, strict=True)]
    text = ", ".join(
        f"{arm.name} {e / max(n, 1):.2%} ({e:,} of {n:,})"
        for arm, e, n in zip(plan.arms, events, users, strict=True)
    )
    return ArmRates(share=sum(events) / sum(users), p=rates_differ(events, users), text=text)
