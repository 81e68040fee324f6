"""Moments: how many, means and centered second moments of columns, for groups of users that do not overlap.

They merge exactly (Chan, Golub and LeVeque 1983) and never go through raw sums of squares, which lose every
digit where the mean is large beside the spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "of_rows", "stacked"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Moments of k columns in g groups of disjoint users.

    ``n`` has shape (g,); ``mean`` (g, k) in the unit of each column; ``scatter`` (g, k, k) holds the sums of
    ``(x - mean x)(y - mean y)``. A group of nobody has mean and scatter zero.
    """

    n: Floats
    mean: Floats
    scatter: Floats

    @property
    def n_groups(self) -> int:
        """How many groups."""
        return self.n.size

    def covariance(self) -> Floats:
        """Sample covariances, shape (g, k, k), divided by n - 1; NaN where fewer than two users are."""
        free = np.where(self.n > 1, self.n - 1, np.nan)
        return self.scatter / free[:, None, None]

    def of(self, groups: NDArray[np.intp] | Sequence[int]) -> Moments:
        """Some of the groups, in that order."""
        at = np.asarray(groups, dtype=np.intp)
        return Moments(n=self.n[at], mean=self.mean[at], scatter=self.scatter[at])

    def columns(self, which: Sequence[int]) -> Moments:
        """Some of the columns, in that order."""
        at = np.asarray(which, dtype=np.intp)
        return Moments(n=self.n, mean=self.mean[:, at], scatter=self.scatter[:, at[:, None], at[None, :]])

    def merged(self, labels: NDArray[np.intp] | Sequence[int], n_labels: int) -> Moments:
        """The users of all groups with the same label as one group; ``n_labels`` groups, 0 to n_labels - 1."""
        label = np.asarray(labels, dtype=np.intp)
        k = self.mean.shape[1]
        n = np.zeros(n_labels)
        np.add.at(n, label, self.n)
        total = np.zeros((n_labels, k))
        np.add.at(total, label, self.n[:, None] * self.mean)
        mean = total / np.where(n > 0, n, 1.0)[:, None]
        away = self.mean - mean[label]
        between = self.n[:, None, None] * away[:, :, None] * away[:, None, :]
        scatter = np.zeros((n_labels, k, k))
        np.add.at(scatter, label, self.scatter + between)
        return Moments(n=n, mean=mean, scatter=scatter)

    def pooled(self) -> Moments:
        """All users as one group."""
        return self.merged(np.zeros(self.n_groups, dtype=np.intp), 1)

    def mapped(self, weights: Floats) -> Moments:
        """Linear combinations of the columns: ``weights`` has shape (k, j), the result j columns."""
        return Moments(
            n=self.n,
            mean=self.mean @ weights,
            scatter=np.einsum("gab,ai,bj->gij", self.scatter, weights, weights),
        )


def of_rows(
    values: Floats, *, groups: NDArray[np.intp] | None = None, n_groups: int | None = None
) -> Moments:
    """Moments of rows at hand.

    Parameters
    ----------
    values
        Shape (users, columns), finite.
    groups
        Shape (users,): the group of each user, 0 to ``n_groups`` - 1; None: all in one.
    """
    label = np.zeros(len(values), dtype=np.intp) if groups is None else groups
    count = 1 if groups is None else int(n_groups if n_groups is not None else label.max(initial=-1) + 1)
    k = values.shape[1]
    n = np.bincount(label, minlength=count).astype(np.float64)
    total = np.stack([np.bincount(label, weights=values[:, j], minlength=count) for j in range(k)], axis=1)
    mean = total / np.where(n > 0, n, 1.0)[:, None]
    away = values - mean[label]
    scatter = np.empty((count, k, k))
    for i in range(k):
        for j in range(i + 1):
            products = np.bincount(label, weights=away[:, i] * away[:, j], minlength=count)
            scatter[:, i, j] = scatter[:, j, i] = products
    return Moments(n=n, mean=mean, scatter=scatter)


def stacked(parts: Sequence[Moments]) -> Moments:
    """The groups of all parts, one after the other; at least one part, all of the same columns."""
    return Moments(
        n=np.concatenate([p.n for p in parts]),
        mean=np.concatenate([p.mean for p in parts]),
        scatter=np.concatenate([p.scatter for p in parts]),
    )
