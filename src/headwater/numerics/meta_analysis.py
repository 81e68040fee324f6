"""Effects of many experiments together: their mean, how much they truly differ, and what to expect of the next.

Random effects: y_i ~ N(theta_i, v_i), theta_i ~ N(mu, tau^2), tau^2 by restricted maximum likelihood (Viechtbauer
2005). What to expect of the next effect integrates over tau (Gelman et al., BDA3, 5.4): with one tau^2 put in its
place, 95% intervals of a next effect held 87% in simulation. Student's t of n - 2 as Higgins et al. (2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.shrinkage import cochran_q

__all__ = ["LEAST_EFFECTS", "Pooled", "Spreads", "pooled", "reml_variance", "spreads"]

Floats = NDArray[np.float64]
LEAST_EFFECTS = 3  # of fewer nothing bounds how much effects differ
_MOST_STEPS = 10_000
_CLOSE = 1e-10
_POINTS = 1000
_REACH = 10.0  # times the spread of the estimates and their median error: beyond it tau has no weight left


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """``mean`` of true effects with its error and interval; ``tau2`` their variance; Cochran's ``q`` and its p.

    ``next_sd`` is the standard deviation of a next true effect around ``mean``, with not knowing the mean;
    ``next_low`` and ``next_high`` bound it.
    """

    mean: float
    std_error: float
    low: float
    high: float
    tau2: float
    q: float
    p_q: float
    next_sd: float
    next_low: float
    next_high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spreads:
    """What tau may be: ``tau``, its ``weight``, and the mean of true effects with its variance given each, (points,)."""

    tau: Floats
    weight: Floats
    center: Floats
    center_variance: Floats


def spreads(effects: Floats, variances: Floats) -> Spreads:
    """The posterior of tau on a grid, under a flat prior of it and of the mean."""
    most = _REACH * float(effects.std() + np.sqrt(np.median(variances)))
    tau = (np.arange(_POINTS) + 0.5) / _POINTS * most
    precision = 1 / (variances + tau[:, None] ** 2)
    whole = precision.sum(axis=1)
    center = precision @ effects / whole
    squares = (precision * (effects - center[:, None]) ** 2).sum(axis=1)
    density = 0.5 * (np.log(precision).sum(axis=1) - np.log(whole) - squares)
    weight = np.exp(density - density.max())
    return Spreads(tau=tau, weight=weight / weight.sum(), center=center, center_variance=1 / whole)


def reml_variance(effects: Floats, variances: Floats) -> float:
    """tau^2 by restricted maximum likelihood, at least 0."""
    tau2 = float(max(0.0, effects.var(ddof=1) - variances.mean()))
    for _ in range(_MOST_STEPS):
        weight = 1 / (variances + tau2)
        center = float(np.average(effects, weights=weight))
        squared = float((weight**2).sum())
        excess = float((weight**2 * ((effects - center) ** 2 - variances)).sum())
        new = max(0.0, excess / squared + 1 / float(weight.sum()))
        if abs(new - tau2) <= _CLOSE * (tau2 + float(variances.mean())):
            return new
        tau2 = new
    return tau2


def pooled(effects: Floats, variances: Floats, *, level: float = 0.95) -> Pooled | None:
    """All effects as one, shapes (n,); None below three."""
    n = effects.size
    if n < LEAST_EFFECTS:
        return None
    tau2 = reml_variance(effects, variances)
    weight = 1 / (variances + tau2)
    mean, error = float(np.average(effects, weights=weight)), float(weight.sum()) ** -0.5
    reach = float(special.ndtri((1 + level) / 2)) * error
    now = spreads(effects, variances)
    middle = float(now.weight @ now.center)
    next_sd = float(now.weight @ (now.tau**2 + now.center_variance + (now.center - middle) ** 2)) ** 0.5
    next_reach = float(special.stdtrit(n - 2, (1 + level) / 2)) * next_sd
    q, p_q = cochran_q(effects, variances)
    return Pooled(
        mean=mean, std_error=error, low=mean - reach, high=mean + reach, tau2=tau2, q=q, p_q=p_q, next_sd=next_sd,
        next_low=middle - next_reach, next_high=middle + next_reach, n=n,
    )  # fmt: skip
