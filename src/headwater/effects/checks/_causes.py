"""What the pattern of a sample ratio mismatch points to (after the taxonomy of Fabijan et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.effects.check import LEVEL
from headwater.effects.checks._counts import ALIKE, Counts, arm_counts, counts_by
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.numerics.sample_ratio import homogeneity, srm

__all__ = ["Causes", "causes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes:
    """Where the mismatch is, in words, and what to look into."""

    seen: str
    do: str


def causes(plan: Plan, gathered: Gathered) -> Causes:
    """Which arm is short, and whether one day, a day from which on, or one segment carries the mismatch."""
    share = np.array([arm.share for arm in plan.arms])
    counts = arm_counts(plan, gathered)
    short = int(np.argmin(counts / share))
    is_control = short == 0
    seen = [f"The {'control' if is_control else 'arm'} '{plan.arms[short].name}' is short."]
    do = [_who_is_lost(is_control)]
    for is_day in (True, False):
        parts = counts_by(plan, gathered, is_day=is_day)
        if parts is not None and (found := _where(parts, share, is_day=is_day)):
            seen.append(found[0])
            do.insert(0, found[1])
    return Causes(seen=" ".join(seen), do=" ".join(do))


def _who_is_lost(is_control: bool) -> str:
    if is_control:
        return "Look for what only the control does: a filter or bot rule it alone trips, or exposures logged late."
    return "Look for what the treatment loses before its exposure is logged: a redirect, a slower page, a crash, a failed download."


def _where(parts: Counts, share: NDArray[np.float64], *, is_day: bool) -> tuple[str, str] | None:
    if len(parts.parts) > 2 and (one := _carrier(parts, share)) is not None:
        name = parts.parts[one]
        if is_day:
            return (
                f"One day carries it: {name}.",
                f"Look for a release, an outage or a lost delivery of {name}, and analyze without that day.",
            )
        return (
            f"One segment carries it: {name}.",
            f"Look at how {name} assigns and logs exposures: its own client, cache or filter.",
        )
    if not is_day:
        return None
    if homogeneity(parts.n)[1] > ALIKE:
        return (
            "It is there from the first day on, about the same on every day.",
            "Check the assignment itself: the shares that are configured, and the hash.",
        )
    since = _since(parts, share)
    if since is None:
        return None
    return (
        f"It is there from {parts.parts[since]} on, not before.",
        f"Look for what changed on {parts.parts[since]}: a release, or shares that were changed (then give days as strata).",
    )


def _carrier(parts: Counts, share: NDArray[np.float64]) -> int | None:
    """The one part without which the rest keep the shares; None where there is none."""
    worst = int(np.argmin(parts.p))
    rest = np.delete(parts.n, worst, axis=0).sum(axis=0)
    return worst if parts.p_adjusted[worst] < LEVEL and srm(rest, share)[1] > ALIKE else None


def _since(parts: Counts, share: NDArray[np.float64]) -> int | None:
    """The day before which the shares hold and from which on they do not."""
    before = parts.n.cumsum(axis=0)
    whole = before[-1]
    p_before = np.array([srm(b, share)[1] for b in before[:-1]])
    p_after = np.array([srm(whole - b, share)[1] for b in before[:-1]])
    fits = np.flatnonzero((p_before > ALIKE) & (p_after < LEVEL))
    return int(fits[np.argmin(p_after[fits])]) + 1 if fits.size else None
