"""Who renewed and who left at each renewal, cohort after cohort: all that a contract model needs to know.

The likelihood of a cohort is a product over its customers, so cohorts of any age add up to two counts for each
renewal: who left at it, and who had survived it when last seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headwater.core.errors import DataError
from headwater.numerics.rfm import Floats

__all__ = ["Renewals"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Renewals:
    """Customers by how many renewals they came to, arrays ``(n_renewals,)``; index 0 is the first renewal.

    Attributes
    ----------
    left
        Customers who left at this renewal.
    kept
        Customers last seen after surviving this renewal: right-censored, the next one is not known.

    Raises
    ------
    DataError
        ``renewals.impossible`` where counts are negative or not finite, nobody came to a renewal, or shapes differ.
    """

    left: Floats
    kept: Floats

    def __post_init__(self) -> None:
        for name in ("left", "kept"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        same = self.left.shape == self.kept.shape and self.left.ndim == 1 and self.left.size > 0
        if not same or not all(_are_counts(c) for c in (self.left, self.kept)) or self.n_users == 0:
            raise DataError(
                "renewals.impossible",
                what=f"Counts of customers who left, {self.left.shape}, and who were kept, {self.kept.shape}, "
                "by renewal: they are no counts of anybody.",
                why="Each customer either left at a renewal or was last seen after surviving one.",
                do="Give two arrays of one length, not negative, with somebody in them.",
            )

    @classmethod
    def of_survivors(cls, cohorts: Sequence[ArrayLike]) -> Renewals:
        """Cohorts as how many were there at the start, after the first renewal, after the second, and so on.

        Younger cohorts are shorter. Raises ``DataError`` where a cohort grows.
        """
        counts = [np.asarray(c, dtype=np.float64) for c in cohorts]
        size = max((c.size for c in counts), default=1) - 1
        left, kept = np.zeros(size), np.zeros(size)
        for cohort in counts:
            if cohort.size > 1:
                left[: cohort.size - 1] -= np.diff(cohort)
                kept[cohort.size - 2] += cohort[-1]
        return cls(left=left, kept=kept)

    @property
    def n_users(self) -> float:
        """Customers who came to a renewal."""
        return float(self.left.sum() + self.kept.sum())

    @property
    def at_risk(self) -> Floats:
        """Customers who came to each renewal and whose answer is known."""
        return (self.left + self.kept)[::-1].cumsum()[::-1]


def _are_counts(values: Floats) -> bool:
    return bool(np.isfinite(values).all() and (values >= 0).all())
