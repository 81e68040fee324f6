"""What the wins of a program are worth: the sum of significant effects is too high, and by how much.

Lee and Shen (KDD 2018): selected where X_i > b_i sigma_i, the sum of the selected X_i exceeds that of their true a_i
by beta = sum_i sigma_i phi((sigma_i b_i - a_i) / sigma_i). Under a normal prior of true effects, each win's posterior
mean needs no further correction: Bayes is not moved by selection (Dawid 1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.meta_analysis import Spreads, spreads

__all__ = ["Wins", "drawn", "selection_bias", "wins_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wins:
    """The sum of the wins as observed and corrected, with an interval; ``bias`` as Lee and Shen expect it under the prior."""

    n: int
    observed: float
    corrected: float
    low: float
    high: float
    bias: float


def selection_bias(true: Floats, std_errors: Floats, *, critical: Floats | float) -> float:
    """Lee and Shen's beta for known true effects, over all experiments, won or not."""
    z = critical - true / std_errors
    return float((std_errors * np.exp(-z * z / 2)).sum() / np.sqrt(2 * np.pi))


def drawn(effects: Floats, std_errors: Floats) -> tuple[Floats, Floats]:
    """Posterior mean and standard deviation of each true effect given all, shapes (n,)."""
    own, within, _ = _given_spread(effects, std_errors)
    weight = spreads(effects, std_errors**2).weight
    mean = weight @ own
    return mean, np.sqrt(weight @ (within + (own - mean) ** 2))


def wins_of(
    effects: Floats,
    std_errors: Floats,
    won: NDArray[np.bool_],
    *,
    critical: float,
    level: float = 0.95,
) -> Wins:
    """The wins among all experiments; ``effects`` are signed so that more is better, won where above ``critical`` errors."""
    own, _, kept = _given_spread(effects, std_errors)
    now = spreads(effects, std_errors**2)
    sums = own[:, won].sum(axis=1)
    corrected = float(now.weight @ sums)
    shared = (1 - kept[:, won]).sum(axis=1) ** 2 * now.center_variance  # the mean errs for all alike
    variance = (kept * std_errors**2)[:, won].sum(axis=1) + shared + (sums - corrected) ** 2
    reach = float(special.ndtri((1 + level) / 2)) * float(now.weight @ variance) ** 0.5
    return Wins(
        n=int(won.sum()),
        observed=float(effects[won].sum()),
        corrected=corrected,
        low=corrected - reach,
        high=corrected + reach,
        bias=_expected_bias(std_errors, now, critical=critical),
    )


def _given_spread(effects: Floats, std_errors: Floats) -> tuple[Floats, Floats, Floats]:
    """Each effect's posterior mean and variance, and the share of its own estimate, for each tau, (points, n)."""
    now = spreads(effects, std_errors**2)
    squared = now.tau[:, None] ** 2
    kept = squared / (squared + std_errors**2)
    own = kept * effects + (1 - kept) * now.center[:, None]
    return own, kept * std_errors**2 + (1 - kept) ** 2 * now.center_variance[:, None], kept


def _expected_bias(std_errors: Floats, now: Spreads, *, critical: float) -> float:
    """beta over the prior: each term is sigma^2 times the density of an observed effect at its threshold."""
    spread = np.sqrt(std_errors**2 + now.tau[:, None] ** 2)
    z = (critical * std_errors - now.center[:, None]) / spread
    terms = (std_errors**2 / spread * np.exp(-z * z / 2)).sum(axis=1)
    return float(now.weight @ terms / np.sqrt(2 * np.pi))
