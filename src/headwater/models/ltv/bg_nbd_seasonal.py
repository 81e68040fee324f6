"""BG/NBD on a clock that runs with weekdays, seasons and declared events."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.models.model import Predictor, State, Training
from headwater.models.processes import BG_NBD
from headwater.models.seasons import fit_in_seasons, restore_in_seasons

__all__ = ["BgNbdSeasonal"]


class BgNbdSeasonal:
    """BG/NBD in operational time: the calendar is learned with it, from the log before the cutoff.

    Dropout comes at purchases, so it follows them exactly.
    """

    about: ClassVar[str] = "BG/NBD with weekdays, seasons and events; spend for money"
    simplicity: ClassVar[int] = 5
    by_default: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_in_seasons(BG_NBD, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_in_seasons(BG_NBD, task, state)
