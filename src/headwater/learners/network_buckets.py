"""Ordered buckets: whether there is an amount, whether it exceeds each edge in turn, and where it lies in its bucket.

Edges are quantiles of the learning rows' amounts. The chances of exceeding are asked one after another, each of those
who exceeded the edge before it, so they cannot cross; and no forecast lies beyond the last edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from headwater.learners.network_heads import network_library

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BucketHead", "restore_buckets"]

Floats = NDArray[np.float64]
_SHARES = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999)
_FEWEST_IN_BUCKET = 20
_INSIDE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketHead:
    """``edges`` has shape (n_buckets + 1,); ``passed`` and ``places`` (n_buckets,) say what holds of all learning rows.

    Bucket 0 holds ``edges[0] <= amount <= edges[1]``, bucket b amounts above ``edges[b]`` up to ``edges[b + 1]``.
    ``passed[b]`` is the chance of bucket b or a higher one, given what is below it; ``places[b]`` where in bucket b
    amounts lie on average, 0 to 1.
    """

    edges: Floats
    passed: Floats
    places: Floats

    @classmethod
    def of(cls, amounts: Floats) -> BucketHead:
        """From one rung's amounts, shape (n_rows, 1); at least one is above zero."""
        column = amounts[:, 0][np.isfinite(amounts[:, 0])]
        paid = column[column > 0]
        shares = [s for s in _SHARES if (1 - s) * paid.size >= _FEWEST_IN_BUCKET]
        inner = np.unique(np.quantile(paid, shares)) if shares else np.empty(0)
        low, high = float(paid.min()), float(paid.max())
        edges = np.array([low, *inner[(inner > low) & (inner < high)], high])
        which = np.searchsorted(edges[1:-1], paid, side="left")
        counts = np.bincount(which, minlength=edges.size - 1)
        at_least = counts[::-1].cumsum()[::-1]
        above = np.concatenate([[column.size], at_least[:-1]])
        inside = np.bincount(which, weights=_place(edges, paid, which), minlength=counts.size)
        return cls(edges=edges, passed=at_least / above, places=inside / np.maximum(counts, 1))

    @property
    def blocks(self) -> tuple[int, ...]:
        """One block: a logit for each bucket, and a place in each."""
        return (2 * self.passed.size,)

    @property
    def start(self) -> tuple[Floats, ...]:
        """Outputs that say of everybody what holds of all learning rows."""
        shares = np.concatenate([self.passed, self.places])
        return (logit(np.clip(shares, _INSIDE, 1 - _INSIDE)),)

    def loss(self, blocks: tuple[Tensor, ...], amounts: Tensor) -> Tensor:
        """Cross-entropy of every step up that was there to take, and of the place in the amount's own bucket."""
        torch = network_library()
        (block,), n = blocks, self.passed.size
        amount = amounts[:, :1]
        edges = torch.as_tensor(self.edges, dtype=block.dtype, device=block.device)
        low, width = edges[:-1], (edges[1:] - edges[:-1]).clip(min=1e-30)
        floors = torch.cat([torch.zeros_like(edges[:1]), edges[1:-1]])
        passed = (amount > floors).to(block.dtype)
        asked = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
        here = passed - torch.cat([passed[:, 1:], torch.zeros_like(passed[:, :1])], dim=1)
        place = ((amount - low) / width).clip(min=0, max=1)
        steps = asked * _cross_entropy(torch, block[:, :n], passed)
        return (steps + here * _cross_entropy(torch, block[:, n:], place)).sum(dim=1)

    def means(self, blocks: tuple[Floats, ...]) -> Floats:
        """The chance of each bucket times the amount expected in it, summed; shape (n_rows, 1)."""
        chances, amounts = self._buckets(blocks[0])
        return (chances * amounts).sum(axis=1, keepdims=True)

    def square_means(self, blocks: tuple[Floats, ...]) -> Floats:
        """The same of squares, with amounts spread evenly over a twelfth of a squared bucket."""
        chances, amounts = self._buckets(blocks[0])
        spread = np.diff(self.edges) ** 2 / 12
        return (chances * (amounts**2 + spread)).sum(axis=1, keepdims=True)

    def quantile(self, blocks: tuple[Floats, ...], share: float) -> Floats:
        """Along a straight line within a bucket; shape (n_rows, 1)."""
        chances, _ = self._buckets(blocks[0])
        reached = 1 - chances[:, ::-1].cumsum(axis=1)[:, ::-1]
        which = (reached <= share).sum(axis=1) - 1
        row, bucket = np.arange(which.size), np.maximum(which, 0)
        inside = (share - reached[row, bucket]) / np.maximum(chances[row, bucket], 1e-12)
        amount = self.edges[bucket] + np.clip(inside, 0, 1) * np.diff(self.edges)[bucket]
        return np.where(which >= 0, amount, 0.0)[:, None]

    def state(self) -> Mapping[str, object]:
        """Numbers from which ``restore_buckets`` makes the same."""
        return {
            "kind": "buckets",
            "edges": self.edges.tolist(),
            "passed": self.passed.tolist(),
            "places": self.places.tolist(),
        }

    def _buckets(self, block: Floats) -> tuple[Floats, Floats]:
        """The chance of each bucket and the amount expected in it, both of shape (n_rows, n_buckets)."""
        n = self.passed.size
        at_least = expit(block[:, :n]).cumprod(axis=1)
        chances = at_least - np.column_stack([at_least[:, 1:], np.zeros(len(block))])
        return chances, self.edges[:-1] + np.diff(self.edges) * expit(block[:, n:])


def restore_buckets(state: Mapping[str, Any]) -> BucketHead:
    """The head of a saved state."""
    return BucketHead(**{k: np.asarray(state[k], dtype=float) for k in ("edges", "passed", "places")})


def _place(edges: Floats, amounts: Floats, which: NDArray[np.int64]) -> Floats:
    width = np.maximum(np.diff(edges)[which], 1e-30)
    return np.clip((amounts - edges[which]) / width, 0, 1)


def _cross_entropy(torch: Any, logits: Tensor, share: Tensor) -> Tensor:
    """Of a chance given as a logit and a share from 0 to 1."""
    return torch.nn.functional.softplus(logits) - logits * share
