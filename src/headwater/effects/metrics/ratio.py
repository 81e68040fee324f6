"""The ratio of two totals over users."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity
from headwater.effects.kind import findings_on_size
from headwater.effects.metric import Metric
from headwater.numerics.moments import Moments

__all__ = ["Ratio"]

_CLEAR = 1.96  # standard errors from zero below which a denominator may be anything
_LOOSE = 0.1  # relative error of a denominator from which the delta method is crude (Cochran 1977, 6.4)


class Ratio:
    """The total of the outcome over the total of ``over``, such as revenue per order."""

    about: ClassVar[str] = "the total of the outcome over the total of another column"
    method: ClassVar[str] = "welch"

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """The outcome and what it is divided by."""
        if metric.over is None:
            raise UsageError(
                "metric.incomplete",
                what=f"The metric {metric.name} is a ratio and says no 'over'.",
                why="A ratio needs what the outcome is divided by.",
                do='Say it, such as over = "orders".',
            )
        return (metric.outcome, metric.over)

    def value(self, means: NDArray[np.float64]) -> float:
        """One mean over the other."""
        return float(means[0] / means[1])

    def gradient(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(1, -R) / mean of over``: then a user's part is (outcome - R over) / mean of over."""
        return np.array([1.0, -means[0] / means[1]]) / means[1]

    def findings(self, metric: Metric, moments: Moments, *, arm: str) -> tuple[Finding, ...]:
        """Too few users, or a denominator that is not clear of zero."""
        few = findings_on_size(metric, moments, arm=arm)
        if few:
            return few
        whole = moments.pooled()
        mean, n = float(whole.mean[0, 1]), float(whole.n[0])
        error = sqrt(max(float(whole.covariance()[0, 1, 1]), 0.0) / n)
        if abs(mean) <= _CLEAR * error:
            return (_unclear(metric, arm, mean=mean, error=error),)
        return (_loose(metric, arm, relative=error / abs(mean)),) if error > _LOOSE * abs(mean) else ()


def _unclear(metric: Metric, arm: str, *, mean: float, error: float) -> Finding:
    return Finding(
        code="ratio.denominator",
        severity=Severity.BLOCK,
        what=f"{metric.name}: the mean of {metric.over} in arm {arm} is {mean:.6g} with a standard error of {error:.3g}.",
        why="It may as well be zero, and over zero a ratio can be anything.",
        do="Wait for more users, or compare the mean of the outcome in place of the ratio.",
        numbers={"mean": mean, "std_error": error},
    )


def _loose(metric: Metric, arm: str, *, relative: float) -> Finding:
    return Finding(
        code="ratio.loose_denominator",
        severity=Severity.WARN,
        what=f"{metric.name}: the mean of {metric.over} in arm {arm} is known to {relative:.0%} only.",
        why=f"Above {_LOOSE:.0%} the ratio is skewed, and an interval that reaches as far to both sides misses on one.",
        do="Wait for more users before you read it closely.",
        numbers={"relative_error": relative},
    )
