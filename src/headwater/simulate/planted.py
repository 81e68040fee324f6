"""Which faults are planted, how many, and where: drawn from a seed of their own, blind to any rule's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headwater.core.errors import UsageError, near_miss
from headwater.simulate.world import World

__all__ = [
    "DEFAULT",
    "KINDS",
    "LOAD_KINDS",
    "ROW_KINDS",
    "USER_KINDS",
    "Faults",
    "LoadFault",
    "draw_load_faults",
    "read_faults",
]

ROW_KINDS: Mapping[str, float] = {
    "exact_duplicate": 0.002,
    "near_duplicate": 0.05,
    "duplicate_order": 0.05,
    "wrong_type": 0.002,
    "out_of_range": 0.002,
    "future": 0.0005,
    "trailing_junk": 0.004,
    "alias": 0.02,
    "missing_id": 0.002,
    "dangling_reference": 0.001,
    "before_signup": 0.001,
    "clock_skew": 0.002,
    "very_late": 0.001,
    "personal_data": 0.0005,
}
"""Kinds that are on single rows: the default share of the rows that could have them."""

USER_KINDS: Mapping[str, float] = {"bot": 0.0003, "shared_device": 0.002, "many_devices": 0.001}
"""Kinds that are on users: the default share of users."""

LOAD_KINDS: Mapping[str, float] = {
    "hole_all": 1.0,
    "hole_platform": 1.0,
    "volume_drop": 0.45,
    "mix_shift": 0.35,
    "unit_jump": 1.0,
    "currency_jump": 1.0,
    "schema_drift": 1.0,
    "broken_file": 1.0,
}
"""Kinds that are on a stretch of the log; the number is the share of its rows that are lost or moved."""

KINDS: Mapping[str, float] = {**ROW_KINDS, **USER_KINDS, **LOAD_KINDS}
_NOT_BY_DEFAULT = {"unit_jump", "currency_jump", "schema_drift", "broken_file"}
DEFAULT: Mapping[str, float] = {k: v for k, v in KINDS.items() if k not in _NOT_BY_DEFAULT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The kinds to plant with their shares, and the seed of their places and sizes."""

    shares: Mapping[str, float]
    seed: int

    def share(self, kind: str) -> float:
        """The share of a kind; 0 where it is not planted."""
        return self.shares.get(kind, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFault:
    """A fault on a stretch of the log: UTC microseconds of event time, and the part of the users it is about."""

    kind: str
    first_us: int
    end_us: int
    dimension: str | None = None
    value: str | None = None
    size: float = 1.0


def read_faults(text: str, *, seed: int) -> Faults | None:
    """``none``, ``default``, ``all``, or kinds with shares: ``future=0.001,alias=0.02``. Raises ``UsageError``."""
    if text == "none":
        return None
    if text in {"default", "all"}:
        return Faults(shares=dict(DEFAULT if text == "default" else KINDS), seed=seed)
    return Faults(shares=dict(_one(part) for part in text.split(",")), seed=seed)


def _one(part: str) -> tuple[str, float]:
    kind, _, written = (p.strip() for p in part.partition("="))
    if kind not in KINDS:
        raise UsageError(
            "simulate.fault",
            what=f"There is no kind of fault named '{kind}'.",
            why="Nothing was written.",
            do=near_miss(kind, KINDS),
        )
    try:
        share = float(written) if written else KINDS[kind]
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise UsageError(
            "simulate.fault",
            what=f"'{written}' is not a share for '{kind}'.",
            why="Nothing was written.",
            do=f"Write a number from 0 to 1, such as {kind}={KINDS[kind]}.",
        )
    return kind, share


def draw_load_faults(world: World, faults: Faults) -> tuple[LoadFault, ...]:
    """Where the faults on stretches lie: one stretch for each kind, apart from each other."""
    rng = np.random.default_rng([faults.seed, 20_250_101])
    drawn: list[LoadFault] = []
    for no, kind in enumerate(k for k in LOAD_KINDS if k not in {"schema_drift", "broken_file"}):
        day = world.day_at(0.22 + 0.12 * no + float(rng.uniform(0, 0.05)))
        hour, hours = int(rng.integers(8, 18)), int(rng.integers(3, 9))
        platform = ("ios", "android")[int(rng.integers(2))]
        size = faults.share(kind)
        first = (day * 24 + hour) * 3_600_000_000
        whole_day, one_day = day * 86_400_000_000, 86_400_000_000
        stretch = {
            "hole_all": LoadFault(kind=kind, first_us=first, end_us=first + hours * 3_600_000_000, size=size),
            "hole_platform": LoadFault(kind=kind, first_us=whole_day, end_us=whole_day + one_day, dimension="platform", value=platform, size=size),
            "volume_drop": LoadFault(kind=kind, first_us=whole_day, end_us=whole_day + 2 * one_day, size=size),
            "mix_shift": LoadFault(kind=kind, first_us=whole_day, end_us=whole_day + 3 * one_day, dimension="platform", value=platform, size=size),
            "unit_jump": LoadFault(kind=kind, first_us=whole_day, end_us=world.end_day * one_day + one_day, dimension="platform", value=platform, size=size),
            "currency_jump": LoadFault(kind=kind, first_us=whole_day, end_us=world.end_day * one_day + one_day, dimension="currency", value="GBP", size=size),
        }  # fmt: skip
        if size > 0:
            drawn.append(stretch[kind])
    return tuple(drawn)
