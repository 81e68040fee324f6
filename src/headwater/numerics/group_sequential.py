"""Group sequential tests: bounds, errors, power and inference by recursive integration over the looks.

At information shares t_1 < ... < t_K the statistics Z_k are jointly normal with E Z_k = drift sqrt(t_k) and
Cov(Z_j, Z_k) = sqrt(t_j / t_k), so Z_k given Z_{k-1} is normal and the density of "not stopped yet" is carried from
look to look (Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, chapter 19). Bounds are on the scale of
Z. Shares may be unequal and may end above or below 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import e, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, optimize, special  # pyright: ignore[reportMissingTypeStubs]

__all__ = [
    "Constant",
    "Crossing",
    "Spending",
    "Stagewise",
    "conditional_power",
    "constant_bounds",
    "crossing",
    "drift_for",
    "fixed_drift",
    "naive_bound",
    "repeated_p",
    "spending_bounds",
    "spent",
    "stagewise",
]

Floats = NDArray[np.float64]
Spending = Literal["obrien_fleming", "pocock", "power", "hwang_shih_decani"]
Constant = Literal["obrien_fleming", "pocock"]

FARTHEST = 37.5  # the normal tail beyond it is below 1e-307
_REACH = 8.5  # standard deviations of Z that are integrated: 2e-17 lies outside
_PANEL_NODES, _PANEL_WIDTH = (
    16,
    4.0,
)  # Gauss-Legendre nodes in a panel of so many standard deviations of a step
_BAND = 8.5
_DECIDING = (1.2, 4.0)  # normal quantiles between which verdicts fall: p from 0.23 to 6e-5
_SHAPES = {"power": 2.0, "hwang_shih_decani": -4.0}
_root_of: Any = optimize.brentq  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_PANEL_NODES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crossing:
    """Probabilities of stopping at each look above the upper and below the lower bound, each of shape (looks,)."""

    shares: Floats
    up: Floats
    down: Floats

    @property
    def either(self) -> float:
        """Of stopping for a difference at all: the error where there is none, the power where there is one."""
        return float(self.up.sum() + self.down.sum())

    @property
    def expected_share(self) -> float:
        """The mean information at the end, the last look being an end too."""
        here = self.up + self.down
        here[-1] = 1 - here[:-1].sum()
        return float(here @ self.shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stagewise:
    """Inference after stopping, outcomes ordered by the look they came at; effects in standard errors of that look.

    ``estimate`` is median-unbiased; multiply by the standard error for the unit of the metric.
    """

    p_value: float
    estimate: float
    low: float
    high: float


def spent(
    shares: Floats | Sequence[float],
    *,
    alpha: float,
    spending: Spending = "obrien_fleming",
    sides: int = 2,
    shape: float | None = None,
    is_last: bool = False,
) -> Floats:
    """The error spent up to each share (capped at 1), cumulated; ``is_last``: the last look spends all that is left.

    ``obrien_fleming`` and ``pocock``: Lan and DeMets (1983), each side of a two-sided test on its own; ``power``:
    alpha t^shape (2); ``hwang_shih_decani``: alpha (1 - exp(-shape t)) / (1 - exp(-shape)) (-4).
    """
    t = np.minimum(np.asarray(shares, dtype=np.float64), 1.0)
    if is_last:
        t[-1] = 1.0
    by = _SHAPES.get(spending, 0.0) if shape is None else shape
    match spending:
        case "obrien_fleming":
            quantile = float(special.ndtri(alpha / sides / 2))
            return np.asarray(2 * sides * special.ndtr(quantile / np.sqrt(t)), dtype=np.float64)
        case "pocock":
            return alpha * np.log1p((e - 1) * t)
        case "power":
            return alpha * t**by
        case "hwang_shih_decani":
            return alpha * (t if by == 0 else np.expm1(-by * t) / np.expm1(-by))


def spending_bounds(
    shares: Floats | Sequence[float],
    *,
    alpha: float,
    spending: Spending = "obrien_fleming",
    sides: int = 2,
    shape: float | None = None,
    is_last: bool = False,
) -> Floats:
    """Upper bounds of Z (two-sided: the lower ones are their mirror image) that spend the error as declared.

    Parameters
    ----------
    shares
        Information at the looks over the planned information, strictly increasing; what lies above 1 spends nothing
        more, but its looks are correlated as they are.
    """
    t = np.asarray(shares, dtype=np.float64)
    total = spent(t, alpha=alpha, spending=spending, sides=sides, shape=shape, is_last=is_last)
    new = np.diff(total, prepend=0.0) / sides
    walk = _Walk(0.0)
    bounds = np.empty(t.size)
    for k, share in enumerate(t):
        walk.advance(float(share))
        bounds[k] = walk.bound(float(new[k]))
        walk.keep(-bounds[k] if sides == 2 else -np.inf, bounds[k])
    return bounds


def constant_bounds(
    shares: Floats | Sequence[float], *, alpha: float, kind: Constant = "obrien_fleming", sides: int = 2
) -> Floats:
    """Bounds of a fixed shape: a constant (Pocock 1977), or one over the root of the share (O'Brien and Fleming 1979)."""
    t = np.asarray(shares, dtype=np.float64)
    form = np.ones(t.size) if kind == "pocock" else np.sqrt(t[-1] / t)

    def excess(c: float) -> float:
        lower = None if sides == 2 else np.full(t.size, -np.inf)
        return crossing(t, c * form, lower=lower).either - alpha

    least = naive_bound(alpha, sides=sides)
    return float(_root_of(excess, least - 1e-9, least + 4, xtol=1e-9)) * form


def naive_bound(alpha: float, *, sides: int = 2) -> float:
    """The bound of a single look."""
    return -float(special.ndtri(alpha / sides))


def crossing(
    shares: Floats | Sequence[float],
    upper: Floats | Sequence[float],
    *,
    lower: Floats | Sequence[float] | None = None,
    drift: float = 0.0,
) -> Crossing:
    """Where the statistic first leaves the bounds; ``lower`` None: the mirror image; ``drift``: mean of Z at share 1."""
    t = np.asarray(shares, dtype=np.float64)
    high = np.asarray(upper, dtype=np.float64)
    low = -high if lower is None else np.asarray(lower, dtype=np.float64)
    walk = _Walk(drift)
    up, down = np.empty(t.size), np.empty(t.size)
    for k, share in enumerate(t):
        walk.advance(float(share))
        up[k], down[k] = walk.above(float(high[k])), walk.below(float(low[k]))
        walk.keep(float(low[k]), float(high[k]))
    return Crossing(shares=t, up=up, down=down)


def fixed_drift(*, alpha: float, power: float, sides: int = 2) -> float:
    """The mean of Z that a single look finds with this power (the far tail of a two-sided test left out)."""
    return naive_bound(alpha, sides=sides) + float(special.ndtri(power))


def drift_for(
    shares: Floats | Sequence[float],
    upper: Floats | Sequence[float],
    *,
    power: float,
    lower: Floats | Sequence[float] | None = None,
) -> float:
    """The drift at which the bounds are left upwards with this power.

    Its square over that of ``fixed_drift`` is the inflation: how many more users the design must be ready to take.
    """

    def lacking(drift: float) -> float:
        return float(crossing(shares, upper, lower=lower, drift=drift).up.sum()) - power

    return float(_root_of(lacking, 0.0, 40.0, xtol=1e-9))


def conditional_power(
    z: float,
    share: float,
    *,
    later: Floats | Sequence[float],
    upper: Floats | Sequence[float],
    drift: float,
    lower: Floats | Sequence[float] | None = None,
) -> Crossing:
    """Chances of crossing at the ``later`` looks given Z = ``z`` at ``share`` (Mueller and Schaefer 2001).

    ``drift`` is what is believed of the effect: ``z / sqrt(share)`` for the trend so far, or that of the plan.
    """
    t = np.asarray(later, dtype=np.float64)
    high = np.asarray(upper, dtype=np.float64)
    low = -high if lower is None else np.asarray(lower, dtype=np.float64)
    new = np.sqrt(t - share)
    rest_up = (high * np.sqrt(t) - z * sqrt(share)) / new
    rest_down = (low * np.sqrt(t) - z * sqrt(share)) / new
    found = crossing(t - share, rest_up, lower=rest_down, drift=drift)
    return Crossing(shares=t, up=found.up, down=found.down)


def stagewise(
    shares: Floats | Sequence[float], bounds: Floats | Sequence[float], z: float, *, level: float = 0.95
) -> Stagewise:
    """Inference where a two-sided test stopped at the last of ``shares`` with Z = ``z`` (Tsiatis, Rosner and Mehta 1984)."""
    t = np.asarray(shares, dtype=np.float64)
    upper = np.asarray(bounds, dtype=np.float64).copy()
    upper[-1] = z
    lower = -np.asarray(bounds, dtype=np.float64)
    lower[-1] = -np.inf

    def beyond(drift: float) -> float:
        return float(crossing(t, upper, lower=lower, drift=drift).up.sum())

    def at(share: float) -> float:
        middle, wide = z / sqrt(t[-1]), 12 / sqrt(t[0])

        def excess(drift: float) -> float:
            return beyond(drift) - share

        return float(_root_of(excess, middle - wide, middle + wide, xtol=1e-8))

    tail = (1 - level) / 2
    above = beyond(0.0)
    scale = sqrt(t[-1])
    return Stagewise(
        p_value=min(1.0, 2 * min(above, 1 - above)),
        estimate=at(0.5) * scale,
        low=at(tail) * scale,
        high=at(1 - tail) * scale,
    )


def repeated_p(
    shares: Floats | Sequence[float],
    *,
    alpha: float,
    spending: Spending = "obrien_fleming",
    shape: float | None = None,
    is_last: bool = False,
) -> Callable[[float], float]:
    """From Z at the last of ``shares`` to the least error rate whose bound there it would reach (two-sided).

    Exact at ``alpha``, so that p lies below it exactly where the bound is passed; between a dozen error rates the
    matching normal quantile, nearly a straight line in the bound, is interpolated, and where p may decide it is
    corrected by the bounds of its own error rate. No p below 3e-12 is told apart.
    """
    own = naive_bound(alpha)
    grid = np.array([0.02, 0.15, 0.4, 0.7, 1.0, 1.4, 1.8, 2.3, 3.0, 4.0, 5.4, 6.97])
    quantiles = np.sort(np.append(grid[np.abs(grid - own) > 0.02], own))

    def bound(quantile: float) -> float:
        rate = 2 * float(special.ndtr(-quantile))
        return float(spending_bounds(shares, alpha=rate, spending=spending, shape=shape, is_last=is_last)[-1])

    at = np.array([bound(q) for q in quantiles])
    between: Any = interpolate.PchipInterpolator(at, quantiles)
    slope = between.derivative()

    def p(z: float) -> float:
        size = min(abs(z), float(at[-1]))
        if size < at[0]:
            return 1.0
        quantile = float(between(size))
        if _DECIDING[0] < quantile < _DECIDING[1]:
            for _ in range(2):
                quantile += (size - bound(quantile)) * float(slope(size))
        return float(2 * special.ndtr(-quantile))

    return p


class _Walk:
    """The density of Z among those not stopped yet, on nodes of composite Gauss-Legendre panels."""

    def __init__(self, drift: float) -> None:
        self._drift = drift
        self._share = 0.0
        self._at, self._mass = np.zeros(1), np.ones(1)  # all at zero before anything is known
        self._slope, self._shift, self._step = 0.0, 0.0, 1.0

    def advance(self, share: float) -> None:
        """Look at ``share``: from now on probabilities are of the statistic there."""
        if not share > self._share:
            raise ValueError(f"shares must increase: {share} after {self._share}")
        self._slope = sqrt(self._share / share)
        self._step = sqrt((share - self._share) / share)
        self._shift = self._drift * (share - self._share) / sqrt(share)
        self._share = share

    def above(self, bound: float) -> float:
        """The probability of a statistic above ``bound`` at this look."""
        return float(self._mass @ special.ndtr((self._means() - bound) / self._step))

    def below(self, bound: float) -> float:
        """The probability of a statistic below ``bound`` at this look."""
        return float(self._mass @ special.ndtr((bound - self._means()) / self._step))

    def bound(self, probability: float) -> float:
        """The bound above which the statistic lies with this probability."""
        if self.above(FARTHEST) >= probability:
            return FARTHEST
        floor = 1e-320

        def excess(b: float) -> float:
            return float(np.log(max(self.above(b), floor)) - np.log(probability))

        return float(_root_of(excess, -_REACH, FARTHEST, xtol=1e-11))

    def keep(self, low: float, high: float) -> None:
        """Only those between the bounds go on."""
        middle = self._drift * sqrt(self._share)
        start, end = max(low, middle - _REACH), min(high, middle + _REACH)
        if not end > start:
            self._at, self._mass = np.zeros(1), np.zeros(1)
            return
        at, weights = _panels(start, end, self._step)
        self._at, self._mass = at, weights * self._density(at)

    def _means(self) -> Floats:
        return self._slope * self._at + self._shift

    def _density(self, z: Floats) -> Floats:
        """At ``z``; nodes too far away to matter are not visited, or many close looks would take minutes."""
        means = self._means()
        first = np.searchsorted(means, z - _BAND * self._step)
        last = np.searchsorted(means, z + _BAND * self._step, side="right")
        width = int((last - first).max(initial=1))
        padded = np.append(means, np.full(width, np.inf))
        masses = np.append(self._mass, np.zeros(width))
        which = first[:, None] + np.arange(width)[None, :]
        away = (z[:, None] - padded[which]) / self._step
        return np.asarray((np.exp(-0.5 * away * away) * masses[which]).sum(axis=1)) / (
            self._step * sqrt(2 * np.pi)
        )


def _panels(start: float, end: float, step: float) -> tuple[Floats, Floats]:
    count = max(1, int(np.ceil((end - start) / (_PANEL_WIDTH * step))))
    edges = np.linspace(start, end, count + 1)
    half = (edges[1] - edges[0]) / 2
    at = (edges[:-1, None] + half + half * _NODES[None, :]).ravel()
    return at, np.tile(half * _WEIGHTS, count)
