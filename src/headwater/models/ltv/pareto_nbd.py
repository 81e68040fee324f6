"""Pareto/NBD for purchase days, Gamma-Gamma for what they are worth."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.models.buy_till_you_die import fit_process, restore_process
from headwater.models.model import Predictor, State, Training
from headwater.models.processes import PARETO_NBD

__all__ = ["ParetoNbd"]


class ParetoNbd:
    """Pareto/NBD with Gamma-Gamma, fitted by maximum likelihood on the distinct purchase histories."""

    about: ClassVar[str] = "Pareto/NBD for purchases, a spend model for money"
    simplicity: ClassVar[int] = 4
    by_default: ClassVar[bool] = True
    any_stretch: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_process(PARETO_NBD, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_process(PARETO_NBD, task, state)
