"""Effects of several groups together: whether they differ, and each drawn towards all by how much they do.

The normal hierarchical model, its between-group spread integrated over by quadrature, so that intervals count not
knowing it (Gelman et al., Bayesian Data Analysis, 3rd ed., 5.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["LEAST_GROUPS", "Shrunk", "cochran_q", "shrunk"]

Floats = NDArray[np.float64]
LEAST_GROUPS = 3  # of fewer the data cannot bound the spread between groups
_POINTS = 2000
_REACH = (
    10.0  # times the spread of the estimates and the largest error: beyond it the spread has no weight left
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shrunk:
    """``value`` and ``std_error`` of each group, shape (groups,); ``center`` of all groups and ``spread`` between them.

    ``spread`` is the posterior mean of the standard deviation of true effects.
    """

    value: Floats
    std_error: Floats
    center: float
    spread: float


def cochran_q(effects: Floats, variances: Floats) -> tuple[float, float]:
    """Cochran's Q (1954) and p that all groups have one effect, of at least two groups."""
    weight = 1 / variances
    center = float(np.average(effects, weights=weight))
    q = float((weight * (effects - center) ** 2).sum())
    return q, float(special.chdtrc(effects.size - 1, q))


def shrunk(effects: Floats, variances: Floats) -> Shrunk | None:
    """Each group's effect given all, under a flat prior of the center and of the spread; None below three groups."""
    if effects.size < LEAST_GROUPS:
        return None
    most = _REACH * float(effects.std() + np.sqrt(variances.max()))
    tau = (np.arange(_POINTS) + 0.5) / _POINTS * most
    precision = 1 / (variances + tau[:, None] ** 2)
    whole = precision.sum(axis=1)
    center = (precision * effects).sum(axis=1) / whole
    density = 0.5 * (
        np.log(precision).sum(axis=1)
        - np.log(whole)
        - (precision * (effects - center[:, None]) ** 2).sum(axis=1)
    )
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    kept = tau[:, None] ** 2 * precision  # the share of a group's own estimate
    mean = kept * effects + (1 - kept) * center[:, None]
    within = kept * variances + (1 - kept) ** 2 / whole[:, None]
    value = weight @ mean
    variance = weight @ (within + (mean - value) ** 2)
    return Shrunk(
        value=value, std_error=np.sqrt(variance), center=float(weight @ center), spread=float(weight @ tau)
    )
