"""Means adjusted by what a model, fitted to other users, expected of each user before exposure."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding
from headwater.effects.by_arm import pair_of
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric

__all__ = ["MlCovariate"]


class MlCovariate:
    """Adjusts by a prediction as one covariate more: its slope is estimated, so that a poor prediction does no harm."""

    about: ClassVar[str] = (
        "adjusted by a cross-fitted prediction of the outcome, used as a covariate (MLRATE)"
    )

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms at everyone's predictions and other covariates."""
        pair = pair_of(metric, gathered, control=control, arm=arm)
        if isinstance(pair, Finding):
            return pair
        others = pair.n_covariates - 1
        return pair.compared("CUPED on a prediction" + (f" and {others} more" if others > 0 else ""))
