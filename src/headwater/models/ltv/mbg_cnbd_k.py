"""MBG/CNBD-k for purchase days of regular buyers, spend for what they are worth."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.models.buy_till_you_die import fit_process, restore_process
from headwater.models.model import Predictor, State, Training
from headwater.models.numeric_process import NumericProcess
from headwater.numerics import mbg_cnbd_k
from headwater.numerics.mbg_cnbd_k import MbgCnbdKParams

__all__ = ["MbgCnbdK"]


class MbgCnbdK:
    """MBG/CNBD-k, fitted by maximum likelihood on the distinct purchase histories, k where the likelihood peaks."""

    about: ClassVar[str] = "MBG/NBD with a rhythm: gaps of k phases, k by likelihood; spend for money"
    simplicity: ClassVar[int] = 5
    by_default: ClassVar[bool] = True
    any_stretch: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_process(_PROCESS, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_process(_PROCESS, task, state)


_PROCESS = NumericProcess(numerics=mbg_cnbd_k, params=MbgCnbdKParams)
