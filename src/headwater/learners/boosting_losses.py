"""What boosted trees may be grown for: the objectives, their losses, and the lognormal one, which LightGBM lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headwater.numerics import zero_inflated_lognormal as ziln

__all__ = ["Objective", "lognormal_start", "lognormal_step", "loss_of", "settled"]

Floats = NDArray[np.float64]
_LEAST_SPREAD, _MOST_SPREAD = 0.2, 2.0
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is fitted: a chance, a mean (squared error, gamma, Tweedie), a quantile, or the (mu, sigma) of a lognormal.

    ``power`` is Tweedie's, between 1 and 2; ``level`` the quantile's.
    """

    kind: Literal["binary", "regression", "gamma", "tweedie", "quantile", "lognormal"]
    power: float = 1.5
    level: float = 0.5

    @property
    def n_outputs(self) -> int:
        """How many scores each row has."""
        return 2 if self.kind == "lognormal" else 1


def loss_of(objective: Objective, predicted: Floats, target: Floats) -> float:
    """The mean loss of predictions, as ``Boosted.predict`` gives them."""
    if objective.kind == "lognormal":
        mu, sigma = predicted[:, 0], predicted[:, 1]
        return float(
            ziln.loss(target, logit=np.full(target.shape, 50.0), mu=mu, log_sigma=np.log(sigma)).mean()
        )
    m = np.maximum(predicted, _TINY)
    match objective.kind:
        case "binary":
            p = np.minimum(m, 1 - _TINY)
            rows = -np.where(target > 0, np.log(p), np.log1p(-p))
        case "gamma":
            rows = target / m + np.log(m)
        case "tweedie":
            a = objective.power
            rows = m ** (2 - a) / (2 - a) - target * m ** (1 - a) / (1 - a)
        case "quantile":
            off = target - predicted
            rows = np.maximum(objective.level * off, (objective.level - 1) * off)
        case _:
            rows = (target - predicted) ** 2
    return float(rows.mean())


def lognormal_start(target: Floats) -> Floats:
    """Where boosting begins: mean and log of the standard deviation of the logarithms of amounts, shape (2,)."""
    logs = np.log(target)
    return np.array([logs.mean(), np.log(max(float(logs.std()), 1e-3))])


def settled(scores: Floats, start: Floats) -> Floats:
    """(mu, sigma) of raw scores, shape (n, 2); sigma stays between a fifth and twice that of all amounts."""
    low, high = start[1] + np.log(_LEAST_SPREAD), start[1] + np.log(_MOST_SPREAD)
    return np.column_stack([scores[:, 0], np.exp(np.clip(scores[:, 1], low, high))])


def lognormal_step(target: Floats, scores: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Gradient and expected curvature by (mu, log sigma) at raw scores, shapes (n, 2): a step of natural gradient boosting.

    Duan et al. (2020), NGBoost. The curvature of log sigma is its expectation, so that no single amount makes a step
    explode.
    """
    mu, sigma = settled(scores, start).T
    surely = np.full(target.shape, 50.0)
    slope = ziln.gradient(target, logit=surely, mu=mu, log_sigma=np.log(sigma))
    curve = ziln.fisher(target, logit=surely, log_sigma=np.log(sigma))
    return slope[:, 1:], curve[:, 1:]
