"""An arm's plain estimate of a metric that is a mean."""

from __future__ import annotations

from headwater.effects.gathered import Gathered, MetricState
from headwater.effects.linear import by_arm
from headwater.numerics.effect import ArmEstimate

__all__ = ["plain_arm"]


def plain_arm(gathered: Gathered, state: MetricState, arm: str) -> ArmEstimate:
    """Mean of the outcome and its variance, without covariates; of fewer than two users the variance is zero."""
    moments = by_arm(gathered, state.moments.columns([0]), (arm,))
    n, scatter = float(moments.n[0]), float(moments.scatter[0, 0, 0])
    variance = scatter / (n - 1) / n if n > 1 else 0.0
    return ArmEstimate(value=float(moments.mean[0, 0]), variance=variance, df=n - 1, n=n)
