"""Means adjusted by what was known of users before exposure."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding
from headwater.effects.by_arm import counted, pair_of
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric

__all__ = ["Cuped"]


class Cuped:
    """Adjusts by covariates with slopes of each arm's own, read at the means of everyone in the experiment."""

    about: ClassVar[str] = "means adjusted by covariates known before exposure, each arm with its own slopes"

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms at everyone's covariates; without any covariate it is Welch."""
        pair = pair_of(metric, gathered, control=control, arm=arm)
        if isinstance(pair, Finding):
            return pair
        return pair.compared(f"CUPED ({counted(pair.n_covariates, 'covariate', 'covariates')})")
