"""A small network as numbers: its layers, what it says of encoded rows, and its text.

Nothing here needs PyTorch: a saved network predicts where only NumPy is. The layers are written in operators
that NumPy and PyTorch share, so that training and prediction run the same lines.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.learners.network_heads import Head, restore_head
from headwater.learners.network_inputs import Inputs, restore_inputs

__all__ = ["Network", "Shape", "layers", "restore_network", "start_weights"]

Floats = NDArray[np.float64]
Weights = Mapping[str, NDArray[np.float32]]
Array = TypeVar("Array")
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a network is: numbers in, the size of each attribute's vocabulary, hidden layers, outputs by block.

    Each block of outputs after the first sees the block before it, as it stands.
    """

    n_numbers: int
    vocabularies: tuple[int, ...]
    hidden: tuple[int, ...]
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A trained network: how rows are encoded, the weights, and what its outputs mean."""

    inputs: Inputs
    head: Head
    weights: Weights

    @property
    def n_weights(self) -> int:
        """How many numbers were learned."""
        return sum(w.size for w in self.weights.values())

    def outputs(self, rows: pa.Table) -> tuple[Floats, ...]:
        """The blocks of outputs, each of shape (n_rows, size of the block)."""
        exact = {k: w.astype(np.float64) for k, w in self.weights.items()}
        made: list[tuple[Floats, ...]] = []
        for at in range(0, max(rows.num_rows, 1), _ROWS_AT_ONCE):
            encoded = self.inputs.encode(rows.slice(at, _ROWS_AT_ONCE))
            made.append(layers(exact, encoded.numbers.astype(np.float64), encoded.words))
        return tuple(np.concatenate(parts) for parts in zip(*made, strict=True))

    def means(self, rows: pa.Table) -> Floats:
        """The expected amount of each rung, above those of the rungs before it; shape (n_rows, n_rungs)."""
        return self.head.means(self.outputs(rows))

    def state(self) -> Mapping[str, object]:
        """Numbers and text from which ``restore_network`` makes the same."""
        return {
            "inputs": self.inputs.state(),
            "head": self.head.state(),
            "weights": {k: {"shape": list(w.shape), "float32": _text(w)} for k, w in self.weights.items()},
        }


def restore_network(state: Mapping[str, object]) -> Network:
    """The network of a saved state. Raises ``KeyError`` or ``ValueError`` where it does not fit."""
    saved = cast("Mapping[str, Mapping[str, Any]]", state["weights"])
    return Network(
        inputs=restore_inputs(cast("Mapping[str, Any]", state["inputs"])),
        head=restore_head(cast("Mapping[str, Any]", state["head"])),
        weights={k: _numbers(w["float32"], shape=w["shape"]) for k, w in saved.items()},
    )


def start_weights(shape: Shape, *, start: tuple[Floats, ...], rng: np.random.Generator) -> Weights:
    """Weights before the first step: the network says ``start`` of everybody. Rare values begin as nothing."""
    made: dict[str, Any] = {}
    first = shape.hidden[0]
    fan = shape.n_numbers + len(shape.vocabularies)
    made["numbers"] = rng.normal(0, np.sqrt(2 / fan), (shape.n_numbers, first))
    for k, size in enumerate(shape.vocabularies):
        width = min(16, int(np.ceil(size**0.25)) + 1)
        made[f"embedding_{k}"] = rng.normal(0, 0.5, (size, width)) * (np.arange(size) > 0)[:, None]
        made[f"words_{k}"] = rng.normal(0, np.sqrt(2 / (fan * width)), (width, first))
    made["bias_0"] = np.zeros(first)
    for k, (before, after) in enumerate(zip(shape.hidden[:-1], shape.hidden[1:], strict=True), start=1):
        made[f"hidden_{k}"] = rng.normal(0, np.sqrt(2 / before), (before, after))
        made[f"bias_{k}"] = np.zeros(after)
    for k, size in enumerate(shape.blocks):
        made[f"out_{k}"] = np.zeros((shape.hidden[-1], size))
        made[f"start_{k}"] = start[k]
        if k:
            made[f"link_{k}"] = np.zeros((shape.blocks[k - 1], size))
    return {k: np.asarray(v, dtype=np.float32) for k, v in made.items()}


def layers(
    weights: Mapping[str, Array], numbers: Array, words: Any, *, stop: Callable[[Any], Any] | None = None
) -> tuple[Array, ...]:
    """The blocks of outputs for encoded rows, in NumPy or PyTorch.

    ``stop`` lets no gradient through: a later block reads an earlier one and does not bend it.
    """
    w = cast("Mapping[str, Any]", weights)
    hidden = numbers @ w["numbers"] + w["bias_0"]
    for k in range(_count(w, "embedding")):
        hidden = hidden + w[f"embedding_{k}"][words[:, k]] @ w[f"words_{k}"]
    hidden = hidden.clip(min=0)
    for k in range(1, _count(w, "bias")):
        hidden = (hidden @ w[f"hidden_{k}"] + w[f"bias_{k}"]).clip(min=0)
    blocks: list[Any] = []
    for k in range(_count(w, "out")):
        block = hidden @ w[f"out_{k}"] + w[f"start_{k}"]
        if k:
            before = blocks[-1] if stop is None else stop(blocks[-1])
            block = block + (before - w[f"start_{k - 1}"]) @ w[f"link_{k}"]
        blocks.append(block)
    return tuple(blocks)


def _count(weights: Mapping[str, Any], kind: str) -> int:
    return sum(k.startswith(f"{kind}_") for k in weights)


def _text(numbers: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).decode("ascii")


def _numbers(text: str, *, shape: list[int]) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").reshape(shape).astype(np.float32)
