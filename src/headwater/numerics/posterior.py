"""What an effect probably is, given what effects usually are: a normal prior and a normal estimate.

A reading aid beside the interval, not a second verdict: with a flat prior the chance of a positive effect is one less
the one-sided p-value. A prior from past experiments shrinks what is too good to be true.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi, sqrt

from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.effect import ArmEstimate

__all__ = ["Posterior", "Prior", "posterior_of", "relative_estimate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What effects usually are, in the unit of the estimate: a normal distribution."""

    mean: float = 0.0
    std: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """A normal distribution of the effect.

    ``p_above`` is the chance that it is above zero. ``loss_if_taken`` and ``loss_if_left`` are what is lost on
    average by taking the treatment where the effect is negative, and by leaving it where it is positive, in the
    unit of the effect (the expected loss, or risk).
    """

    mean: float
    std: float
    low: float
    high: float
    p_above: float
    loss_if_taken: float
    loss_if_left: float


def posterior_of(
    estimate: float, *, std_error: float, prior: Prior | None = None, level: float = 0.95
) -> Posterior:
    """The posterior of an effect, of which higher is better; without a prior every effect was as likely (flat)."""
    mean, std = estimate, std_error
    if prior is not None:
        weights = (1 / (std_error * std_error), 1 / (prior.std * prior.std))
        mean = (estimate * weights[0] + prior.mean * weights[1]) / sum(weights)
        std = 1 / sqrt(sum(weights))
    reach = float(special.ndtri((1 + level) / 2)) * std
    away = mean / std
    p_above, p_below = float(special.ndtr(away)), float(special.ndtr(-away))
    bell = std * exp(-away * away / 2) / sqrt(2 * pi)
    return Posterior(
        mean=mean,
        std=std,
        low=mean - reach,
        high=mean + reach,
        p_above=p_above,
        loss_if_taken=max(0.0, bell - mean * p_below),
        loss_if_left=max(0.0, bell + mean * p_above),
    )


def relative_estimate(
    control: ArmEstimate, treatment: ArmEstimate, *, covariance: float = 0.0
) -> tuple[float, float]:
    """The relative effect and its standard error by the delta method; the control's value is clear of zero."""
    ratio = treatment.value / control.value
    variance = treatment.variance + ratio * ratio * control.variance - 2 * ratio * covariance
    lift = ratio - 1 if control.value > 0 else 1 - ratio
    return lift, sqrt(variance) / abs(control.value)
