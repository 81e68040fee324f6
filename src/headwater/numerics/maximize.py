"""Maximize a log-likelihood of positive parameters: bounded Newton on their logarithms, with a diagnosis.

Each step solves with the Hessian, its eigenvalues made positive (so a saddle is left, not entered), inside a
box and a trust radius (Nocedal & Wright, Numerical Optimization, 2nd ed., chapters 3.4, 4 and 16.7).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.rfm import Floats

__all__ = [
    "Box",
    "Evaluation",
    "Fit",
    "Maximum",
    "Objective",
    "Params",
    "in_logs",
    "maximize",
    "with_numeric_hessian",
]

DECREMENT = 1e-10
"""Expected gain in log-likelihood at which the climb is over, per one plus a millionth of its size."""

VAGUE = 10.0
"""A parameter whose logarithm has a larger standard error is unknown by a factor of e^10: it ran away."""

_EDGE = 1e-6
_FIRST_RADIUS = 2.0
_FLAT = 1e-12
_SAME = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """A log-likelihood at a point of k parameters: value, gradient ``(k,)`` and Hessian ``(k, k)``."""

    value: float
    gradient: Floats
    hessian: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Box:
    """Names of the parameters and the limits of their logarithms, arrays ``(k,)``."""

    names: tuple[str, ...]
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maximum:
    """Where the climb ended.

    ``covariance`` is that of the logarithms, by the Hessian, given the parameters in ``boundary``: those
    sit at a limit of the box or are unknown by a factor of e^10, and have zero rows.
    """

    point: Floats
    value: float
    covariance: Floats
    converged: bool
    iterations: int
    boundary: tuple[str, ...]


class Params(Protocol):
    """A frozen set of positive parameters that knows how it depends on the unit of time or money."""

    def rescale(self, factor: float) -> Self:
        """The same model in another unit: one old unit is ``factor`` new ones."""
        ...

    def as_array(self) -> Floats:
        """The parameters in their written order."""
        ...


P = TypeVar("P", bound=Params)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit(Generic[P]):
    """A maximum-likelihood fit.

    Attributes
    ----------
    params, names
        The estimates, in the caller's unit, and their names in the order of the arrays below.
    log_likelihood
        In the caller's unit; it falls by ``dimension * log(factor)`` when the unit shrinks by ``factor``.
    covariance
        Of the logarithms of the parameters, ``(k, k)``; does not depend on the unit. Zero for ``boundary``.
    converged, iterations
        Whether the expected gain of another step is nil, and how many steps were taken.
    boundary
        Names of parameters that ran to a limit (such as ``("a", "b")``: all have one dropout probability).
        Forecasts are still valid; that parameter and its standard error are not.
    """

    params: P
    names: tuple[str, ...]
    log_likelihood: float
    covariance: Floats
    converged: bool
    iterations: int
    boundary: tuple[str, ...]
    n_users: float
    dimension: float

    @property
    def std_errors(self) -> Floats:
        """Standard errors of the parameters, ``(k,)``, by the delta method; NaN for those in ``boundary``."""
        errors = self.params.as_array() * np.sqrt(np.diag(self.covariance))
        held = np.array([name in self.boundary for name in self.names])
        return np.where(held, np.nan, errors)

    @property
    def vague(self) -> tuple[str, ...]:
        """Parameters known at best within a factor of 7 either way at 95%, those in ``boundary`` included."""
        spread = np.diag(self.covariance) > 1
        return tuple(n for n, wide in zip(self.names, spread, strict=True) if wide or n in self.boundary)

    def rescale(self, factor: float) -> Fit[P]:
        """The same fit in another unit: weeks become days with ``factor=7``."""
        shift = self.dimension * math.log(factor)
        return replace(self, params=self.params.rescale(factor), log_likelihood=self.log_likelihood - shift)


Flags = NDArray[np.bool_]
Objective = Callable[[Floats], Evaluation]


def in_logs(natural: Evaluation, *, at: Floats) -> Evaluation:
    """Derivatives by the logarithms of the parameters, from those by the parameters."""
    gradient = at * natural.gradient
    hessian = np.outer(at, at) * natural.hessian + np.diag(gradient)
    return Evaluation(value=natural.value, gradient=gradient, hessian=hessian)


def with_numeric_hessian(
    value_and_gradient: Callable[[Floats], tuple[float, Floats]], *, step: float = 1e-4
) -> Objective:
    """An objective whose Hessian is central differences of an analytic gradient (error about step^2)."""

    def evaluate(point: Floats) -> Evaluation:
        value, gradient = value_and_gradient(point)
        moves = step * np.eye(point.size)
        rows = [value_and_gradient(point + m)[1] - value_and_gradient(point - m)[1] for m in moves]
        raw = np.array(rows) / (2 * step)
        return Evaluation(value=value, gradient=gradient, hessian=(raw + raw.T) / 2)

    return evaluate


def maximize(
    objective: Objective, *, starts: Iterable[Floats], box: Box, max_iterations: int = 200
) -> Maximum:
    """Climb from the first start; go on until one ends inside the box or two at one height.

    Parameters
    ----------
    objective
        Log-likelihood with gradient and Hessian by the **logarithms** of the parameters.
    starts
        Logarithms of starting points; at least one.
    """
    best: Maximum | None = None
    for start in starts:
        found = _climb(objective, start=np.clip(start, box.low, box.high), box=box, limit=max_iterations)
        again = best is not None and abs(found.value - best.value) < _SAME
        if best is None or (found.converged, found.value) > (best.converged, best.value):
            best = found
        if found.converged and (again or not found.boundary):
            break
    if best is None:
        raise ValueError("maximize needs at least one start")
    return best


def _climb(objective: Objective, *, start: Floats, box: Box, limit: int) -> Maximum:
    point, now = start, objective(start)
    radius, converged, taken = _FIRST_RADIUS, False, 0
    while taken < limit and not converged and math.isfinite(now.value):
        taken += 1
        step, gain = _step(now, point=point, box=box, radius=radius)
        tolerance = DECREMENT * (1 + 1e-6 * abs(now.value))
        if gain <= tolerance:
            converged = True
            break
        there = objective(point + step)
        ratio = (there.value - now.value) / gain if math.isfinite(there.value) else -1.0
        length = float(np.abs(step).max())
        if ratio > 0:
            point, now = point + step, there
        elif gain <= 1e-13 * abs(now.value):
            converged = True
        radius = _next_radius(radius, ratio=ratio, length=length)
        if radius < 1e-12:
            break
    return _diagnosed(point, now=now, box=box, converged=converged, iterations=taken)


def _next_radius(radius: float, *, ratio: float, length: float) -> float:
    if ratio < 0.25:
        return length / 4
    return max(radius, 2 * length) if ratio > 0.75 else radius


def _step(now: Evaluation, *, point: Floats, box: Box, radius: float) -> tuple[Floats, float]:
    """The next step and the gain that the quadratic model expects of it."""
    free = ~_pressed(now.gradient, point=point, box=box)
    step = np.zeros_like(point)
    for _ in range(point.size):
        step = _newton(now, free=free, radius=radius)
        outside = free & ((point + step < box.low - _FLAT) | (point + step > box.high + _FLAT))
        at_edge = outside & ((point <= box.low + _FLAT) | (point >= box.high - _FLAT))
        if not at_edge.any():
            break
        free &= ~at_edge
    step = np.clip(point + step, box.low, box.high) - point
    linear = float(now.gradient @ step)
    model = linear + 0.5 * float(step @ now.hessian @ step)
    return step, model if model > 0 else 0.5 * linear


def _newton(now: Evaluation, *, free: Flags, radius: float) -> Floats:
    step = np.zeros_like(now.gradient)
    if not free.any():
        return step
    values, vectors = np.linalg.eigh(-now.hessian[np.ix_(free, free)])
    curvature = np.maximum(np.abs(values), _FLAT * max(1.0, float(np.abs(values).max())))
    move = vectors @ ((vectors.T @ now.gradient[free]) / curvature)
    longest = float(np.abs(move).max())
    step[free] = move * min(1.0, radius / longest) if longest > 0 else move
    return step


def _pressed(gradient: Floats, *, point: Floats, box: Box) -> Flags:
    low = (point <= box.low + _FLAT) & (gradient <= 0)
    high = (point >= box.high - _FLAT) & (gradient >= 0)
    return low | high


def _diagnosed(point: Floats, *, now: Evaluation, box: Box, converged: bool, iterations: int) -> Maximum:
    held = (point <= box.low + _EDGE) | (point >= box.high - _EDGE)
    covariance = _covariance(now.hessian, held=held)
    vague = ~held & (np.diag(covariance) > VAGUE**2)
    if vague.any():
        held = held | vague
        covariance = _covariance(now.hessian, held=held)
    return Maximum(
        point=point,
        value=now.value,
        covariance=covariance,
        converged=converged,
        iterations=iterations,
        boundary=tuple(name for name, at in zip(box.names, held, strict=True) if at),
    )


def _covariance(hessian: Floats, *, held: Flags) -> Floats:
    covariance = np.zeros_like(hessian)
    free = np.flatnonzero(~held)
    if free.size and np.isfinite(hessian).all():
        values, vectors = np.linalg.eigh(-hessian[np.ix_(free, free)])
        inverse = 1 / np.maximum(values, _FLAT)
        covariance[np.ix_(free, free)] = (vectors * inverse) @ vectors.T
    return covariance
