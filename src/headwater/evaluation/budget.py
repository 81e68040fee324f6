"""The error budget: how much of the squared error is level, shape and order, and how much nobody could have known.

The shape is what the best rising curve would still correct (isotonic regression), as in the score
decomposition of Dimitriadis, Gneiting and Jordan (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.errors import UsageError

__all__ = ["ErrorBudget", "error_budget"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """Parts of the mean squared error of one model at one origin; in the squared unit of the target, adding to ``total``.

    ``level``: the mean is off. ``shape``: the right order stretched wrongly. Where the truth is known,
    ``order`` is what users with the same forecast differ by in truth, and ``noise`` what no forecast could
    know; otherwise both are None and ``rest`` holds their sum. It has the shape's curve fitted to the same
    users, and is a little too small on few of them.
    """

    model: str
    origin: int
    total: float
    level: float
    shape: float
    rest: float
    order: float | None = None
    noise: float | None = None


def error_budget(
    predicted: Floats, actual: Floats, *, model: str, origin: int, truth: Floats | None = None
) -> ErrorBudget:
    """Divide the mean squared error.

    Parameters
    ----------
    predicted, actual
        Shape (users,).
    truth
        Each user's expected outcome, where it is known (a simulated app).

    Raises ``UsageError`` (``budget.shapes``).
    """
    _require_shapes(predicted, actual, truth)
    total = float(np.mean((actual - predicted) ** 2))
    aim = actual if truth is None else truth
    level = float(np.mean(aim) - np.mean(predicted)) ** 2
    off = float(np.mean((aim - predicted) ** 2))
    left = float(np.mean((aim - _risen(predicted, aim)) ** 2))
    shape = max(off - level - left, 0.0)
    return ErrorBudget(
        model=model,
        origin=origin,
        total=total,
        level=level,
        shape=shape,
        rest=total - level - shape,
        order=None if truth is None else left,
        noise=None if truth is None else total - off,
    )


def _risen(predicted: Floats, aim: Floats) -> Floats:
    """The best curve of the prediction that never falls, at each user; equal predictions get one value."""
    distinct, at = np.unique(predicted, return_inverse=True)
    weights = np.bincount(at).astype(np.float64)
    means = np.bincount(at, aim) / weights
    if distinct.size == 1:
        return means[at]
    fitted: Floats = optimize.isotonic_regression(means, weights=weights).x
    return fitted[at]


def _require_shapes(predicted: Floats, actual: Floats, truth: Floats | None) -> None:
    if (
        predicted.ndim != 1
        or predicted.shape != actual.shape
        or (truth is not None and truth.shape != actual.shape)
    ):
        raise UsageError(
            "budget.shapes",
            what=f"Predictions have shape {predicted.shape}, outcomes {actual.shape}, the truth {None if truth is None else truth.shape}.",
            why="Each user needs one of each.",
            do="Pass arrays over the same users in the same order.",
        )
