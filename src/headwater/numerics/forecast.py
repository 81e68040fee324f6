"""A forecast as arrays: what each user will be worth, with its interval and what totals need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.numerics import intervals
from headwater.numerics.intervals import BinnedQuantiles

__all__ = ["Forecast"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Arrays of shape (n_users,), in the order of the snapshot's rows, in the target's unit.

    ``low`` and ``high`` bound one user's outcome at ``level``. Intervals of users do not add: a total over
    a group needs ``variance`` and the error its users share (``numerics.intervals.interval_of_total``).
    ``bins`` holds what the bounds were learned from, where they were learned from past errors: quantiles at any
    level come from it when asked, for they would fill a hundred times the memory.
    """

    mean: Floats
    low: Floats
    high: Floats
    variance: Floats
    level: float
    method: str
    bins: BinnedQuantiles | None = None

    def __post_init__(self) -> None:
        shapes = {a.shape for a in (self.mean, self.low, self.high, self.variance)}
        if len(shapes) != 1:
            raise ValueError(f"a forecast's arrays must have one shape, not {shapes}")

    def quantiles(self, levels: Floats) -> Floats | None:
        """Quantiles of every user's outcome, shape (levels, n_users); None where no past errors are known."""
        return None if self.bins is None else intervals.quantiles(self.bins, self.mean, levels)

    def randomized_chances(self, actual: Floats) -> Floats | None:
        """The chance that the randomized interval of each user holds the outcome; None as above."""
        return None if self.bins is None else intervals.randomized_chances(self.bins, self.mean, actual)
