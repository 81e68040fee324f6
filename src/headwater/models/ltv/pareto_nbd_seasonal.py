"""Pareto/NBD on a clock that runs with weekdays, seasons and declared events."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.models.model import Predictor, State, Training
from headwater.models.processes import PARETO_NBD
from headwater.models.seasons import fit_in_seasons, restore_in_seasons

__all__ = ["ParetoNbdSeasonal"]


class ParetoNbdSeasonal:
    """Pareto/NBD in operational time: the calendar is learned with it, from the log before the cutoff.

    Dropout runs on the same clock: more leave where more buy.
    """

    about: ClassVar[str] = "Pareto/NBD with weekdays, seasons and events; spend for money"
    simplicity: ClassVar[int] = 6
    by_default: ClassVar[bool] = False

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_in_seasons(PARETO_NBD, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_in_seasons(PARETO_NBD, task, state)
