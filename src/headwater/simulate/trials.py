"""Experiments with known effects, and a push message whose receivers were not drawn by lot."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headwater.simulate.world import SEGMENTS, World

__all__ = [
    "CHECKOUT",
    "CIRCLE",
    "FEED",
    "LOST_SHARE",
    "ONBOARDING",
    "PUSH",
    "PUSH_EFFECT",
    "PUSH_LOGIT",
    "TRIALS",
    "WATCH",
    "PushLogit",
    "Trial",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An experiment and its truth.

    ``direct`` is the relative effect on the outcome of a treated user at exposure, ``spill`` that of having
    all friends treated, ``half_life_days`` how fast the direct effect fades (none: it does not).
    """

    name: str
    starts_at: float
    days: int
    outcome: str
    direct: float = 0.0
    spill: float = 0.0
    half_life_days: float | None = None
    by_cluster: bool = False

    def first_day(self, world: World) -> int:
        """Its first local day."""
        return world.day_at(self.starts_at)

    def end_day(self, world: World) -> int:
        """The day after its last."""
        return self.first_day(world) + self.days

    def fade(self, days: int) -> float:
        """The share of the direct effect that is left so many days after exposure."""
        return 1.0 if self.half_life_days is None else math.exp(-math.log(2) * days / self.half_life_days)


CHECKOUT = Trial(name="checkout", starts_at=0.35, days=28, outcome="purchase_revenue_usd")
FEED = Trial(name="new_feed", starts_at=0.45, days=28, outcome="engagements", direct=0.30, half_life_days=5.0)
WATCH = Trial(name="watch_together", starts_at=0.60, days=21, outcome="engagements", direct=0.06, spill=0.18)
CIRCLE = Trial(
    name="watch_together_circles",
    starts_at=0.70,
    days=14,
    outcome="engagements",
    direct=0.06,
    spill=0.18,
    by_cluster=True,
)
ONBOARDING = Trial(name="onboarding", starts_at=0.55, days=21, outcome="purchase_revenue_usd")
TRIALS = (CHECKOUT, FEED, WATCH, CIRCLE, ONBOARDING)
"""Of ``onboarding`` the true effect is nothing and the declared split 50:50; part of its treated is never logged."""

LOST_SHARE = 0.25
"""The share of treated users of ``onboarding`` on Android whose exposure is never logged."""

PUSH = Trial(name="push", starts_at=0.40, days=30, outcome="purchase_revenue_usd", direct=0.35)
PUSH_EFFECT = tuple(PUSH.direct for _ in SEGMENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushLogit:
    """The logit of being sent the push: intercept, onboarding score less 3, iOS, paid channel."""

    intercept: float = -0.6
    score: float = 0.7
    ios: float = 0.5
    paid: float = -0.4


PUSH_LOGIT = PushLogit()
