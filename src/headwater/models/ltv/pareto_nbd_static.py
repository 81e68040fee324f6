"""Pareto/NBD whose rates of buying and leaving depend on attributes: country, channel."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.models.model import Predictor, State, Training
from headwater.models.processes import PARETO_NBD
from headwater.models.static import fit_by_attributes, restore_by_attributes

__all__ = ["ParetoNbdStatic"]


class ParetoNbdStatic:
    """Pareto/NBD with penalized effects of attributes on buying and on leaving."""

    about: ClassVar[str] = "Pareto/NBD by country, channel and other attributes; spend for money"
    simplicity: ClassVar[int] = 6
    by_default: ClassVar[bool] = False
    any_stretch: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff. Raises ``DataError`` without attributes or with too few repeat users."""
        return fit_by_attributes(PARETO_NBD, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_by_attributes(PARETO_NBD, task, state)
