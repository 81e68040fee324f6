"""Value capture at 1%: the share of all value that the hundredth of users predicted highest brought."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding
from headwater.evaluation.refusals import refuse_few_users, refuse_no_positive_total
from headwater.evaluation.scored import Better, Floats, ScoredUsers, Weights
from headwater.evaluation.scores._capture import captured

__all__ = ["TopPercentCapture"]


class TopPercentCapture:
    """Actual value in the top predicted hundredth over all actual value; see ``top_decile_capture``."""

    about: ClassVar[str] = "Share of all value brought by the hundredth of users predicted highest."
    better: ClassVar[Better] = Better.HIGHER
    unit: ClassVar[str] = "share of actual total"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.no_positive_actual``, ``score.too_few_users``."""
        return refuse_no_positive_total(sample) or refuse_few_users(sample, least=100)

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The share on each resample, shape (resamples,)."""
        return captured(sample, weights=weights, top=0.01)
