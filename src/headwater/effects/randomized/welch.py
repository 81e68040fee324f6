"""Means as they are, with a variance for each arm."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding
from headwater.effects.by_arm import pair_of
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric

__all__ = ["Welch"]


class Welch:
    """Compares means, shares and ratios as they are; arms may differ in spread."""

    about: ClassVar[str] = "means as they are, each arm with its own variance; ratios by the delta method"

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms without adjusting for anything."""
        pair = pair_of(metric, gathered, control=control, arm=arm)
        return pair if isinstance(pair, Finding) else pair.without_covariates().compared("Welch")
