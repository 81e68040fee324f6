"""Train a small network from rows that are read as they are needed: on one GPU in mixed precision, or the same on a CPU.

PyTorch draws nothing at random: first weights and orders of rows come from the generator passed in, so a seed gives
the same network again, to the last bit on the same kind of machine with as many threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.learners.network import Network, Shape, Weights, layers, start_weights
from headwater.learners.network_heads import Head, network_library
from headwater.learners.network_rows import Buffer, Feed, RowSource, learn_inputs, rises

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Learned", "TrainingSettings", "learn_network"]

Floats = NDArray[np.float64]
_MEAN_KEPT, _SQUARE_KEPT = 0.9, 0.999
_LARGE_BATCH = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How a network is trained; the defaults suit some thousand to some million rows.

    The budget is in passes and in rows looked at, not in seconds: a seed gives the same network on a slow machine.
    ``batch_rows`` None chooses by the number of rows. ``device`` None takes a GPU where there is one.
    """

    hidden: tuple[int, ...] = (64, 32)
    most_passes: int = 60
    patience: int = 6
    most_rows_seen: int = 400_000_000
    batch_rows: int | None = None
    buffer_rows: int = 262_144
    kept_bytes: int = 1_000_000_000
    learning_rate: float = 0.004
    decay: float = 0.93
    weight_decay: float = 0.01
    longest_gradient: float = 1.0
    threads: int = 2
    device: str | None = None

    def batch_for(self, n_rows: int) -> int:
        """Rows in a step: about a hundred steps a pass, within 128 and 4,096."""
        return self.batch_rows or int(np.clip(2 ** round(np.log2(max(n_rows, 1) / 100)), 128, 4_096))

    def passes_for(self, n_rows: int) -> int:
        """The passes that the budget allows."""
        return max(1, min(self.most_passes, self.most_rows_seen // max(n_rows, 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A trained network and how it went.

    ``losses`` has a pair for each pass: mean loss of a learning row as it was learned from, and of a row watched
    after the pass (NaN where none was watched). ``passes`` is how many the kept weights took.
    """

    network: Network
    losses: tuple[tuple[float, float], ...]
    passes: int
    n_rows: int
    device: str
    start_loss: float

    @property
    def best_loss(self) -> float:
        """The loss of a watched row under the kept weights."""
        return self.losses[self.passes - 1][1] if self.passes else self.start_loss


def learn_network(
    source: RowSource,
    *,
    head_of: Callable[[Floats], Head],
    settings: TrainingSettings,
    rng: np.random.Generator,
    watched: RowSource | None = None,
    passes: int | None = None,
) -> Learned:
    """Train on a source: until the loss of ``watched`` rows has not fallen for some passes, or for ``passes``.

    Raises ``UsageError`` (``extra.missing``) without PyTorch, ``DataError`` (``network.diverged``) where the loss is
    no number.
    """
    torch = network_library()
    amounts = rises(source.every_target())
    inputs, head = learn_inputs(source), head_of(amounts)
    n_rows = len(amounts)
    shape = Shape(
        n_numbers=inputs.n_numbers,
        vocabularies=inputs.sizes,
        hidden=settings.hidden,
        blocks=head.blocks,
    )
    feed = Feed(
        source=source,
        inputs=inputs,
        n_rows=n_rows,
        buffer_rows=settings.buffer_rows,
        kept_bytes=settings.kept_bytes,
    )
    watch = None if watched is None else replace(feed, source=watched, n_rows=len(watched.every_target()))
    with _steady(torch, settings, n_rows=n_rows) as device:
        run = _Run(
            torch=torch,
            head=head,
            settings=settings,
            device=device,
            kept=start_weights(shape, start=head.start, rng=rng),
        )
        losses, best, start_loss = _passes(run, feed, watch, rng=rng, passes=passes)
    return Learned(
        network=Network(inputs=inputs, head=head, weights=run.kept),
        losses=tuple(losses),
        passes=best,
        n_rows=n_rows,
        device=device,
        start_loss=start_loss,
    )


class _Adam:
    """Weights in one stretch of memory, and AdamW (Loshchilov & Hutter 2019) over all of it at once.

    ``averages`` are the weights averaged over about the last pass (Polyak & Juditsky 1992): single steps are noisy.
    ``torch.optim`` does the same; it brings a compiler with it that takes seconds to open.
    """

    def __init__(self, torch: Any, weights: Weights, *, settings: TrainingSettings, device: str) -> None:
        self._torch, self._settings = torch, settings
        self._flat = torch.from_numpy(np.concatenate([w.ravel() for w in weights.values()])).to(device)
        self._slopes, self._mean, self._square = (torch.zeros_like(self._flat) for _ in range(3))
        self._average = self._flat.clone()
        self._decays = torch.ones_like(self._flat)
        self._steps, at = 0, 0
        self.tensors: dict[str, Tensor] = {}
        self.averages: dict[str, Tensor] = {}
        for name, weight in weights.items():
            part = slice(at, at + weight.size)
            tensor = self._flat[part].view(weight.shape).detach().requires_grad_()
            tensor.grad = self._slopes[part].view(weight.shape)
            self.tensors[name] = tensor
            self.averages[name] = self._average[part].view(weight.shape)
            if weight.ndim == 1:
                self._decays[part] = 0.0
            at += weight.size

    def step(self, loss: Tensor, *, rate: float, new: float) -> None:
        """Go down the slope of a loss, held to a longest gradient; ``new`` is what the weights count for in their average."""
        with self._torch.no_grad():
            self._slopes.zero_()
        loss.backward()
        self._steps += 1
        with self._torch.no_grad():
            length = self._torch.linalg.vector_norm(self._slopes)
            self._slopes.mul_((self._settings.longest_gradient / (length + 1e-12)).clip(max=1.0))
            self._mean.lerp_(self._slopes, 1 - _MEAN_KEPT)
            self._square.mul_(_SQUARE_KEPT).addcmul_(self._slopes, self._slopes, value=1 - _SQUARE_KEPT)
            self._flat.sub_(self._flat * self._decays, alpha=rate * self._settings.weight_decay)
            scale = (self._square / (1 - _SQUARE_KEPT**self._steps)).sqrt_().add_(1e-8)
            self._flat.addcdiv_(self._mean, scale, value=-rate / (1 - _MEAN_KEPT**self._steps))
            self._average.lerp_(self._flat, max(new, 1 / self._steps))


@dataclass(slots=True, kw_only=True)
class _Run:
    """The weights on their device, what moves them, and the best so far."""

    torch: Any
    head: Head
    settings: TrainingSettings
    device: str
    kept: Weights
    adam: _Adam = field(init=False)

    def __post_init__(self) -> None:
        self.adam = _Adam(self.torch, self.kept, settings=self.settings, device=self.device)

    def keep(self) -> None:
        """Take the averaged weights of this moment as the best."""
        self.kept = {k: t.detach().cpu().numpy().copy() for k, t in self.adam.averages.items()}

    def learn(self, feed: Feed, *, rng: np.random.Generator, number: int) -> float:
        """One pass of steps; returns the mean loss of a row as it was learned from."""
        size, total = self.settings.batch_for(feed.n_rows), 0.0
        new = min(1.0, size / feed.n_rows)
        rate = self.settings.learning_rate * self.settings.decay**number
        for buffer in feed.buffers(rng):
            held = self._moved(buffer)
            sums: Any = 0.0
            for at in range(0, buffer.n_rows, size):
                loss = self._loss(self.adam.tensors, held, at, at + size)
                self.adam.step(loss.mean(), rate=rate, new=new)
                sums = sums + loss.detach().sum()
            total += float(sums)
        return total / feed.n_rows

    def judge(self, feed: Feed, *, size: int = 16_384) -> float:
        """The mean loss of a row under the averaged weights; nothing is learned."""
        total = 0.0
        with self.torch.no_grad():
            for buffer in feed.buffers():
                held = self._moved(buffer)
                for at in range(0, buffer.n_rows, size):
                    total += float(self._loss(self.adam.averages, held, at, at + size).double().sum())
        return total / feed.n_rows

    def _moved(self, buffer: Buffer) -> tuple[Tensor, ...]:
        arrays = (buffer.rows.numbers, buffer.rows.words, buffer.amounts)
        return tuple(self.torch.from_numpy(a).to(self.device, non_blocking=True) for a in arrays)

    def _loss(self, weights: Mapping[str, Tensor], held: tuple[Tensor, ...], start: int, end: int) -> Tensor:
        numbers, words, amounts = (t[start:end] for t in held)
        on_gpu = self.device != "cpu"
        with self.torch.autocast("cuda" if on_gpu else "cpu", dtype=self.torch.bfloat16, enabled=on_gpu):
            blocks = layers(weights, numbers, words, stop=lambda block: block.detach())
        return self.head.loss(tuple(b.float() for b in blocks), amounts)


def _passes(
    run: _Run, feed: Feed, watch: Feed | None, *, rng: np.random.Generator, passes: int | None
) -> tuple[list[tuple[float, float]], int, float]:
    """Losses by pass, the pass whose weights were kept, and the watched loss before the first."""
    allowed = run.settings.passes_for(feed.n_rows) if passes is None else passes
    start_loss = float("nan") if watch is None else run.judge(watch)
    losses: list[tuple[float, float]] = []
    best, lowest = 0, start_loss
    for number in range(allowed):
        learned = run.learn(feed, rng=rng, number=number)
        seen = float("nan") if watch is None else run.judge(watch)
        losses.append((learned, seen))
        _require_finite(learned if watch is None else learned + seen, number)
        if watch is None or seen < lowest:
            best, lowest = number + 1, seen
            run.keep()
        elif number + 1 - best >= run.settings.patience:
            break
    return losses, best, start_loss


def _require_finite(loss: float, number: int) -> None:
    if not np.isfinite(loss):
        raise DataError(
            "network.diverged",
            what=f"The loss of pass {number + 1} is no number.",
            why="The network has learned nothing that can be used.",
            do="Look for values that are beyond any reason in the measures, or use another model.",
        )


@contextmanager
def _steady(torch: Any, settings: TrainingSettings, *, n_rows: int) -> Generator[str]:
    """The device to train on; threads and algorithms that give the same results every time, put back afterwards.

    Threads wait for each other longer over small batches than they save.
    """
    threads, sure = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(settings.threads if settings.batch_for(n_rows) >= _LARGE_BATCH else 1)
    torch.use_deterministic_algorithms(True)
    try:
        yield device
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(sure)
