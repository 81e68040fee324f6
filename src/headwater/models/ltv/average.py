"""The plain average of Pareto/NBD and the LightGBM hurdle: often hard to beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.ledger import Task
from headwater.models.ensemble import Members, Trial, fit_blend, restore_blend
from headwater.models.ltv.lightgbm_hurdle import LightgbmHurdle
from headwater.models.ltv.pareto_nbd import ParetoNbd
from headwater.models.model import Floats, Predictor, State, Training

__all__ = ["Average"]

_MEMBERS = {"pareto_nbd": ParetoNbd, "lightgbm_hurdle": LightgbmHurdle}


class Average:
    """Half of each: one knows the process of buying, the other all features; their errors differ."""

    about: ClassVar[str] = "the plain average of Pareto/NBD and the hurdle"
    simplicity: ClassVar[int] = 7
    by_default: ClassVar[bool] = True
    members: ClassVar[Members] = _MEMBERS

    def fit(self, training: Training) -> Predictor:
        """Fit both. Raises ``DataError`` where one of them cannot be fitted."""
        return fit_blend(_MEMBERS, training, weigh=_equal, needed=len(_MEMBERS))

    def restore(self, task: Task, state: State) -> Predictor:
        """The average of a saved state."""
        return restore_blend(_MEMBERS, task, state)


def _equal(trials: tuple[Trial, ...], n_members: int) -> Floats:
    del trials
    return np.full(n_members, 1 / n_members)
