"""An effect that fades or settles: cohorts of users by the time since they met it, one curve through all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["Fading", "fit_fading"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fading:
    """The effect ``lasting + passing * exp(-rate * age)`` in an age's period, with the covariance of the three.

    ``lasting`` and ``passing`` are in the unit of the effect a period, ``rate`` is per period; ``chi2`` and ``df`` say how
    well the curve fits.
    """

    lasting: float
    passing: float
    rate: float
    covariance: Floats
    chi2: float
    df: int

    def total(self, n_periods: int) -> tuple[float, float]:
        """The effect over the first so many periods, and its standard error (delta method)."""
        age = np.arange(n_periods, dtype=np.float64)
        gone = np.exp(-self.rate * age)
        slope = np.array([n_periods, gone.sum(), -self.passing * float(age @ gone)])
        value = n_periods * self.lasting + self.passing * float(gone.sum())
        return value, float(np.sqrt(max(slope @ self.covariance @ slope, 0.0)))


def fit_fading(age: Floats, effect: Floats, std_error: Floats) -> Fading | None:
    """One curve through effects of cohorts at ages, each weighed by its precision; None for fewer than four, or no fit.

    Parameters
    ----------
    age
        Shape (points,): periods since exposure, 0 for the first; the same age of several cohorts may come again.
    effect, std_error
        Shape (points,): the effect in that period alone, and its standard error. Points must be of disjoint users or
        periods far apart to be independent; those of one cohort are correlated, and then the error is too small.
    """
    if age.size < 4 or np.unique(age).size < 3 or not (std_error > 0).all():
        return None
    search: Any = optimize.curve_fit  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    last, first = effect[age == age.max()].mean(), effect[age == age.min()].mean()
    start = [float(last), float(first - last), 2.0 / max(float(age.max()), 1.0)]
    try:
        found, covariance = search(
            _curve, age, effect, p0=start, sigma=std_error, absolute_sigma=True,
            bounds=([-np.inf, -np.inf, 1e-6], [np.inf, np.inf, 10.0]), maxfev=5000,
        )  # fmt: skip
    except RuntimeError:
        return None
    if not np.isfinite(covariance).all():
        return None
    left = (effect - _curve(age, *found)) / std_error
    return Fading(
        lasting=float(found[0]),
        passing=float(found[1]),
        rate=float(found[2]),
        covariance=np.asarray(covariance, dtype=np.float64),
        chi2=float(left @ left),
        df=int(age.size - 3),
    )


def _curve(age: Floats, lasting: float, passing: float, rate: float) -> Floats:
    return lasting + passing * np.exp(-rate * age)
