"""Where a curve of value by age goes beyond what anybody was seen for: the simplest shape that fits what was seen.

Three shapes: a power of age, a steady decline, and the survival of the shifted beta-geometric, which bends from the
second to the first. All are fitted by quasi-likelihood to the ages seen, and chosen by how well plus how simple.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.between import variance_between
from headwater.numerics.maximize import Box, maximize, with_numeric_hessian
from headwater.numerics.rfm import Floats

__all__ = ["Tail", "extend"]

_FEWEST_AGES = 3
_JOINT = 3
_DIFFERENCE = 1e-5
_LARGEST_LOG = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    name: str
    starts: tuple[tuple[float, ...], ...]
    log_curve: Callable[[Floats, Floats], Floats]


def _power(point: Floats, age: Floats) -> Floats:
    return -point[0] * np.log(age + 1)


def _decline(point: Floats, age: Floats) -> Floats:
    return -point[0] * age


def _beta_geometric(point: Floats, age: Floats) -> Floats:
    return special.betaln(point[0], point[1] + age) - special.betaln(point[0], point[1])


_FAMILIES = (
    _Family(name="power of age", starts=((0.7,),), log_curve=_power),
    _Family(name="steady decline", starts=((0.1,),), log_curve=_decline),
    _Family(name="shifted beta-geometric", starts=((0.7, 2.0), (3.0, 30.0)), log_curve=_beta_geometric),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tail:
    """The curve ``(ages,)``, the squared relative error of each age, and the name of the shape it goes on as."""

    curve: Floats
    variance: Floats
    name: str


def extend(shape: Floats, *, exposure: Floats, ages: int, noise: float) -> Tail:
    """The curve up to ``ages``: what was seen, pulled towards the best family where few saw it, then the family.

    Parameters
    ----------
    shape, exposure
        Value of a user at each age seen and users seen at it, ``(K,)``.
    noise
        Variance over mean of what one user brings at an age.
    """
    seen = shape.size
    chance = noise / np.maximum(exposure * shape, noise)
    if seen < _FEWEST_AGES + 1 or (shape > 0).sum() < _FEWEST_AGES + 1:
        more = max(0, ages - seen)
        curve = np.append(shape, np.full(more, shape[-1]))[:ages]
        return Tail(curve=curve, variance=np.append(chance, np.full(more, chance[-1]))[:ages], name="level")
    weight = np.where(np.arange(seen) < _early(seen), 0.0, exposure)
    fits = [_fit(f, shape=shape, exposure=weight, ages=max(ages, seen)) for f in _FAMILIES]
    _, name, family = min(fits, key=lambda f: f[0])
    return _pulled(
        shape, family=family, chance=noise / np.maximum(exposure * family[:seen], noise), ages=ages, name=name
    )


def _pulled(shape: Floats, *, family: Floats, chance: Floats, ages: int, name: str) -> Tail:
    """Ages seen lie about the family as far as chance does not explain the distance (empirical Bayes)."""
    seen, early = shape.size, _early(shape.size)
    ratio = shape[early:] / np.maximum(family[early:seen], 1e-300)
    between, center = variance_between(ratio, variances=chance[early:])
    gain = between / (between + chance[early:])
    late = family[early:seen] * (center + gain * (ratio - center))
    joint = slice(max(0, late.size - _JOINT), late.size)
    scale = float(late[joint].sum() / family[early:seen][joint].sum())
    curve = np.concatenate([shape[:early], late, family[seen:] * scale])
    open_still = between + 1 / float((1 / chance[early:]).sum())
    variance = np.concatenate(
        [chance[:early], gain * chance[early:], np.full(family.size - seen, open_still)]
    )
    return Tail(curve=curve[:ages], variance=variance[:ages], name=name)


def _early(seen: int) -> int:
    """Ages at the start that say nothing of the end: in the first everybody began, by definition."""
    return max(0, min(max(1, seen // 4), seen - _FEWEST_AGES))


def _fit(family: _Family, *, shape: Floats, exposure: Floats, ages: int) -> tuple[float, str, Floats]:
    """Quasi-AIC, name and curve; the height of the curve follows from the total."""
    age = np.arange(ages, dtype=np.float64)
    brought = exposure * shape
    total = float(brought.sum())

    def value(logs: Floats) -> float:
        log_curve = family.log_curve(np.exp(logs), age[: shape.size])
        return float((brought * (_log_height(log_curve, exposure, total=total) + log_curve)).sum()) / total

    def value_and_gradient(logs: Floats) -> tuple[float, Floats]:
        moves = _DIFFERENCE * np.eye(logs.size)
        slope = [(value(logs + m) - value(logs - m)) / (2 * _DIFFERENCE) for m in moves]
        return value(logs), np.array(slope)

    size = len(family.starts[0])
    box = Box(names=("a", "b")[:size], low=np.full(size, np.log(1e-4)), high=np.full(size, np.log(1e3)))
    starts = [np.log(s) for s in family.starts]
    top = maximize(with_numeric_hessian(value_and_gradient, step=1e-3), starts=starts, box=box)
    log_curve = family.log_curve(np.exp(top.point), age)
    log_height = _log_height(log_curve[: shape.size], exposure, total=total)
    curve = np.exp(np.minimum(log_height + log_curve, _LARGEST_LOG))
    return _criterion(shape, curve[: shape.size], exposure=exposure, parameters=size + 1), family.name, curve


def _log_height(log_curve: Floats, exposure: Floats, *, total: float) -> float:
    """The log of what a curve is multiplied by to bring the total; finite however steeply it falls."""
    used = exposure > 0
    top = float(log_curve[used].max())
    return float(np.log(total) - top - np.log((exposure[used] * np.exp(log_curve[used] - top)).sum()))


def _criterion(shape: Floats, curve: Floats, *, exposure: Floats, parameters: int) -> float:
    """AIC of a weighted normal fit whose scale is not known."""
    misfit = float((exposure * (shape - curve) ** 2 / np.maximum(curve, 1e-300)).sum())
    return float((exposure > 0).sum()) * np.log(max(misfit, 1e-300)) + 2 * parameters
