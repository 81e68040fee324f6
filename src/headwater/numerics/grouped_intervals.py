"""Intervals calibrated within groups of users (channel, country), so that they hold in each ("Mondrian": Vovk, 2012)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError
from headwater.numerics.intervals import BinnedQuantiles, apply, fit_bins

__all__ = ["GroupedQuantiles", "apply_grouped", "fit_grouped"]

Floats = NDArray[np.float64]
Labels = NDArray[np.str_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupedQuantiles:
    """Bounds of each group that was large enough, and of all users for the others."""

    whole: BinnedQuantiles
    groups: Mapping[str, BinnedQuantiles]


def fit_grouped(
    predicted: Floats, actual: Floats, labels: Labels, *, level: float, min_users: int = 1_000
) -> GroupedQuantiles:
    """``fit_bins`` within every group of at least ``min_users`` past users; the others share those of all users.

    A group pays for holding its own level with fewer users per bin: use it where ``coverage.group_short`` says that
    intervals of all users do not hold in a group.

    Raises
    ------
    DataError, UsageError
        Those of ``intervals.fit_bins``; ``intervals.shapes``.
    """
    _require_labels(predicted, labels)
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    groups = {
        str(name): fit_bins(predicted[codes == i], actual[codes == i], level=level)
        for i, name in enumerate(names)
        if counts[i] >= min_users
    }
    return GroupedQuantiles(whole=fit_bins(predicted, actual, level=level), groups=groups)


def apply_grouped(bins: GroupedQuantiles, predicted: Floats, labels: Labels) -> tuple[Floats, Floats]:
    """Interval of every user's outcome: ``(low, high)``, each of the shape of ``predicted``."""
    _require_labels(predicted, labels)
    low, high = apply(bins.whole, predicted)
    for name, own in bins.groups.items():
        here = labels == name
        low[here], high[here] = apply(own, predicted[here])
    return low, high


def _require_labels(predicted: Floats, labels: Labels) -> None:
    if predicted.shape != labels.shape:
        raise UsageError(
            "intervals.shapes",
            what=f"Predictions have shape {predicted.shape} and groups {labels.shape}.",
            why="Each user is in one group.",
            do="Pass two arrays over the same users in the same order.",
        )
