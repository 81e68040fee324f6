"""The surrogate index: a long-term effect foretold by what a treatment does to short-term outcomes.

Athey, Chetty, Imbens and Kang (2019): a first stage on past users says what long-term value follows from short-term
outcomes; the effect on the index is its slopes times the effects on these. The error of the slopes belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.effect import ArmEstimate, Effect, effect_of
from headwater.numerics.moments import Moments

__all__ = ["Agreement", "FirstStage", "IndexEffect", "agreement", "effect_on_index", "fit_first_stage"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FirstStage:
    """Slopes of the long-term value on k short-term outcomes, shape (k,), with their covariance (HC1), shape (k, k).

    ``intercept`` and slopes are in the unit of the long-term value; ``explained`` is the share of its variance.
    """

    intercept: float
    slopes: Floats
    covariance: Floats
    explained: float
    n: int


def fit_first_stage(short: Floats, long: Floats) -> FirstStage:
    """Least squares of the long-term value on short-term outcomes, with White's covariance (1980), n / (n - k - 1).

    Parameters
    ----------
    short
        Shape (users, k): outcomes over the experiment's window, of past users who met no treatment.
    long
        Shape (users,): the value that is to be foretold, of the same users.
    """
    n, k = short.shape
    center = short.mean(axis=0)
    away, level = short - center, float(long.mean())
    pseudo_inverse: Any = np.linalg.pinv  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    inverse: Floats = pseudo_inverse(away.T @ away, hermitian=True)
    slopes: Floats = inverse @ (away.T @ (long - level))
    left: Floats = long - level - away @ slopes
    meat: Floats = (away * (left * left)[:, None]).T @ away
    spread = float(np.sum((long - level) ** 2))
    return FirstStage(
        intercept=level - float(center @ slopes),
        slopes=slopes,
        covariance=inverse @ meat @ inverse * n / max(n - k - 1, 1),
        explained=1 - float(left @ left) / spread if spread > 0 else 0.0,
        n=n,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEffect:
    """The effect on the index, and the share of its variance that comes from the first stage."""

    effect: Effect
    from_first_stage: float


def effect_on_index(
    stage: FirstStage, *, control: Moments, treatment: Moments, level: float = 0.95
) -> IndexEffect | None:
    """The foretold effect, in the unit of the long-term value, absolute only; None where nothing varies.

    Parameters
    ----------
    control, treatment
        Moments of the same short-term outcomes in each arm, one group each.
    """
    gap = treatment.mean[0] - control.mean[0]
    arms = [
        ArmEstimate(
            value=stage.intercept + float(m.mean[0] @ stage.slopes),
            variance=float(stage.slopes @ m.covariance()[0] @ stage.slopes / m.n[0]),
            df=float(m.n[0] - 1),
            n=float(m.n[0]),
        )
        for m in (control, treatment)
    ]
    of_stage = float(gap @ stage.covariance @ gap)
    whole = arms[0].variance + arms[1].variance + of_stage
    if not whole > 0:
        return None
    # The slopes' error is shared by both arms; put beside one of them it gives the difference its whole variance.
    with_stage = ArmEstimate(
        value=arms[1].value, variance=arms[1].variance + of_stage, df=arms[1].df, n=arms[1].n
    )
    effect = effect_of(arms[0], with_stage, level=level)
    if effect is None:
        return None
    absolute = replace(effect, relative=None, rel_low=None, rel_high=None)
    return IndexEffect(effect=absolute, from_first_stage=of_stage / whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Would the index have decided as the long run did, over past experiments?

    Counts of experiments by what was clear (better, worse, or not) by the index and in the long run; ``recall`` is the
    share of long-run wins that the index saw, ``precision`` the share of its wins that the long run kept; None where
    there is none. ``opposite`` counts clear effects with the other sign.
    """

    n: int
    same: int
    opposite: int
    wins: int
    recall: float | None
    precision: float | None


def agreement(
    index: Floats, index_errors: Floats, long: Floats, long_errors: Floats, *, reach: float = 1.959964
) -> Agreement:
    """Compare decisions; all arrays have shape (experiments,): effects and their standard errors."""
    ours = np.where(np.abs(index) > reach * index_errors, np.sign(index), 0.0)
    theirs = np.where(np.abs(long) > reach * long_errors, np.sign(long), 0.0)
    both = int(np.sum((ours > 0) & (theirs > 0)))
    wins, claimed = int(np.sum(theirs > 0)), int(np.sum(ours > 0))
    return Agreement(
        n=int(index.size),
        same=int(np.sum(ours == theirs)),
        opposite=int(np.sum(ours * theirs < 0)),
        wins=wins,
        recall=both / wins if wins else None,
        precision=both / claimed if claimed else None,
    )
