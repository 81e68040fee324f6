"""MBG/NBD for purchase days, who may leave after any of them; spend for what they are worth."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.models.buy_till_you_die import fit_process, restore_process
from headwater.models.model import Predictor, State, Training
from headwater.models.numeric_process import NumericProcess
from headwater.numerics import mbg_nbd
from headwater.numerics.mbg_nbd import MbgNbdParams

__all__ = ["MbgNbd"]


class MbgNbd:
    """MBG/NBD, fitted by maximum likelihood on the distinct purchase histories."""

    about: ClassVar[str] = "BG/NBD whose customers may leave right after the first purchase; spend for money"
    simplicity: ClassVar[int] = 4
    by_default: ClassVar[bool] = False
    any_stretch: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_process(_PROCESS, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_process(_PROCESS, task, state)


_PROCESS = NumericProcess(numerics=mbg_nbd, params=MbgNbdParams)
