"""BG/NBD for purchase days, Gamma-Gamma for what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from headwater.core.ledger import Task
from headwater.models.buy_till_you_die import fit_process, restore_process
from headwater.models.model import Floats, Predictor, State, Training
from headwater.numerics import bg_nbd
from headwater.numerics.bg_nbd import BgNbdParams
from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import RfmRows

__all__ = ["BgNbd"]


class BgNbd:
    """BG/NBD with Gamma-Gamma, fitted by maximum likelihood on the distinct purchase histories."""

    about: ClassVar[str] = "BG/NBD for purchases, Gamma-Gamma for money"
    simplicity: ClassVar[int] = 3

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_process(_PROCESS, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_process(_PROCESS, task, state)


class _Process:
    def fit(self, rows: RfmRows) -> Fit[BgNbdParams]:
        return bg_nbd.fit(rows)

    def restore(self, params: Mapping[str, float]) -> BgNbdParams:
        return BgNbdParams(**params)

    def expected(self, params: BgNbdParams, x: Floats, t_x: Floats, T: Floats, horizon: float) -> Floats:
        return bg_nbd.expected_purchases(params, x=x, t_x=t_x, T=T, horizon=horizon)

    def draw(
        self, params: BgNbdParams, x: Floats, t_x: Floats, T: Floats, horizon: float, rng: np.random.Generator, n: int
    ) -> Floats:
        drawn = bg_nbd.draw_future_purchases(params, x=x, t_x=t_x, T=T, horizon=horizon, rng=rng, n_draws=n)
        return drawn.astype(np.float64)


_PROCESS = _Process()
