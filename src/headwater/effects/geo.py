"""Regions as units: groups of regions that moved alike before, one of each group for every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.numerics.randomize import matched_groups, stratified_draw

__all__ = ["MatchedRegions", "match_regions"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedRegions:
    """Regions in groups, and the arm of each; both are -1 for regions left out.

    ``series_difference`` is the mean difference of each arm's summed series from the control's before, as a share of the
    control's, in the order of the arms (0 for the control).
    """

    regions: tuple[str, ...]
    arms: tuple[str, ...]
    group: NDArray[np.intp]
    arm: NDArray[np.intp]
    series_difference: tuple[float, ...]
    findings: tuple[Finding, ...] = ()


def match_regions(
    regions: Sequence[str], series: NDArray[np.float64], *, arms: Sequence[str], rng: np.random.Generator
) -> MatchedRegions:
    """Match regions on what they did before, then draw which of a group is in which arm.

    Parameters
    ----------
    series
        Of each region before the experiment, shape (regions, days): sales, say. Regions are compared in the logarithm,
        so that a large one and a small one that move alike differ by their size only; sizes count too.
    arms
        The control first. A group has one region for each.
    """
    if series.shape[0] != len(regions) or not np.isfinite(series).all() or (series < 0).any():
        raise DataError(
            "geo.series",
            what=f"The series of {len(regions)} regions have holes, values below zero or another number of rows ({series.shape[0]}).",
            why="Regions cannot be compared where something is not known.",
            do="Fill the holes, or leave those regions or days out.",
        )
    if len(regions) < 2 * len(arms):
        raise DataError(
            "geo.too_few",
            what=f"{len(regions)} regions make fewer than two groups of {len(arms)}.",
            why="With one group nothing says how far regions differ by chance.",
            do="Take smaller regions, fewer arms, or a switchback.",
        )
    group = matched_groups(np.log1p(series), len(arms))
    arm = np.full(len(regions), -1, dtype=np.intp)
    there = group >= 0
    arm[there] = stratified_draw(group[there], [1.0] * len(arms), rng=rng)
    sums = np.array([series[arm == k].sum(axis=0).mean() for k in range(len(arms))])
    left_out = [r for r, g in zip(regions, group, strict=True) if g < 0]
    return MatchedRegions(
        regions=tuple(regions),
        arms=tuple(arms),
        group=group,
        arm=arm,
        series_difference=tuple(float(s / sums[0] - 1) if sums[0] else 0.0 for s in sums),
        findings=(_left_out(left_out),) if left_out else (),
    )


def _left_out(regions: Sequence[str]) -> Finding:
    return Finding(
        code="geo.left_out",
        severity=Severity.NOTE,
        what=f"{len(regions)} regions are in no arm, those least like any other: {', '.join(regions)}.",
        why="What is found holds for the regions in the experiment.",
        do="Nothing, or add regions like these.",
    )
