"""LightGBM ZILN: the chance of any value and the (mu, sigma) of a lognormal amount, both by boosted trees."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np

from headwater.core.ledger import Task
from headwater.learners.boosting_losses import Objective
from headwater.learners.tuning import Dial
from headwater.models.ltv._boosted import DIALS, Heads, fit_heads, restore_heads
from headwater.models.ltv._lesson import SETTINGS, Lesson, read_lesson
from headwater.models.ltv._shapes import ZeroInflated
from headwater.models.model import Predictor, Setting, State, Training

__all__ = ["LightgbmZiln"]

_TAKES = tuple(s for s in SETTINGS if s.name not in {"rising", "falling"})
"""A mean of two scores that both rise need not rise: nothing is promised that cannot be kept."""


class LightgbmZiln:
    """Zero-inflated lognormal: a distribution for each user, from which mean, quantiles and variance follow.

    Trees share no weights, so the loss falls apart exactly: cross-entropy on all rows, and the lognormal
    likelihood on those above zero, whose two scores are grown together.
    """

    about: ClassVar[str] = "gradient boosting: a zero-inflated lognormal distribution for each user"
    simplicity: ClassVar[int] = 6
    by_default: ClassVar[bool] = False
    takes: ClassVar[tuple[Setting, ...]] = _TAKES
    dials: ClassVar[tuple[Dial, ...]] = DIALS

    def fit(self, training: Training) -> Predictor:
        """Learn from matured windows. Raises ``DataError`` where none has matured."""
        return fit_heads(read_lesson(training), _ziln)

    def restore(self, task: Task, state: State) -> Predictor:
        """The two models of a saved state."""
        del task
        return restore_heads(
            state,
            lambda saved: ZeroInflated(
                cap=float(cast("float", saved["cap"])), start=tuple(cast("list[float]", saved["start"]))
            ),
        )


def _ziln(lesson: Lesson) -> Heads:
    chance = lesson.grow(Objective(kind="binary"), (lesson.target > 0).astype(float))
    amount = lesson.grow(Objective(kind="lognormal"), lesson.target, rows=lesson.paying)
    sigma = np.median(amount.held[lesson.paying, 1])
    return Heads(
        grown=(chance, amount),
        shape=ZeroInflated(cap=float(lesson.target.max()), start=amount.model.start),
        facts=(("spread of log amounts", f"{sigma:.2f} for the median user above zero"),),
    )
