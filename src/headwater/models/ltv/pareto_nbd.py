"""Pareto/NBD for purchase days, Gamma-Gamma for what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headwater.core.ledger import Task
from headwater.models.buy_till_you_die import fit_process, restore_process
from headwater.models.model import Floats, Predictor, State, Training
from headwater.numerics import pareto_nbd
from headwater.numerics.maximize import Fit
from headwater.numerics.pareto_nbd import ParetoNbdParams
from headwater.numerics.rfm import RfmRows

__all__ = ["ParetoNbd"]

Ints = NDArray[np.int64]


class ParetoNbd:
    """Pareto/NBD with Gamma-Gamma, fitted by maximum likelihood on the distinct purchase histories."""

    about: ClassVar[str] = "Pareto/NBD for purchases, Gamma-Gamma for money"
    simplicity: ClassVar[int] = 4
    by_default: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Fit on the latest cutoff; needs no matured window. Raises ``DataError`` with too few repeat users."""
        return fit_process(_PROCESS, training)

    def restore(self, task: Task, state: State) -> Predictor:
        """The fit of a saved state."""
        return restore_process(_PROCESS, task, state)


class _Process:
    def fit(self, rows: RfmRows) -> Fit[ParetoNbdParams]:
        return pareto_nbd.fit(rows)

    def restore(self, params: Mapping[str, float]) -> ParetoNbdParams:
        return ParetoNbdParams(**params)

    def expected(self, params: ParetoNbdParams, users: RfmRows, horizon: float) -> Floats:
        return pareto_nbd.expected_purchases(params, x=users.x, t_x=users.t_x, T=users.T, horizon=horizon)

    def draw(
        self,
        params: ParetoNbdParams,
        users: RfmRows,
        horizon: float,
        *,
        rng: np.random.Generator,
        n_draws: int,
    ) -> Ints:
        return pareto_nbd.draw_future_purchases(
            params, x=users.x, t_x=users.t_x, T=users.T, horizon=horizon, rng=rng, n_draws=n_draws
        )


_PROCESS = _Process()
