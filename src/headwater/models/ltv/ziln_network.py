"""A small network on all features and attributes whose outputs are a zero-inflated lognormal."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.learners.network_ziln import ZilnHead
from headwater.models.ltv._networks import NEEDS, fit_network, restore_forecast
from headwater.models.model import Predictor, State, Training

__all__ = ["ZilnNetwork"]


class ZilnNetwork:
    """A small network on all features and attributes whose outputs are a zero-inflated lognormal."""

    about: ClassVar[str] = "neural network: chance of any value, and a lognormal amount"
    simplicity: ClassVar[int] = 7
    by_default: ClassVar[bool] = False
    needs: ClassVar[tuple[str, str]] = NEEDS

    def fit(self, training: Training) -> Predictor:
        """Learn from matured windows. Raises ``UsageError`` without PyTorch, ``DataError`` where too little has matured."""
        return fit_network(training, rungs=(training.task.horizon_days,), head_of=ZilnHead.of)

    def restore(self, task: Task, state: State) -> Predictor:
        """The network of a saved state; PyTorch is not needed."""
        del task
        return restore_forecast(state)
