"""Random allocations that are balanced by design: exact shares within strata, rerandomization, matched groups.

Rerandomization: Morgan, K. L. and Rubin, D. B. (2012), Annals of Statistics 40(2), 1263-1282: allocations are drawn
until the Mahalanobis distance between the arms' covariate means is small; here for any number of arms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = [
    "Accepted",
    "accepted_draw",
    "distance_limit",
    "imbalance",
    "matched_groups",
    "stratified_draw",
    "variance_left",
    "whitened",
]

Floats = NDArray[np.float64]
Labels = NDArray[np.intp]
_RANK_TOLERANCE = 1e-9  # of the largest eigenvalue: columns that others add up to are dropped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accepted:
    """An allocation that was close enough: the arm of each unit, its distance, the first draw's, and how many were drawn."""

    arms: Labels
    first: Labels
    distance: float
    first_distance: float
    n_draws: int


def stratified_draw(strata: Labels, shares: Sequence[float], *, rng: np.random.Generator) -> Labels:
    """A random arm for each unit; within a stratum each arm gets its share of the units, rounded up or down at random.

    Every unit comes to an arm with exactly the arm's share as its chance. ``strata`` are 0, 1, ..., shape (units,).
    """
    n_in = np.bincount(strata)
    order = np.lexsort((rng.random(strata.size), strata))
    begins = np.cumsum(n_in) - n_in
    place = np.arange(strata.size) - begins[strata[order]]
    offset = rng.random(n_in.size)
    at = (place + offset[strata[order]]) / n_in[strata[order]]
    ends = np.cumsum(shares)[:-1] / np.sum(shares)
    arms = np.empty(strata.size, dtype=np.intp)
    arms[order] = np.searchsorted(ends, at, side="right")
    return arms


def whitened(covariates: Floats, strata: Labels) -> Floats:
    """Covariates as columns that are uncorrelated within strata, with variance 1; those that others add up to are gone."""
    n_in = np.bincount(strata).astype(np.float64)
    means = np.stack([np.bincount(strata, weights=c) / n_in for c in covariates.T], axis=1)
    away = covariates - means[strata]
    scale = np.sqrt((away**2).sum(axis=0) / max(1, strata.size - n_in.size))
    away = away[:, scale > 0] / scale[scale > 0]
    values, vectors = np.linalg.eigh(away.T @ away / max(1, strata.size - n_in.size))
    kept = values > _RANK_TOLERANCE * max(values.max(initial=0.0), 1.0)
    return away @ (vectors[:, kept] / np.sqrt(values[kept]))


def imbalance(white: Floats, arms: Labels, n_arms: int) -> float:
    """The squared Mahalanobis distance of the arms' means from the common mean, each arm by its size.

    Of two arms it is Morgan and Rubin's ``M``. Of random allocations about chi-square with columns x (arms - 1) degrees
    of freedom.
    """
    n = np.maximum(np.bincount(arms, minlength=n_arms), 1)
    sums = np.stack([np.bincount(arms, weights=c, minlength=n_arms) for c in white.T], axis=1)
    return float((sums**2 / n[:, None]).sum() - (white.sum(axis=0) ** 2).sum() / arms.size)


def distance_limit(accept_share: float, *, n_columns: int, n_arms: int) -> float:
    """The distance that ``accept_share`` of random allocations keep within."""
    return float(special.chdtri(n_columns * (n_arms - 1), 1 - accept_share))


def variance_left(accept_share: float, *, n_columns: int, n_arms: int) -> float:
    """The variance of a covariate's difference between arms, over that of plain randomization (their equation 3.4)."""
    freedom = n_columns * (n_arms - 1)
    limit = distance_limit(accept_share, n_columns=n_columns, n_arms=n_arms)
    return float(special.chdtr(freedom + 2, limit) / accept_share)


def accepted_draw(
    white: Floats, draw: Callable[[], Labels], *, n_arms: int, limit: float, most_draws: int
) -> Accepted | None:
    """The first of ``draw``'s allocations whose distance is within ``limit``; None where ``most_draws`` had none."""
    first, first_distance = None, 0.0
    for n_draws in range(1, most_draws + 1):
        arms = draw()
        distance = imbalance(white, arms, n_arms)
        if first is None:
            first, first_distance = arms, distance
        if distance <= limit:
            return Accepted(
                arms=arms, first=first, distance=distance, first_distance=first_distance, n_draws=n_draws
            )
    return None


def matched_groups(features: Floats, size: int) -> Labels:
    """Groups of ``size`` units that are like each other; -1 for units left over, the oddest ones.

    Units in the order of their first principal component are cut into groups, then any two units of different
    groups change places as long as the squared distances within groups fall.

    Parameters
    ----------
    features
        Shape (units, columns), on one scale.
    """
    n_groups = len(features) // size
    if not n_groups:
        return np.full(len(features), -1, dtype=np.intp)
    distances = ((features[:, None, :] - features[None, :, :]) ** 2).sum(axis=2)
    oddest = np.argsort(-np.sort(distances, axis=1)[:, 1:size].sum(axis=1), kind="stable")
    kept = np.sort(oddest[len(features) - n_groups * size :])
    away = features[kept] - features[kept].mean(axis=0)
    first = np.linalg.svd(away, full_matrices=False)[0][:, 0]
    groups = np.full(len(features), -1, dtype=np.intp)
    groups[kept[np.argsort(first, kind="stable")]] = np.repeat(np.arange(n_groups), size)
    return _swapped(distances, groups, n_groups)


def _swapped(distances: Floats, groups: Labels, n_groups: int) -> Labels:
    """Swap the two units whose change of place gains most, until none gains."""
    n = groups.size
    there = groups >= 0
    while True:
        member = (groups[:, None] == np.arange(n_groups)).astype(np.float64)
        cost = distances @ member  # of unit i with the units of group g
        own = np.where(there, cost[np.arange(n), groups], 0.0)
        moved = cost[:, groups]  # unit i beside the group of unit j
        change = moved + moved.T - own[:, None] - own[None, :] - 2 * distances
        change[~there | ~there[:, None] | (groups[:, None] == groups)] = 0
        i, j = np.unravel_index(np.argmin(change), change.shape)
        if change[i, j] >= -1e-12 * (1 + abs(own).max(initial=0.0)):
            return groups
        groups[[i, j]] = groups[[j, i]]
