"""Users by arm within days or strata, and how a test over many of them is told."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from headwater.effects.check import LEVEL
from headwater.effects.gathered import Gathered, Group
from headwater.effects.plan import Plan
from headwater.numerics.sample_ratio import homogeneity, srm, srm_of_groups

__all__ = [
    "ALIKE",
    "LEAST_EXPECTED",
    "Counts",
    "arm_counts",
    "arms_text",
    "counts_by",
    "day_of",
    "day_text",
    "stratum_of",
]

ALIKE = 0.05  # parts whose shares differ less surely than this are taken as alike
LEAST_EXPECTED = 20  # users expected in every arm, below which chi-square is no guide


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """Users of every part (a day or stratum) in every arm of the plan, shape (parts, arms), and their tests."""

    parts: tuple[str, ...]
    n: NDArray[np.int64]
    p: NDArray[np.float64]

    @property
    def p_adjusted(self) -> NDArray[np.float64]:
        """The p-values by Bonferroni."""
        return np.minimum(self.p * self.p.size, 1.0)

    @property
    def p_least(self) -> float:
        """The smallest, by Bonferroni."""
        return float(self.p_adjusted.min())

    def follows(self, plan: Plan) -> bool:
        """Whether the shares fail over all, and are alike in all parts: then no part has a fault of its own."""
        share = [arm.share for arm in plan.arms]
        return srm(self.n.sum(axis=0), share)[1] < LEVEL and homogeneity(self.n)[1] > ALIKE


def arm_counts(plan: Plan, gathered: Gathered) -> NDArray[np.int64]:
    """Users of each arm of the plan."""
    return np.array([gathered.users_of(arm.name) for arm in plan.arms], dtype=np.int64)


def day_of(group: Group) -> str:
    """The day of a group in words; empty where it is not known."""
    return "" if group.day is None else day_text(group.day)


@cache
def day_text(day: int) -> str:
    """An app day as a date."""
    return str(np.datetime64(day, "D"))


def stratum_of(group: Group) -> str:
    """The stratum of a group."""
    return group.stratum


def counts_by(plan: Plan, gathered: Gathered, *, is_day: bool) -> Counts | None:
    """Users by day or stratum; parts with few users are left out, and None where fewer than two remain."""
    of = day_of if is_day else stratum_of
    names = sorted({name for g in gathered.groups if (name := of(g))})
    at = {name: i for i, name in enumerate(names)}
    arms = {arm.name: j for j, arm in enumerate(plan.arms)}
    n = np.zeros((len(names), len(arms)), dtype=np.int64)
    for group, users in zip(gathered.groups, gathered.n_users, strict=True):
        if of(group) and group.arm in arms:
            n[at[of(group)], arms[group.arm]] += users
    share = np.array([arm.share for arm in plan.arms])
    enough = n.sum(axis=1) * share.min() / share.sum() >= LEAST_EXPECTED
    if enough.sum() < 2:
        return None
    n = n[enough]
    _, p = srm_of_groups(n.astype(np.float64), share)
    return Counts(parts=tuple(np.array(names)[enough].tolist()), n=n, p=p)


def arms_text(plan: Plan, counts: NDArray[np.int64]) -> str:
    """Users of each arm beside the planned number.

    Such as ``control 4,700 (5,000 planned), treatment 5,300 (5,000 planned)``.
    """
    whole = sum(arm.share for arm in plan.arms)
    return ", ".join(
        f"{arm.name} {n:,} ({counts.sum() * arm.share / whole:,.0f} planned)"
        for arm, n in zip(plan.arms, counts.tolist(), strict=True)
    )
