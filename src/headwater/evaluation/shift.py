"""Whether the users of today are still like those a model learned from, column by column."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.errors import UsageError
from headwater.numerics.multiplicity import adjusted

__all__ = ["Shift", "population_shift", "stability_index"]

Floats = NDArray[np.float64]
Column = Floats | NDArray[np.str_]

_BINS = 10
_LARGE = 0.25
_TIMES_USUAL = 2.0
_LEVEL = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One column now beside the latest training cutoff.

    ``psi`` is the population stability index, ``usual`` the largest one between successive training cutoffs,
    stretched to the time since the latest (0 where there is one only), ``distance`` the largest difference of the two distribution functions (of
    shares, for text), ``p_adjusted`` its chance among equal populations, Holm over the columns.
    """

    column: str
    psi: float
    usual: float
    distance: float
    p_adjusted: float

    @property
    def moved(self) -> bool:
        """Large by the usual rule (0.25), twice what is usual here, and no chance."""
        return self.psi > max(_LARGE, _TIMES_USUAL * self.usual) and self.p_adjusted < _LEVEL


def population_shift(
    then: Sequence[Mapping[str, Column]], now: Mapping[str, Column], *, days: Sequence[int] = ()
) -> tuple[Shift, ...]:
    """Compare columns of users now with those at the training cutoffs, the earliest first.

    Columns that grow with the log by themselves (tenure, counts since the beginning) move at every cutoff; what
    they moved by before is what is usual. NaN and empty text are a group of their own.

    Raises ``UsageError`` (``shift.no_cutoff``, ``shift.days``).
    """
    if not then:
        raise UsageError(
            "shift.no_cutoff",
            what="No training cutoff was given.",
            why="There is nothing to compare today's users with.",
            do="Pass the columns at one training cutoff at least, better at all.",
        )
    stretch = _stretches(days, n_cutoffs=len(then))
    names = [name for name in now if all(name in cutoff for cutoff in then)]
    found: list[tuple[float, float, float, float]] = []
    for name in names:
        latest = then[-1][name]
        steps = [_drift(a[name], b[name]) for a, b in itertools.pairwise(then)]
        usual = max((psi * by for psi, by in zip(steps, stretch, strict=True)), default=0.0)
        distance, chance = _distance(latest, now[name])
        found.append((stability_index(latest, now[name]), usual, distance, chance))
    chances = adjusted(np.array([f[3] for f in found])) if found else np.empty(0)
    return tuple(
        Shift(column=name, psi=psi, usual=usual, distance=distance, p_adjusted=float(p))
        for name, (psi, usual, distance, _), p in zip(names, found, chances, strict=True)
    )


def _stretches(days: Sequence[int], *, n_cutoffs: int) -> list[float]:
    """For each step between cutoffs, the square of how many times longer ago the latest cutoff is; 1 at least."""
    if not days:
        return [1.0] * (n_cutoffs - 1)
    if len(days) != n_cutoffs + 1 or any(b <= a for a, b in itertools.pairwise(days)):
        raise UsageError(
            "shift.days",
            what=f"{len(days)} days came with {n_cutoffs} cutoffs and now.",
            why="How far cutoffs lie apart says what a usual shift is.",
            do="Pass the day of each cutoff, the earliest first, and today's.",
        )
    gaps = [b - a for a, b in itertools.pairwise(days)]
    return [max(1.0, (gaps[-1] / gap) ** 2) for gap in gaps[:-1]]


def stability_index(then: Column, now: Column) -> float:
    """Sum over bins of (share now - share then) * log(share now / share then).

    Bins are tenths of ``then`` (fewer where values tie), or the words of a text column; half a user is added
    to each, so that an empty bin stays finite.
    """
    before, after = _counts(then, now)
    p, q = ((c + 0.5) / (c.sum() + 0.5 * c.size) for c in (before, after))
    return float(np.sum((q - p) * np.log(q / p)))


def _drift(then: Column, now: Column) -> float:
    """The index of two cutoffs, less what chance alone gives equal populations of these sizes; 0 at least.

    With few users most of an index is chance, and chance does not grow with time.
    """
    before, after = _counts(then, now)
    n_bins = int(np.count_nonzero(before + after))
    chance = (n_bins - 1) * (1 / max(before.sum(), 1.0) + 1 / max(after.sum(), 1.0))
    return max(stability_index(then, now) - chance, 0.0)


def _counts(then: Column, now: Column) -> tuple[Floats, Floats]:
    if then.dtype.kind != "f":
        words, codes = np.unique(np.concatenate([then, now]), return_inverse=True)
        return (
            np.bincount(codes[: then.size], minlength=words.size).astype(np.float64),
            np.bincount(codes[then.size :], minlength=words.size).astype(np.float64),
        )
    known = then[np.isfinite(then)].astype(np.float64)
    shares = np.arange(1, _BINS) / _BINS
    edges = np.unique(np.quantile(known, shares, method="inverted_cdf")) if known.size else np.zeros(1)
    return _binned(then, edges), _binned(now, edges)


def _binned(values: Column, edges: Floats) -> Floats:
    finite = np.isfinite(values)
    at = np.where(finite, np.searchsorted(edges, np.where(finite, values, 0.0), side="left"), edges.size + 1)
    return np.bincount(at, minlength=edges.size + 2).astype(np.float64)


def _distance(then: Column, now: Column) -> tuple[float, float]:
    """Largest distance and its chance: Kolmogorov and Smirnov for numbers, chi-square of shares for text."""
    if then.dtype.kind != "f":
        before, after = _counts(then, now)
        table = np.stack([before, after])[:, before + after > 0]
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        statistic = float(np.sum((table - expected) ** 2 / expected))
        apart = np.abs(before / max(before.sum(), 1) - after / max(after.sum(), 1))
        return float(apart.max()), float(special.chdtrc(max(table.shape[1] - 1, 1), statistic))
    a, b = (np.sort(np.where(np.isfinite(v), v, -np.inf)) for v in (then, now))
    every = np.concatenate([a, b])
    below = [np.searchsorted(v, every, side="right") / v.size for v in (a, b)]
    distance = float(np.max(np.abs(below[0] - below[1])))
    return distance, float(special.kolmogorov(distance * np.sqrt(a.size * b.size / (a.size + b.size))))
