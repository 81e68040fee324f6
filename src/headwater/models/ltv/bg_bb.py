"""BG/BB for purchase days, each app day an opportunity taken or not; spend for what they are worth."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.models.buy_till_you_die import fit_process, restore_process
from headwater.models.model import Predictor, State, Training
from headwater.models.numeric_process import NumericProcess
from headwater.numerics import bg_bb
from headwater.numerics.bg_bb import BgBbParams

__all__ = ["BgBb"]


class BgBb:
    """BG/BB on app days, fitted by maximum likelihood on the distinct purchase histories.

    Each app day after that of the first purchase is an opportunity, taken at most once, as the snapshot counts: nothing
    is rounded. Not by default: where purchase days are few of all days it says much the same as Pareto/NBD.
    """

    about: ClassVar[str] = "a day is taken or not, and before each a customer may leave; spend for money"
    simplicity: ClassVar[int] = 4
    by_default: ClassVar[bool] = False
    any_stretch: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_process(_PROCESS, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_process(_PROCESS, task, state)


_PROCESS = NumericProcess(numerics=bg_bb, params=BgBbParams)
