"""What each stop rule costs: its true error, its power, the users it needs and where it ends on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.always_valid import mixture_reach, tuned_ratio
from headwater.numerics.group_sequential import (
    crossing,
    drift_for,
    fixed_drift,
    naive_bound,
    spending_bounds,
)

__all__ = ["StopCost", "stop_costs"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopCost:
    """What a stop rule costs at these looks.

    ``power`` is at the users a fixed test needs; ``inflation`` how many times these users it needs for the planned
    power (None where it does not keep its error); ``expected_share`` the mean share of a fixed test's users at the
    end if the effect is as planned and it has the users of ``inflation``; ``error`` its true error.
    """

    method: str
    name: str
    n_looks: int
    error: float
    power: float
    inflation: float | None
    expected_share: float


def stop_costs(looks: Sequence[float], *, alpha: float, power: float) -> tuple[StopCost, ...]:
    """The stop rules at these looks beside a fixed test, and beside whoever stops at the first p below alpha."""
    fixed = fixed_drift(alpha=alpha, power=power)
    t = np.asarray(looks, dtype=np.float64)
    single = np.array([1.0])
    rules = [("fixed", "one look at the end", single, np.array([naive_bound(alpha)]))]
    if t.size > 1:
        sequence = [mixture_reach(tuned_ratio(alpha) * s, alpha) for s in looks]
        prior = [mixture_reach(fixed * fixed * s, alpha) for s in looks]
        rules += [
            ("group_sequential", "group sequential, O'Brien-Fleming", t, spending_bounds(t, alpha=alpha)),
            (
                "group_sequential_pocock",
                "group sequential, Pocock",
                t,
                spending_bounds(t, alpha=alpha, spending="pocock"),
            ),
            ("confidence_sequence", "confidence sequence", t, np.array(sequence)),
            ("msprt", "mSPRT", t, np.array(prior)),
            ("peeking", "stops at the first p below alpha", t, np.full(t.size, naive_bound(alpha))),
        ]
    return tuple(_cost(m, n, t, b, fixed=fixed, alpha=alpha, power=power) for m, n, t, b in rules)


def _cost(
    method: str, name: str, looks: Floats, bounds: Floats, *, fixed: float, alpha: float, power: float
) -> StopCost:
    keeps = method != "peeking"
    drift = drift_for(looks, bounds, power=power) if keeps else fixed
    inflation = (drift / fixed) ** 2
    return StopCost(
        method=method,
        name=name,
        n_looks=looks.size,
        error=alpha if method == "fixed" else crossing(looks, bounds).either,
        power=float(crossing(looks, bounds, drift=fixed).up.sum()),
        inflation=inflation if keeps else None,
        expected_share=crossing(looks, bounds, drift=drift).expected_share * inflation,
    )
