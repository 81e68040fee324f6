"""Mean bias: how far predictions lie from outcomes on average, in the unit of the target."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights, weighted_means

__all__ = ["MeanBias"]


class MeanBias:
    """Mean of predicted - actual. Its absolute value is the AMBE of Li et al. (2022); defined where the total is not."""

    about: ClassVar[str] = "How far a user's prediction lies above (+) or below (-) the outcome on average."
    better: ClassVar[Better] = Better.ZERO
    unit: ClassVar[str] = "unit of the target"

    def refuse(self, sample: ScoredUsers) -> Finding | None:  # noqa: ARG002  known for any users
        """Never: it is defined for every sample."""
        return None

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The bias on each resample, shape (resamples,)."""
        return weighted_means(sample, weights=weights, of=sample.predicted - sample.actual)
