"""LightGBM hurdle: the probability of any value, times the amount if there is some."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.learners.boosting_losses import Objective
from headwater.learners.tuning import Dial
from headwater.models.ltv._boosted import DIALS, Heads, fit_heads, restore_heads
from headwater.models.ltv._lesson import SETTINGS, Lesson, read_lesson
from headwater.models.ltv._shapes import Product
from headwater.models.model import Predictor, Setting, State, Training

__all__ = ["LightgbmHurdle"]

_AMOUNT = Objective(kind="tweedie", power=1.5)


class LightgbmHurdle:
    """Two boosted models on all features: whether the outcome is above zero, and how large it then is.

    Amounts are fitted as means (Tweedie deviance of power 1.5, log link), so nothing has to be brought back from logs.
    """

    about: ClassVar[str] = "gradient boosting: probability of any value, times the amount"
    simplicity: ClassVar[int] = 5
    by_default: ClassVar[bool] = True
    takes: ClassVar[tuple[Setting, ...]] = SETTINGS
    dials: ClassVar[tuple[Dial, ...]] = DIALS

    def fit(self, training: Training) -> Predictor:
        """Learn from matured windows. Raises ``DataError`` where none has matured."""
        return fit_heads(read_lesson(training), hurdle)

    def restore(self, task: Task, state: State) -> Predictor:
        """The two models of a saved state."""
        del task
        return restore_heads(state, lambda _: Product())


def hurdle(lesson: Lesson) -> Heads:
    """The chance of an outcome above zero, and its mean where it is."""
    chance = lesson.grow(Objective(kind="binary"), (lesson.target > 0).astype(float))
    amount = lesson.grow(_AMOUNT, lesson.target, rows=lesson.paying)
    return Heads(grown=(chance, amount), shape=Product())
