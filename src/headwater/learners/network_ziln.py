"""Zero-inflated lognormal (Wang, Liu & Miao 2019): whether there is an amount, and the location and spread of its log.

One block of three outputs for each rung: a logit, and mu and sigma held within what the learning rows showed, so
that ``exp(mu + sigma^2 / 2)`` cannot explode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from headwater.learners.network_heads import network_library

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Lognormal", "ZilnHead", "restore_ziln"]

Floats = NDArray[np.float64]
_REACH = 4.0
_NARROWEST, _WIDEST = 0.05, 1.5
_LEAST_SPREAD = 0.05
_LOG_ROOT_2_PI = 0.5 * float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lognormal:
    """What learning rows showed of one rung: the share with an amount, its log's mean and spread, the largest amount.

    ``known`` is the share of rows whose window of this rung has ended.
    """

    share: float
    center: float
    spread: float
    largest: float
    known: float

    @classmethod
    def of(cls, amounts: Floats) -> Lognormal:
        """From one rung's amounts, shape (n_rows,), NaN where not known; at least one is above zero."""
        known = amounts[np.isfinite(amounts)]
        logs = np.log(known[known > 0])
        return cls(
            share=float(np.clip(logs.size / known.size, 1e-6, 1 - 1e-6)),
            center=float(logs.mean()),
            spread=max(float(logs.std()), _LEAST_SPREAD),
            largest=float(known.max()),
            known=known.size / amounts.size,
        )

    def mu(self, raw: Any) -> Any:
        """Location of the log: within four spreads of the center."""
        return self.center + _REACH * self.spread * (raw / (_REACH + abs(raw)))

    def sigma(self, raw: Any) -> Any:
        """Spread of the log: from a twentieth to one and a half of that of all amounts."""
        return self.spread * (_NARROWEST + (_WIDEST - _NARROWEST) * (0.5 + 0.5 * raw / (1 + abs(raw))))

    @property
    def start(self) -> Floats:
        """Outputs that give the share, the center and the spread."""
        inside = 2 * (1 - _NARROWEST) / (_WIDEST - _NARROWEST) - 1
        return np.array([logit(self.share), 0.0, inside / (1 - abs(inside))])


@dataclass(frozen=True, slots=True, kw_only=True)
class ZilnHead:
    """A zero-inflated lognormal for what each rung adds to the one before it."""

    rungs: tuple[Lognormal, ...]

    @classmethod
    def of(cls, amounts: Floats) -> ZilnHead:
        """From the amounts of learning rows, shape (n_rows, n_rungs)."""
        return cls(rungs=tuple(Lognormal.of(column) for column in amounts.T))

    @property
    def blocks(self) -> tuple[int, ...]:
        """Three outputs for each rung."""
        return (3,) * len(self.rungs)

    @property
    def start(self) -> tuple[Floats, ...]:
        """Outputs that say of everybody what holds of all learning rows."""
        return tuple(r.start for r in self.rungs)

    def loss(self, blocks: tuple[Tensor, ...], amounts: Tensor) -> Tensor:
        """Binary cross-entropy of any amount plus the lognormal's minus log-density where there is one.

        A rung counts only for rows that know it, and as much as if all rows did.
        """
        total: Any = 0.0
        for k, (rung, block) in enumerate(zip(self.rungs, blocks, strict=True)):
            total = total + _minus_log_likelihood(rung, block, amounts[:, k]) / rung.known
        return total

    def means(self, blocks: tuple[Floats, ...]) -> Floats:
        """``p exp(mu + sigma^2 / 2)``, where no amount is expected to exceed the largest one seen."""
        return self._moment(blocks, power=1)

    def square_means(self, blocks: tuple[Floats, ...]) -> Floats:
        """``p exp(2 mu + 2 sigma^2)``, held by the largest amount seen."""
        return self._moment(blocks, power=2)

    def quantile(self, blocks: tuple[Floats, ...], share: float) -> Floats:
        """Zero up to the chance of no amount, and the lognormal's quantile beyond."""
        made: list[Floats] = []
        for rung, block in zip(self.rungs, blocks, strict=True):
            p, mu, sigma = expit(block[:, 0]), rung.mu(block[:, 1]), rung.sigma(block[:, 2])
            inside = (share - (1 - p)) / np.maximum(p, 1e-300)
            z = ndtri(np.clip(inside, 1e-12, 1 - 1e-12))
            made.append(np.where(inside > 0, np.minimum(np.exp(mu + sigma * z), rung.largest), 0.0))
        return np.column_stack(made)

    def state(self) -> Mapping[str, object]:
        """Numbers from which ``restore_ziln`` makes the same."""
        return {"kind": "ziln", "rungs": [asdict(r) for r in self.rungs]}

    def _moment(self, blocks: tuple[Floats, ...], *, power: int) -> Floats:
        made: list[Floats] = []
        for rung, block in zip(self.rungs, blocks, strict=True):
            log = power * rung.mu(block[:, 1]) + power**2 * rung.sigma(block[:, 2]) ** 2 / 2
            made.append(expit(block[:, 0]) * np.exp(np.minimum(log, power * np.log(rung.largest))))
        return np.column_stack(made)


def restore_ziln(state: Mapping[str, Any]) -> ZilnHead:
    """The head of a saved state."""
    return ZilnHead(rungs=tuple(Lognormal(**r) for r in state["rungs"]))


def _minus_log_likelihood(rung: Lognormal, block: Tensor, amount: Tensor) -> Tensor:
    torch = network_library()
    known = ~amount.isnan()
    paid = amount > 0
    log = amount.where(paid, torch.ones_like(amount)).log()
    mu, sigma = rung.mu(block[:, 1]), rung.sigma(block[:, 2])
    any_amount = torch.nn.functional.softplus(block[:, 0]) - block[:, 0] * paid
    density = log + sigma.log() + _LOG_ROOT_2_PI + 0.5 * ((log - mu) / sigma) ** 2
    return (any_amount + density.where(paid, torch.zeros_like(density))) * known
