"""A small network whose outputs are the chances of ordered buckets of amounts, and the place within each."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import Task
from headwater.learners.network_buckets import BucketHead
from headwater.models.ltv._networks import NEEDS, fit_network, restore_forecast
from headwater.models.model import Predictor, State, Training

__all__ = ["MultiDistributionNetwork"]


class MultiDistributionNetwork:
    """A small network whose outputs are the chances of ordered buckets of amounts, and the place within each."""

    about: ClassVar[str] = "neural network: chance of any value, then of each larger bucket of amounts"
    simplicity: ClassVar[int] = 8
    by_default: ClassVar[bool] = False
    needs: ClassVar[tuple[str, str]] = NEEDS

    def fit(self, training: Training) -> Predictor:
        """Learn from matured windows. Raises ``UsageError`` without PyTorch, ``DataError`` where too little has matured."""
        return fit_network(training, rungs=(training.task.horizon_days,), head_of=BucketHead.of)

    def restore(self, task: Task, state: State) -> Predictor:
        """The network of a saved state; PyTorch is not needed."""
        del task
        return restore_forecast(state)
