"""A forecast as arrays: what each user will be worth, with its interval and what totals need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forecast"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Arrays of shape (n_users,), in the order of the snapshot's rows, in the target's unit.

    ``low`` and ``high`` bound one user's outcome at ``level``. Intervals of users do not add: a total over
    a group needs ``variance`` and the error its users share (``numerics.intervals.interval_of_total``).
    """

    mean: Floats
    low: Floats
    high: Floats
    variance: Floats
    level: float
    method: str

    def __post_init__(self) -> None:
        shapes = {a.shape for a in (self.mean, self.low, self.high, self.variance)}
        if len(shapes) != 1:
            raise ValueError(f"a forecast's arrays must have one shape, not {shapes}")
