"""The share of users who took a step among those who took the step before."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity
from headwater.effects.kind import findings_on_size
from headwater.effects.metric import Metric
from headwater.numerics.moments import Moments

__all__ = ["FunnelStep"]

_FEW = 10  # users at the step before, on the rarer side, from which the normal distribution serves


class FunnelStep:
    """Users with ``outcome`` above zero among those with ``over`` above zero; a ratio, for both are outcomes of the arm."""

    about: ClassVar[str] = "the share of users who took a step among those who took the step before"
    method: ClassVar[str] = "welch"

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """Whether a user took both steps, and whether the one before."""
        if metric.over is None:
            raise UsageError(
                "metric.incomplete",
                what=f"The metric {metric.name} is a funnel step and says no 'over'.",
                why="A step is taken by those who took the one before.",
                do='Say it, such as over = "visits".',
            )
        before = f"({metric.over}) > 0"
        return (f"(({metric.outcome}) > 0) and ({before})", before)

    def value(self, means: NDArray[np.float64]) -> float:
        """One share over the other."""
        return float(means[0] / means[1])

    def gradient(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(1, -R) / share that took the step before``."""
        return np.array([1.0, -means[0] / means[1]]) / means[1]

    def findings(self, metric: Metric, moments: Moments, *, arm: str) -> tuple[Finding, ...]:
        """Too few users, nobody at the step before, or few on the rarer side."""
        few = findings_on_size(metric, moments, arm=arm)
        if few:
            return few
        whole = moments.pooled()
        n = float(whole.n[0])
        both, before = (round(n * float(share)) for share in whole.mean[0, :2])
        if before == 0:
            return (_nobody(metric, arm, n=round(n)),)
        rarer = min(both, before - both)
        return () if rarer >= _FEW else (_rare(metric, arm, rarer=rarer, before=before),)


def _nobody(metric: Metric, arm: str, *, n: int) -> Finding:
    return Finding(
        code="funnel_step.nobody",
        severity=Severity.BLOCK,
        what=f"{metric.name}: none of {n:,} users of arm {arm} took the step before ({metric.over}).",
        why="A share of nobody is no number.",
        do="Wait for more users, or look whether that step is logged.",
        numbers={"n_users": n},
    )


def _rare(metric: Metric, arm: str, *, rarer: int, before: int) -> Finding:
    return Finding(
        code="funnel_step.rare",
        severity=Severity.WARN,
        what=f"{metric.name}: on the rarer side stand {rarer} of the {before:,} users of arm {arm} who took the step before.",
        why=f"Below {_FEW} the normal distribution misjudges how such a count may vary.",
        do="Wait for more users before you read it closely.",
        numbers={"rarer": rarer, "n_before": before},
    )
