"""A quantile of an arm with its error from order statistics, without resampling.

The interval of a quantile runs between two order statistics; its width gives the standard error (Deng, Knoblich and Lu
2018; Yao, Li and Lu 2024, arXiv 2401.14549). Rows that come in clusters widen it by the root of how much more the share
of rows below the quantile varies than among independent rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.effect import ArmEstimate
from headwater.numerics.moments import Moments

__all__ = ["Z_OF_BOUNDS", "bound_ranks", "quantile_estimate", "quantile_inflation"]

Z_OF_BOUNDS = 1.959964


def bound_ranks(n: int, share: float) -> tuple[int, int, int]:
    """Ranks, 1 to n, of the lower bound, the quantile and the upper bound among n rows in ascending order."""
    reach = Z_OF_BOUNDS * np.sqrt(n * share * (1 - share))
    low, middle, high = np.ceil([n * share - reach, n * share, n * share + reach]).astype(int)
    return (max(int(low), 1), min(max(int(middle), 1), n), min(int(high), n))


def quantile_estimate(
    *, value: float, low: float, high: float, n: int, n_users: int, inflation: float = 1.0
) -> ArmEstimate | None:
    """The quantile of an arm; None where both bounds are the same value, whose spread is then not to be seen.

    Parameters
    ----------
    value, low, high
        The quantile and the order statistics 1.959964 standard errors of the rank below and above.
    n, n_users
        Rows, and users they are of.
    inflation
        Variance of the share of rows below the quantile over that of independent rows.
    """
    if n < 2 or not high > low:
        return None
    error = (high - low) / (2 * Z_OF_BOUNDS)
    return ArmEstimate(
        value=value, variance=error * error * (n - 1) / n * inflation, df=float(n_users - 1), n=float(n_users)
    )


def quantile_inflation(users: Moments, *, share: float) -> NDArray[np.float64]:
    """How much more the share of rows below a quantile varies than among independent rows, shape (groups,).

    ``users`` holds, for each user, the number of their rows below the quantile and of all their rows; the share
    is a ratio of two totals over users (delta method).
    """
    below, rows = users.mean[:, 0], users.mean[:, 1]
    slopes = np.stack([np.ones_like(below), -below / rows], axis=1) / rows[:, None]
    of_users = np.einsum("gi,gij,gj->g", slopes, users.covariance(), slopes) / users.n
    return of_users / (share * (1 - share) / (users.n * rows))
