"""How outputs of boosted heads make a mean: one mean as it is, a chance times an amount, a zero-inflated lognormal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.learners.boosting_losses import settled
from headwater.models.model import Draws, Floats, State
from headwater.numerics import zero_inflated_lognormal as ziln
from headwater.numerics.attribution import rescaled

__all__ = ["Direct", "Product", "ZeroInflated"]

_TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """One head whose output is the mean, by way of a log link."""

    def mean(self, outputs: Sequence[Floats]) -> Floats:
        return np.maximum(outputs[0], _TINY)

    def log_parts(self, parts: Sequence[Floats]) -> tuple[Floats, Floats]:
        return parts[0][:, 0, -1], parts[0][:, 0, :-1]

    def spread(self, outputs: Sequence[Floats], *, level: float, scale: Floats) -> Draws | None:
        del outputs, level, scale
        return None

    def state(self) -> State:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A chance (log loss), times a mean amount (gamma, log link)."""

    def mean(self, outputs: Sequence[Floats]) -> Floats:
        chance, amount = outputs
        return np.maximum(chance * amount, _TINY)

    def log_parts(self, parts: Sequence[Floats]) -> tuple[Floats, Floats]:
        base, chance = _log_chance(parts[0])
        return base + parts[1][:, 0, -1], chance + parts[1][:, 0, :-1]

    def spread(self, outputs: Sequence[Floats], *, level: float, scale: Floats) -> Draws | None:
        del outputs, level, scale
        return None

    def state(self) -> State:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroInflated:
    """A chance, and the (mu, sigma) of a lognormal amount, learned up to ``cap``: its mean is that of min(amount, cap).

    ``start`` is where boosting of (mu, log sigma) began; sigma is bounded around it.
    """

    cap: float
    start: tuple[float, ...]

    def mean(self, outputs: Sequence[Floats]) -> Floats:
        chance, amount = outputs
        limited = ziln.limited_mean(mu=amount[:, 0], sigma=amount[:, 1], cap=self.cap)
        return np.maximum(chance * limited, _TINY)

    def log_parts(self, parts: Sequence[Floats]) -> tuple[Floats, Floats]:
        """Each output is carried through with the other at its start and at its end, and the two are averaged."""
        base, chance = _log_chance(parts[0])
        mu, log_sigma = parts[1][:, 0, :-1], parts[1][:, 1, :-1]
        at, wide = parts[1][:, 0, -1], parts[1][:, 1, -1]
        ends = at + mu.sum(axis=1), wide + log_sigma.sum(axis=1)
        by_mu = [
            rescaled(mu, start=at, through=partial(self._log_amount, log_sigma=w)) for w in (wide, ends[1])
        ]
        by_sigma = [
            rescaled(log_sigma, start=wide, through=partial(self._log_amount, m)) for m in (at, ends[0])
        ]
        whole = (by_mu[0] + by_mu[1] + by_sigma[0] + by_sigma[1]) / 2
        return base + self._log_amount(at, wide), chance + whole

    def spread(self, outputs: Sequence[Floats], *, level: float, scale: Floats) -> Draws | None:
        chance, amount = outputs
        mu, sigma = amount[:, 0] + np.log(scale), amount[:, 1]
        tail = (1 - level) / 2
        low, high = (ziln.quantile(q, p=chance, mu=mu, sigma=sigma) for q in (tail, 1 - tail))
        cap = self.cap * float(scale.max(initial=1.0))
        return Draws(
            low=low, high=high, variance=ziln.limited_variance(p=chance, mu=mu, sigma=sigma, cap=cap)
        )

    def state(self) -> State:
        return {"cap": self.cap, "start": list(self.start)}

    def _log_amount(self, mu: Floats, log_sigma: Floats) -> Floats:
        amount = settled(np.column_stack([mu, log_sigma]), np.asarray(self.start))
        return np.log(ziln.limited_mean(mu=amount[:, 0], sigma=amount[:, 1], cap=self.cap))


def _log_chance(parts: Floats) -> tuple[Floats, Floats]:
    """Parts of a raw score as parts of the log of the chance."""
    base = parts[:, 0, -1]
    return special.log_expit(base), rescaled(parts[:, 0, :-1], start=base, through=special.log_expit)
