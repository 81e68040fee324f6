"""Top decile capture: the share of all value that the tenth of users predicted highest brought."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_few_users, refuse_no_positive_total
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights
from headwater.evaluation.scores._capture import captured

__all__ = ["TopDecileCapture"]


class TopDecileCapture:
    """Actual value in the top predicted tenth over all actual value.

    Users tied at the border count with the fraction that lies above it. The total is net of refunds, so
    the share can exceed 1 where the other users net to less than zero.
    """

    about: ClassVar[str] = "Share of all value brought by the tenth of users predicted highest."
    better: ClassVar[Better] = Better.HIGHER
    unit: ClassVar[str] = "share of actual total"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_positive_actual``, ``score.too_few_users``."""
        return refuse_no_positive_total(sample) or refuse_few_users(sample)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The share on each resample, shape (resamples,)."""
        return captured(sample, weights=weights, top=0.1)
