"""What a network's outputs mean: the distribution of an amount that is often zero and sometimes huge.

Each head has the loss a network is trained by (PyTorch) and the same distribution read off its outputs (NumPy).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Head", "network_library", "restore_head"]

Floats = NDArray[np.float64]


class Head(Protocol):
    """The meaning of a network's outputs. A rung is a horizon; most heads have one."""

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many outputs each block has, a block for each rung."""
        ...

    @property
    def start(self) -> tuple[Floats, ...]:
        """Outputs that say of everybody what holds of all learning rows."""
        ...

    def loss(self, blocks: tuple[Tensor, ...], amounts: Tensor) -> Tensor:
        """Minus the log-likelihood of each row, shape (n_rows,), summed over the rungs it knows."""
        ...

    def means(self, blocks: tuple[Floats, ...]) -> Floats:
        """Expected amount of each rung, shape (n_rows, n_rungs)."""
        ...

    def square_means(self, blocks: tuple[Floats, ...]) -> Floats:
        """Expected squared amount of each rung, shape (n_rows, n_rungs)."""
        ...

    def quantile(self, blocks: tuple[Floats, ...], share: float) -> Floats:
        """The amount that a share of outcomes does not exceed, by rung, shape (n_rows, n_rungs)."""
        ...

    def state(self) -> Mapping[str, object]:
        """Numbers and text from which ``restore_head`` makes the same."""
        ...


def restore_head(state: Mapping[str, Any]) -> Head:
    """The head of a saved state. Raises ``KeyError`` for an unknown kind."""
    kinds = {"ziln": ("network_ziln", "restore_ziln"), "buckets": ("network_buckets", "restore_buckets")}
    module, restore = kinds[str(state["kind"])]
    return getattr(import_module(f"headwater.learners.{module}"), restore)(state)


def network_library() -> Any:
    """PyTorch, opened when a network is trained. Raises ``UsageError`` (``extra.missing``)."""
    try:
        return import_module("torch")
    except ModuleNotFoundError:
        raise UsageError(
            "extra.missing",
            what="'torch' is not installed.",
            why="A network cannot be trained without PyTorch; one that was saved predicts without it.",
            do="pip install 'headwater[deep]', or leave the network models out of 'models'.",
        ) from None
