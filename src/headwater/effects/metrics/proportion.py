"""The share of users with an outcome of 1."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding, Severity
from headwater.effects.kind import findings_on_size
from headwater.effects.metric import Metric
from headwater.numerics.moments import Moments

__all__ = ["Proportion"]

_ROUNDING = 1e-6  # sums of squares of millions of ones agree to far more digits
_FEW = 10  # users on the rarer side of each arm, from which the normal distribution serves


class Proportion:
    """The share of users whose outcome is 1; all others have 0."""

    about: ClassVar[str] = "the share of users whose outcome is 1"
    method: ClassVar[str] = "welch"

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """The outcome, 0 or 1."""
        return (metric.outcome,)

    def value(self, means: NDArray[np.float64]) -> float:
        """The share."""
        return float(means[0])

    def gradient(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """One."""
        return np.ones_like(means)

    def findings(self, metric: Metric, moments: Moments, *, arm: str) -> tuple[Finding, ...]:
        """Outcomes that are not 0 or 1, too few users, or too few on the rarer side."""
        few = findings_on_size(metric, moments, arm=arm)
        if few:
            return few
        if _is_not_binary(moments):
            return (_outside(metric, arm, share=float(moments.pooled().mean[0, 0])),)
        n = float(moments.n.sum())
        ones = round(n * float(moments.pooled().mean[0, 0]))
        rarer = min(ones, round(n) - ones)
        return () if rarer >= _FEW else (_rare(metric, arm, rarer=rarer, n=round(n)),)


def _is_not_binary(moments: Moments) -> bool:
    """Of zeros and ones the scatter is n p (1 - p), in each group; of anything else hardly ever."""
    mean, scatter = moments.mean[:, 0], moments.scatter[:, 0, 0]
    off = np.abs(scatter - moments.n * mean * (1 - mean)) > _ROUNDING * np.maximum(moments.n, 1)
    return bool((off | (mean < -_ROUNDING) | (mean > 1 + _ROUNDING)).any())


def _outside(metric: Metric, arm: str, *, share: float) -> Finding:
    return Finding(
        code="proportion.outside",
        severity=Severity.BLOCK,
        what=f"{metric.name}: outcomes of arm {arm} are not all 0 or 1; their mean is {share:.6g}.",
        why="A share counts users who did something. Of other numbers its name and its error would be wrong.",
        do=f"Declare the kind mean, or an outcome that is 0 or 1, such as '{metric.outcome} > 0'.",
        numbers={"mean": share},
    )


def _rare(metric: Metric, arm: str, *, rarer: int, n: int) -> Finding:
    return Finding(
        code="proportion.rare",
        severity=Severity.WARN,
        what=f"{metric.name}: on the rarer side stand {rarer} of {n} users of arm {arm}.",
        why=f"Below {_FEW} the normal distribution misjudges how such a count may vary: intervals are too short on one side.",
        do="Wait for more users, or read it by the method permutation.",
        numbers={"rarer": rarer, "n_users": n},
    )
