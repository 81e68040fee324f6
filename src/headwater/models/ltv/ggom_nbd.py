"""GGom/NBD for purchase days of customers who leave sooner the older they get; spend for money."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.models.buy_till_you_die import fit_process, restore_process
from headwater.models.model import Predictor, State, Training
from headwater.models.numeric_process import NumericProcess
from headwater.numerics import ggom_nbd
from headwater.numerics.ggom_nbd import GgomNbdParams

__all__ = ["GgomNbd"]


class GgomNbd:
    """GGom/NBD, fitted by maximum likelihood on the distinct purchase histories.

    Not by default: it takes several times as long as Pareto/NBD, which it becomes where the data show no aging.
    """

    about: ClassVar[str] = "Pareto/NBD whose customers leave at a rate that grows with age; spend for money"
    simplicity: ClassVar[int] = 5
    by_default: ClassVar[bool] = False
    any_stretch: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_process(_PROCESS, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_process(_PROCESS, task, state)


_PROCESS = NumericProcess(numerics=ggom_nbd, params=GgomNbdParams)
