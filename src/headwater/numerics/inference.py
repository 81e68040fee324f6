"""How sure a maximum-likelihood fit is: intervals, tests between nested models, and a bootstrap of customers.

Intervals are symmetric on the logarithm of a parameter, so that they stay positive and do not depend on the
unit. The bootstrap draws customers, not rows: on a table of distinct histories that is one count a row, and
each refit climbs from the estimate, so that a hundred refits of a million customers take seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.errors import DataError, UsageError
from headwater.numerics.maximize import Fit, Params
from headwater.numerics.resample import resample_interval
from headwater.numerics.rfm import Floats, RfmRows

__all__ = [
    "BootstrapFits",
    "LikelihoodRatio",
    "ParameterInterval",
    "Refit",
    "akaike",
    "bootstrap_fits",
    "likelihood_ratio",
    "parameter_intervals",
    "schwarz",
]

_MULTINOMIAL_UP_TO = 100_000
_LEAST_USABLE = 0.5

P = TypeVar("P", bound=Params)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterInterval:
    """One parameter with its bounds at ``level``; bounds are NaN where the parameter ran to a limit."""

    name: str
    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodRatio:
    """Twice the gain in log-likelihood of the wider model, its degrees of freedom and the p-value.

    ``at_boundary`` says that the narrower model is a limit of the wider one, where half of all samples show
    no gain at all: the p-value is then that of an equal mixture of chi-square laws.
    """

    statistic: float
    degrees: int
    p_value: float
    at_boundary: bool


class Refit(Protocol[P]):
    """A fit that can be told where to begin."""

    def __call__(self, rows: RfmRows, *, start: P | None = None) -> Fit[P]:
        """Maximum likelihood on grouped rows, from ``start``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BootstrapFits(Generic[P]):
    """Fits to resampled customers.

    Attributes
    ----------
    params
        One set for each resample whose climb converged, in order of drawing; those at a limit are among them.
    n_resamples
        How many were drawn.
    """

    params: tuple[P, ...]
    names: tuple[str, ...]
    n_resamples: int

    def of(self, function: Callable[[P], float]) -> Floats:
        """Any function of the parameters on each resample, ``(n,)``: its spread is that of the estimate."""
        return np.array([function(p) for p in self.params])

    def as_array(self) -> Floats:
        """The parameters, ``(n, k)``."""
        return np.array([p.as_array() for p in self.params])

    def interval(self, function: Callable[[P], float], *, level: float) -> tuple[float, float]:
        """Percentile bounds of a function of the parameters; the noise of single customers is not in it."""
        return resample_interval(self.of(function), level=level)

    def log_errors(self) -> Floats:
        """Standard deviations of the logarithms of the parameters, ``(k,)``: those of ``Fit.covariance``."""
        return np.log(self.as_array()).std(axis=0, ddof=1)


def parameter_intervals(fit: Fit[Any], *, level: float) -> tuple[ParameterInterval, ...]:
    """Wald intervals by the Hessian, ``exp(log estimate -+ z * error of the logarithm)``.

    Raises ``UsageError`` (``interval.level``).
    """
    _require_level(level)
    reach = float(special.ndtri((1 + level) / 2)) * np.sqrt(np.diag(fit.covariance))
    held = np.array([n in fit.boundary for n in fit.names])
    factor = np.where(held, np.nan, np.exp(reach))
    values = fit.params.as_array()
    return tuple(
        ParameterInterval(name=n, value=float(v), low=float(v / f), high=float(v * f), level=level)
        for n, v, f in zip(fit.names, values, factor, strict=True)
    )


def likelihood_ratio(wider: Fit[Any], *, narrower: Fit[Any], at_boundary: bool = False) -> LikelihoodRatio:
    """Test a model against a narrower one that it contains, fitted to the same customers in the same unit.

    Parameters
    ----------
    at_boundary
        One of the parameters left out sits at a limit under the narrower model (Pareto/NBD without dropout):
        the p-value is the mean of those with ``degrees - 1`` and ``degrees`` (Self & Liang 1987, case 5).

    Raises
    ------
    UsageError
        ``likelihood_ratio.not_nested`` where the fits cannot be of nested models on the same rows.
    """
    degrees = len(wider.names) - len(narrower.names)
    same = math.isclose(wider.n_users, narrower.n_users) and math.isclose(wider.dimension, narrower.dimension)
    if degrees < 1 or not same:
        raise UsageError(
            "likelihood_ratio.not_nested",
            what=f"Models of {len(wider.names)} and {len(narrower.names)} parameters, fitted to "
            f"{wider.n_users:,.0f} and {narrower.n_users:,.0f} users, were to be compared.",
            why="The test compares a model with one it contains, on the same data in the same unit.",
            do="Fit both to the same rows and give the one with more parameters first.",
        )
    statistic = max(0.0, 2 * (wider.log_likelihood - narrower.log_likelihood))
    p_value = _chi_square_tail(statistic, degrees)
    if at_boundary:
        p_value = (p_value + _chi_square_tail(statistic, degrees - 1)) / 2
    return LikelihoodRatio(statistic=statistic, degrees=degrees, p_value=p_value, at_boundary=at_boundary)


def akaike(fit: Fit[Any]) -> float:
    """AIC, ``2 k - 2 log L``: the lower the better, on the same rows in the same unit only."""
    return 2.0 * len(fit.names) - 2.0 * fit.log_likelihood


def schwarz(fit: Fit[Any]) -> float:
    """BIC, ``k log(n users) - 2 log L``: the lower the better, on the same rows in the same unit only."""
    return len(fit.names) * math.log(fit.n_users) - 2.0 * fit.log_likelihood


def bootstrap_fits(
    refit: Refit[P],
    *,
    rows: RfmRows,
    fit: Fit[P],
    resamples: int,
    rng: np.random.Generator,
    threads: int = 2,
) -> BootstrapFits[P]:
    """Refit to customers drawn with replacement, each climb starting from the estimate.

    Drawing customers and counting them by distinct history is one multinomial draw over the rows. Above
    100,000 customers the counts are independent Poisson, which for so many is the same (Chamandy et al. 2012).

    Raises
    ------
    DataError
        ``bootstrap.unstable`` where fewer than half of the refits converge.
    """
    if resamples < 2:
        raise UsageError(
            "bootstrap.empty",
            what=f"A bootstrap of {resamples} resamples was asked for.",
            why="A spread needs at least two.",
            do="Ask for 100 or more (200 is usual for standard errors, 1,000 for bounds).",
        )

    def once(drawn: RfmRows) -> Fit[P]:
        return refit(drawn, start=fit.params)

    fits = _refitted(once, _draws(rows, resamples=resamples, rng=rng), threads=threads)
    kept = tuple(f.params for f in fits if f.converged)
    if len(kept) < _LEAST_USABLE * resamples:
        raise DataError(
            "bootstrap.unstable",
            what=f"Only {len(kept)} of {resamples} refits to resampled customers converged.",
            why="The spread of the few that did would look better than the estimate is.",
            do="Use a simpler model or more customers.",
        )
    return BootstrapFits(params=kept, names=fit.names, n_resamples=resamples)


def _refitted(
    once: Callable[[RfmRows], Fit[P]], draws: Iterable[RfmRows], *, threads: int
) -> Iterator[Fit[P]]:
    """Fits in the order of the draws; a draw is made when a thread is about to be free, so few are held at a time."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting: deque[Future[Fit[P]]] = deque()
        for drawn in draws:
            waiting.append(pool.submit(once, drawn))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _draws(rows: RfmRows, *, resamples: int, rng: np.random.Generator) -> Iterator[RfmRows]:
    n = round(rows.n_users)
    share = rows.weights / rows.n_users
    for _ in range(resamples):
        counts = rng.multinomial(n, share) if n <= _MULTINOMIAL_UP_TO else rng.poisson(rows.weights)
        drawn = counts > 0
        yield RfmRows.of(rows.x[drawn], t_x=rows.t_x[drawn], T=rows.T[drawn], weights=counts[drawn])


def _chi_square_tail(statistic: float, degrees: int) -> float:
    if degrees == 0:
        return float(statistic <= 0)
    return float(special.chdtrc(degrees, statistic))


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise UsageError(
            "interval.level",
            what=f"The level {level} is not between 0 and 1.",
            why="It is the share of cases the interval is to hold.",
            do="Write 0.9 for ninety percent.",
        )
