"""What an experiment does with its users: arms, their shares, how many users are in at all, and who may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError
from headwater.effects.plan import Arm
from headwater.effects.slices import Holdout, Range, Slice
from headwater.numerics.hashing import N_BUCKETS

__all__ = ["Allocation", "bucket_ranges", "require_arms", "share_moved"]

_SUM_TOLERANCE = 0.01  # GrowthBook's


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """How users come to the arms of an experiment; the same id always comes to the same arm.

    Parameters
    ----------
    experiment
        The key; the seed of the hash where ``seed`` is None.
    arms
        With their shares, which add up to 1. Their order counts: it is that of the buckets.
    coverage
        The share of the users who may be in that are in. Raising it moves nobody from one arm to another.
    slices
        A user must be in all of them: a layer's, a namespace's.
    holdouts
        Those that bind ``team`` keep their users out.
    version
        Of the hash; 1 only for what began under it.
    """

    experiment: str
    arms: tuple[Arm, ...]
    coverage: float = 1.0
    seed: str | None = None
    slices: tuple[Slice, ...] = ()
    holdouts: tuple[Holdout, ...] = ()
    team: str = ""
    version: int = 2

    def __post_init__(self) -> None:
        require_arms(self.arms)
        if not 0 <= self.coverage <= 1:
            raise UsageError(
                "assignment.coverage",
                what=f"A coverage of {self.coverage} is no share between 0 and 1.",
                why="Nobody can be assigned by it.",
                do="Write a share such as 0.05 for five percent.",
            )
        own = Slice(seed=self.hash_seed, ranges=(), version=self.version)
        for s in self.conditions():
            if (s.seed, s.version) == (own.seed, own.version):
                raise UsageError(
                    "assignment.same_seed",
                    what=f"'{self.experiment}' and a layer, namespace or holdout it is in hash by the same seed '{s.seed}'.",
                    why="Who may be in would decide the arm: some arms would stay empty.",
                    do="Give the experiment a seed of its own.",
                )

    @property
    def hash_seed(self) -> str:
        """What the arms are hashed by."""
        return self.experiment if self.seed is None else self.seed

    def binding_holdouts(self) -> tuple[Holdout, ...]:
        """The holdouts of all teams and of this one."""
        return tuple(h for h in self.holdouts if h.covers(self.team))

    def conditions(self) -> tuple[Slice, ...]:
        """What a user must be in: outside the holdouts, inside the slices."""
        return (*(h.others() for h in self.binding_holdouts()), *self.slices)

    def arm_of_bucket(self) -> NDArray[np.int64]:
        """The arm of each bucket, by its place in ``arms``; -1 for none."""
        hashed = np.arange(N_BUCKETS[self.version]) / N_BUCKETS[self.version]
        found = np.full(hashed.size, -1)
        for arm, (low, high) in enumerate(bucket_ranges([a.share for a in self.arms], self.coverage)):
            found[(hashed >= low) & (hashed < high) & (found < 0)] = arm
        return found


def bucket_ranges(shares: Sequence[float], coverage: float) -> tuple[Range, ...]:
    """The part of 0 to 1 that is each arm's, exactly as GrowthBook computes it.

    >>> bucket_ranges([0.5, 0.5], 0.5)
    ((0.0, 0.25), (0.5, 0.75))
    """
    found, start = list[Range](), 0.0
    for share in shares:
        found.append((start, start + coverage * share))
        start += share
    return tuple(found)


def share_moved(before: Allocation, after: Allocation) -> float:
    """The share of users in an arm before who are in another, or in none, after; of users who may be in both times.

    Of allocations by different seeds, every bucket of the one meets every bucket of the other.
    """
    names_before, names_after = ([a.name for a in one.arms] for one in (before, after))
    was = np.array([*names_before, ""])[before.arm_of_bucket()]
    now = np.array([*names_after, ""])[after.arm_of_bucket()]
    in_before = was != ""
    if not in_before.any():
        return 0.0
    if (before.hash_seed, before.version) == (after.hash_seed, after.version):
        return float((was != now)[in_before].mean())
    arms, counts = np.unique(was[in_before], return_counts=True)
    same = np.array([(now == arm).mean() for arm in arms])
    return float(1 - counts @ same / counts.sum())


def require_arms(arms: Sequence[Arm]) -> None:
    """Raise ``UsageError`` (``assignment.arms``) where arms are no arms: names, shares above zero that add up to 1."""
    total = sum(a.share for a in arms)
    names = [a.name for a in arms]
    wrong = (
        f"the shares add up to {total:g}"
        if abs(total - 1) > _SUM_TOLERANCE
        else "there are fewer than two"
        if len(arms) < 2
        else "an arm has no share"
        if any(a.share <= 0 for a in arms)
        else "a name is empty or twice there"
        if len(set(names)) < len(names) or "" in names
        else None
    )
    if wrong:
        raise UsageError(
            "assignment.arms",
            what=f"The arms {', '.join(f'{a.name}={a.share:g}' for a in arms) or '(none)'} cannot be assigned: {wrong}.",
            why="Users would be split otherwise than planned.",
            do="Write names and shares that add up to 1: control=0.5,treatment=0.5.",
        )
