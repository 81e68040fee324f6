"""LightGBM Tweedie: one boosted model whose loss takes zeros and amounts together."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.ledger import Task
from headwater.learners.boosting_losses import Objective
from headwater.learners.tuning import Dial
from headwater.models.ltv._boosted import DIALS, Heads, fit_heads, restore_heads
from headwater.models.ltv._lesson import SETTINGS, Lesson, read_lesson
from headwater.models.ltv._shapes import Direct
from headwater.models.model import Floats, Predictor, Setting, State, Training
from headwater.numerics.calibration import mean_loss

__all__ = ["LightgbmTweedie"]

_POWERS = (1.2, 1.5, 1.8)


class LightgbmTweedie:
    """One boosted model of the mean with Tweedie deviance; its variance power is chosen on users held out."""

    about: ClassVar[str] = "gradient boosting: zeros and amounts in one Tweedie loss"
    simplicity: ClassVar[int] = 5
    by_default: ClassVar[bool] = False
    takes: ClassVar[tuple[Setting, ...]] = SETTINGS
    dials: ClassVar[tuple[Dial, ...]] = DIALS

    def fit(self, training: Training) -> Predictor:
        """Learn from matured windows. Raises ``DataError`` where none has matured."""
        return fit_heads(read_lesson(training), _tweedie)

    def restore(self, task: Task, state: State) -> Predictor:
        """The model of a saved state."""
        del task
        return restore_heads(state, lambda _: Direct())


def _tweedie(lesson: Lesson) -> Heads:
    losses = {p: _held_out_loss(lesson, p) for p in _POWERS}
    power = min(losses, key=lambda p: losses[p])
    mean = lesson.grow(Objective(kind="tweedie", power=power), lesson.target)
    tried = ", ".join(f"{p:g}: {loss:.4g}" for p, loss in losses.items())
    return Heads(
        grown=(mean,), shape=Direct(), facts=(("variance power", f"{power:g} (held-out loss {tried})"),)
    )


def _held_out_loss(lesson: Lesson, power: float) -> float:
    """One loss for all powers, brought to one total: deviances of different powers cannot be compared."""
    held: Floats = lesson.try_out(Objective(kind="tweedie", power=power), lesson.target)
    judged = np.isfinite(held)
    predicted, actual = held[judged], lesson.actual[judged]
    whole = max(float(actual.sum()), 0.0) / float(predicted.sum())
    return float(mean_loss(predicted * (whole or 1.0), actual).mean())
