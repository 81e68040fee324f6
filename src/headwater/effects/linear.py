"""A metric as one column: linearized where it is a ratio, freed of what its covariates explain.

Its difference between arms is the effect, to first order, in any part of the users: checks, segments and
interactions ask many parts and need no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Severity
from headwater.effects.gathered import Gathered, Group
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.metric import Metric
from headwater.numerics.moments import Moments

__all__ = ["PartEffects", "by_arm", "effects_by", "linear", "n_outcomes"]

Floats = NDArray[np.float64]
LEAST_USERS = 20  # of a part, in each arm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartEffects:
    """Effects of an arm in parts of the users, each of shape (parts,).

    ``value`` is the metric of the control, ``spread`` the variance of the difference by the variances of all parts
    together, which goes by the numbers of users alone; ``variance`` is the part's own.
    """

    parts: tuple[str, ...]
    difference: Floats
    variance: Floats
    spread: Floats
    value: Floats
    value_variance: Floats
    n_users: Floats

    def of(self, which: NDArray[np.bool_]) -> PartEffects:
        """Some of the parts."""
        return PartEffects(
            parts=tuple(part for part, is_in in zip(self.parts, which, strict=True) if is_in),
            difference=self.difference[which],
            variance=self.variance[which],
            spread=self.spread[which],
            value=self.value[which],
            value_variance=self.value_variance[which],
            n_users=self.n_users[which],
        )


def by_arm(gathered: Gathered, moments: Moments, arms: Sequence[str]) -> Moments:
    """The moments of each of some arms."""
    own = np.array([g.arm for g in gathered.groups])
    label = np.full(own.size, len(arms), dtype=np.intp)
    for i, arm in enumerate(arms):
        label[own == arm] = i
    return moments.merged(label, len(arms) + 1).of(np.arange(len(arms)))


def n_outcomes(metric: Metric) -> int:
    """How many columns of a metric's moments are its own; the others are covariates."""
    return len(METRIC_KINDS.load(metric.kind)().columns(metric))


def linear(metric: Metric, gathered: Gathered, arms: Sequence[str]) -> Moments | None:
    """The moments of a metric as one column, of every group; None where it is no function of means, or not known.

    ``arms`` begins with the control, at whose means it is linearized (of ratios: Budylin et al. 2018); covariates
    are taken away by the slope within arms that they share (CUPED), which leaves the control's mean as it is.
    """
    state, kind = gathered.metrics.get(metric.name), METRIC_KINDS.load(metric.kind)()
    if state is None or not isinstance(kind, SmoothKind):
        return None
    arm_moments = by_arm(gathered, state.moments, arms)
    own = len(kind.columns(metric))
    outcome = arm_moments.columns(range(own))
    for arm, i in zip(arms, range(len(arms)), strict=True):
        if any(f.severity is Severity.BLOCK for f in kind.findings(metric, outcome.of([i]), arm=arm)):
            return None
    center = arm_moments.mean[0]
    gradient = kind.gradient(center[:own])
    within = arm_moments.scatter.sum(axis=0)
    theta: Floats = np.linalg.pinv(within[own:, own:], hermitian=True) @ (within[own:, :own] @ gradient)
    weights = np.concatenate([gradient, -theta])
    column = state.moments.mapped(weights[:, None])
    shift = kind.value(center[:own]) - float(center @ weights)
    return Moments(n=column.n, mean=column.mean + shift, scatter=column.scatter)


def effects_by(
    column: Moments, gathered: Gathered, of: Callable[[Group], str], *, control: str, arm: str
) -> PartEffects:
    """Effects in each part of the users (a day, a stratum), of parts with enough users who differ in both arms.

    ``of`` says which part a group is of; an empty name leaves it out.
    """
    names = sorted({name for g in gathered.groups if (name := of(g))})
    at = {(a, name): 2 * i + j for i, name in enumerate(names) for j, a in enumerate((control, arm))}
    cells = _merged(gathered, column, at, of)
    n, mean = cells.n.reshape(-1, 2), cells.mean.reshape(-1, 2)
    scatter = cells.scatter.reshape(-1, 2)
    used = (n.min(axis=1, initial=np.inf) >= LEAST_USERS) & (scatter.min(axis=1, initial=np.inf) > 0)
    n, mean, scatter = n[used], mean[used], scatter[used]
    own = scatter / (n - 1) / n
    pooled = scatter.sum(axis=0) / np.maximum((n - 1).sum(axis=0), 1)
    return PartEffects(
        parts=tuple(name for name, is_used in zip(names, used, strict=True) if is_used),
        difference=mean[:, 1] - mean[:, 0],
        variance=own.sum(axis=1),
        spread=(pooled / n).sum(axis=1),
        value=mean[:, 0],
        value_variance=own[:, 0],
        n_users=n.sum(axis=1),
    )


def _merged(
    gathered: Gathered, moments: Moments, at: dict[tuple[str, str], int], of: Callable[[Group], str]
) -> Moments:
    """Groups merged into the cells of ``at``, (arm, part) to position; groups of no cell are left out."""
    if not at:
        return moments.of([])
    label = np.array([at.get((g.arm, of(g)), len(at)) for g in gathered.groups], dtype=np.intp)
    return moments.merged(label, len(at) + 1).of(np.arange(len(at)))
