"""Weights of a blend of forecasts: what each is worth beside the others, learned from a window that has ended."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["blend_weights"]

Floats = NDArray[np.float64]

_PAYERS_OF_THE_PRIOR = 50.0
_FLOOR = 1e-6


def blend_weights(forecasts: Floats, actual: Floats) -> Floats:
    """Weights that are not negative and add up to one, by the Poisson quasi-likelihood of the outcomes.

    The quasi-likelihood (Wedderburn 1974) is right for a mean whose variance grows with it, whatever else
    the distribution: it asks for the mean, as squared error does, but a whale does not decide alone. A
    pull towards equal weights counts as much as fifty payers, so that a small log gets the plain average.
    The weights add up to one, so the blend cannot chase the level of the one window it was learned from.

    Parameters
    ----------
    forecasts
        Shape (n_users, n_members), in the unit of the outcome; counted as zero where below it.
    actual
        Shape (n_users,); an outcome below zero (net refunds) counts as zero here.

    Returns
    -------
    Shape (n_members,). Equal weights where no outcome or no forecast is above zero.
    """
    n_members = forecasts.shape[1]
    equal = np.full(n_members, 1 / n_members)
    outcome = np.maximum(actual, 0.0)
    level = float(outcome.mean()) if outcome.size else 0.0
    if n_members == 1 or level <= 0 or not (forecasts > 0).any():
        return equal
    members = np.maximum(forecasts, 0.0) / level + _FLOOR
    outcome = outcome / level
    pull = _PAYERS_OF_THE_PRIOR / float(np.count_nonzero(outcome))

    def loss(weights: Floats) -> tuple[float, Floats]:
        mean = members @ weights
        away = weights - equal
        value = float(np.mean(mean - outcome * np.log(mean))) + pull * float(away @ away)
        slope = ((1 - outcome / mean) @ members) / outcome.size + 2 * pull * away
        return value, slope

    search: Any = optimize.minimize  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    found = search(
        loss,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n_members,
        constraints=[optimize.LinearConstraint(np.ones((1, n_members)), 1.0, 1.0)],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = np.clip(np.asarray(found.x, dtype=np.float64), 0.0, 1.0)
    return weights / weights.sum()
