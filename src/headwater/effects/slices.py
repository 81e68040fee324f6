"""Who may be in an experiment at all: slices of users by a hash of their own, layers that share users out, holdouts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError, near_miss
from headwater.numerics.hashing import N_BUCKETS

__all__ = ["Claim", "Holdout", "Layer", "Slice", "namespace"]

Range = tuple[float, float]
_MOST = N_BUCKETS[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Users whose hash by ``seed`` lies in one of the ranges, each from its first number up to, exclusive, its second.

    It is what GrowthBook calls a filter.
    """

    seed: str
    ranges: tuple[Range, ...]
    version: int = 2

    def __post_init__(self) -> None:
        if self.version not in N_BUCKETS:
            raise UsageError(
                "assignment.hash_version",
                what=f"There is no version {self.version} of the hash; there are 1 and 2.",
                why="Users would land in other buckets than where they were.",
                do="Write version 2, or 1 for an experiment that began under it.",
            )
        if any(not 0 <= low <= high <= 1 for low, high in self.ranges):
            raise UsageError(
                "assignment.range",
                what=f"The ranges {list(self.ranges)} of '{self.seed}' do not lie between 0 and 1, low before high.",
                why="Nobody knows whom they mean.",
                do="Write each range as two numbers between 0 and 1, such as 0,0.4.",
            )

    def admitted(self) -> NDArray[np.bool_]:
        """Whether each bucket of the hash is in the slice."""
        hashed = np.arange(N_BUCKETS[self.version]) / N_BUCKETS[self.version]
        inside = np.zeros(hashed.size, dtype=np.bool_)
        for low, high in self.ranges:
            inside |= (hashed >= low) & (hashed < high)
        return inside


def namespace(key: str, low: float, high: float) -> Slice:
    """A range of a GrowthBook namespace: experiments of one namespace whose ranges do not overlap share no user."""
    return Slice(seed=f"__{key}", ranges=((low, high),), version=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """A share of users whom no experiment touches, of all teams (``team`` empty) or of one: what they together brought."""

    name: str
    seed: str
    share: float
    team: str = ""

    def held(self) -> Slice:
        """Who is held out."""
        return Slice(seed=self.seed, ranges=((0.0, self.share),))

    def others(self) -> Slice:
        """Who is not."""
        return Slice(seed=self.seed, ranges=((self.share, 1.0),))

    def covers(self, team: str) -> bool:
        """Whether it binds the experiments of a team."""
        return self.team in ("", team)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Buckets of a layer that an experiment has to itself: from ``first`` up to, exclusive, ``end``, of 10,000."""

    experiment: str
    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Experiments that must not meet in one user. Experiments of different layers meet at random.

    >>> layer = Layer(name="checkout", seed="2026q4").with_experiment("button", share=0.3)
    >>> layer.with_experiment("basket", share=0.5).slice_of("basket").ranges
    ((0.3, 0.8),)
    """

    name: str
    seed: str
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        taken = sorted(self.claims, key=lambda c: c.first)
        for one, other in pairwise(taken):
            if other.first < one.end:
                raise UsageError(
                    "layer.overlap",
                    what=f"'{one.experiment}' and '{other.experiment}' both claim buckets {other.first} to {min(one.end, other.end) - 1} of layer '{self.name}'.",
                    why="The users there would be in both.",
                    do="Give one of them another range, or leave the ranges to with_experiment.",
                )

    @property
    def free_share(self) -> float:
        """The share of users that no experiment of the layer has."""
        return 1 - sum(c.end - c.first for c in self.claims) / _MOST

    def with_experiment(self, experiment: str, *, share: float) -> Layer:
        """The layer with the first free buckets given to an experiment; those of the others stay."""
        wanted = round(share * _MOST)
        given, left = list[Claim](), wanted
        for first, end in self._gaps():
            n = min(left, end - first)
            if n:
                given.append(Claim(experiment=experiment, first=first, end=first + n))
            left -= n
        if left or not wanted:
            raise UsageError(
                "layer.full",
                what=f"'{experiment}' asks for {share:.2%} of layer '{self.name}', of which {self.free_share:.2%} is free.",
                why="Experiments of one layer share no user.",
                do="Ask for less, end an experiment of the layer (without), or use another layer.",
            )
        return replace(self, claims=(*self.claims, *given))

    def without(self, experiment: str) -> Layer:
        """The layer after an experiment has ended: its buckets are free again."""
        return replace(self, claims=tuple(c for c in self.claims if c.experiment != experiment))

    def slice_of(self, experiment: str) -> Slice:
        """Who may be in one of the layer's experiments."""
        own = [c for c in self.claims if c.experiment == experiment]
        if not own:
            raise UsageError(
                "layer.unknown",
                what=f"Layer '{self.name}' has no experiment '{experiment}'.",
                why="Nobody was set apart for it.",
                do=near_miss(experiment, {c.experiment for c in self.claims}),
            )
        return Slice(seed=self.seed, ranges=tuple((c.first / _MOST, c.end / _MOST) for c in own))

    def _gaps(self) -> list[tuple[int, int]]:
        taken = sorted((c.first, c.end) for c in self.claims)
        starts, ends = [0, *(e for _, e in taken)], [*(f for f, _ in taken), _MOST]
        return [(s, e) for s, e in zip(starts, ends, strict=True) if s < e]
