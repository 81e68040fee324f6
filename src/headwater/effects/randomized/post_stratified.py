"""Arms compared within strata, and the strata weighed as they are among everyone."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding
from headwater.effects.by_arm import counted, pair_of
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric

__all__ = ["PostStratified"]


class PostStratified:
    """Compares arms within strata known before exposure (and days, where arms were rolled out in stages), with covariates where there are some."""

    about: ClassVar[str] = (
        "arms within strata, weighed by everyone's shares; by day too where shares of arms moved"
    )

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms at everyone's strata, and covariates."""
        pair = pair_of(metric, gathered, control=control, arm=arm, stratified=True)
        if isinstance(pair, Finding):
            return pair
        parts = [counted(pair.n_strata, "stratum", "strata")]
        if pair.n_covariates:
            parts.append(counted(pair.n_covariates, "covariate", "covariates"))
        return pair.compared(f"post-stratified ({', '.join(parts)})")
