"""A weighted blend of models, the weights learned at past cutoffs only."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.ledger import Task
from headwater.models.ensemble import Members, Trial, fit_blend, restore_blend
from headwater.models.ltv.bg_nbd import BgNbd
from headwater.models.ltv.cohort_mean import CohortMean
from headwater.models.ltv.lightgbm_hurdle import LightgbmHurdle
from headwater.models.ltv.pareto_nbd import ParetoNbd
from headwater.models.ltv.rate_so_far import RateSoFar
from headwater.models.model import Floats, Predictor, State, Training
from headwater.numerics.blend import blend_weights

__all__ = ["Stacked"]

_MEMBERS = {
    "rate_so_far": RateSoFar,
    "cohort_mean": CohortMean,
    "bg_nbd": BgNbd,
    "pareto_nbd": ParetoNbd,
    "lightgbm_hurdle": LightgbmHurdle,
}


class Stacked:
    """Members weighed by what they would have said at past cutoffs, beside what came (``blend_weights``)."""

    about: ClassVar[str] = "a blend of five models, weighed at past cutoffs"
    simplicity: ClassVar[int] = 8
    by_default: ClassVar[bool] = True
    members: ClassVar[Members] = _MEMBERS

    def fit(self, training: Training) -> Predictor:
        """Fit the members now and at past cutoffs. Raises ``DataError`` where fewer than two can be fitted."""
        return fit_blend(_MEMBERS, training, weigh=_weighed, needed=2)

    def restore(self, task: Task, state: State) -> Predictor:
        """The blend of a saved state."""
        return restore_blend(_MEMBERS, task, state)


def _weighed(trials: tuple[Trial, ...], n_members: int) -> Floats:
    if not trials:
        return np.full(n_members, 1 / n_members)
    return blend_weights(np.vstack([t.said for t in trials]), np.concatenate([t.came for t in trials]))
