"""Regular buyers: a gap between purchases is k exponential phases in a row, of which purchases show only the last.

k = 1 is the Poisson buyer, whose gaps have no memory; the larger k, the more a gap looks like a clock. The phases
themselves are Poisson, so whatever is asked of purchases is asked of phases, in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.quadrature import beta_nodes, chunks
from headwater.numerics.rfm import Floats

__all__ = ["LogStill", "chance_of_phases", "mean_purchases", "phase_shares", "still_waiting"]

_FEW_STAY = 0.1
_TERMS = 17


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogStill:
    """``log W`` ``(n,)`` of ``still_waiting`` with derivatives by the power and alpha: ``(2, n)``, ``(2, 2, n)``."""

    value: Floats
    gradient: Floats
    hessian: Floats


def phase_shares(power: Floats, *, silence: Floats, phases: int) -> tuple[Floats, Floats]:
    """Log of W = sum over j < k of (power)_j silence^j / j!, and the share of each term, ``(k, n)``.

    The share of j is the chance that j phases of the running gap are over, given that the customer is still there.
    """
    terms = [np.ones_like(power)]
    for j in range(1, phases):
        terms.append(terms[-1] * (power + j - 1) * silence / j)
    each = np.stack(terms)
    total = each.sum(axis=0)
    return np.log(total), each / total


def still_waiting(power: Floats, *, silence: Floats, inverse: Floats, phases: int) -> LogStill:
    """Log of W with derivatives; ``silence`` is (T - t_x)/(alpha + T), ``inverse`` is 1/(alpha + T)."""
    value, share = phase_shares(power, silence=silence, phases=phases)
    over = np.arange(phases, dtype=np.float64)[:, None]
    steps = 1 / (power + over[:-1])
    nothing = np.zeros_like(power)[None]
    slope = np.vstack([nothing, steps.cumsum(axis=0)])
    bend = np.vstack([nothing, (steps**2).cumsum(axis=0)])
    by_power, mean_over = (share * slope).sum(axis=0), (share * over).sum(axis=0)
    gradient = np.stack([by_power, -mean_over * inverse])
    off = slope - by_power
    aside = over - mean_over
    hessian = np.empty((2, 2, power.size))
    hessian[0, 0] = (share * (off**2 - bend)).sum(axis=0)
    hessian[0, 1] = hessian[1, 0] = -inverse * (share * off * aside).sum(axis=0)
    hessian[1, 1] = inverse**2 * ((share * aside**2).sum(axis=0) + mean_over)
    return LogStill(value=value, gradient=gradient, hessian=hessian)


def chance_of_phases(power: Floats, *, reach: Floats, at_least: float) -> Floats:
    """Chance of ``at_least`` phases in a horizon: their number is negative binomial, ``reach`` = horizon/(alpha+T)."""
    return np.asarray(special.betainc(at_least, power, reach / (1 + reach)), dtype=np.float64)  # pyright: ignore[reportUnknownMemberType]


def mean_purchases(power: Floats, *, reach: Floats, a: float, b: Floats, phases: int, over: int) -> Floats:
    """Mean of the smaller of the purchases wanted in a horizon and the Geometric(p) one that is the last, ``(n,)``.

    Parameters
    ----------
    power, reach
        Phases in the horizon are Poisson with mean rate * horizon ~ Gamma(power, rate 1/reach).
    a, b
        p ~ Beta(a, b).
    phases, over
        A purchase needs ``phases`` of them; ``over`` of the running gap are over already.

    Given p it is ``sum over n >= 1 of q^(n-1) P(at least nk - over phases)`` with q = 1 - p. Where q is small the
    sum is short; elsewhere it is closed by the k-th roots z of q: the generating function of every k-th term.
    """
    mean = np.empty_like(power)
    for part in chunks(power.size, size=1024):
        later, which = np.unique(b[part], return_inverse=True)
        p, q, weight = (node[which] for node in beta_nodes(np.full(later.size, a), b=later))
        own, near = power[part][:, None], reach[part][:, None]
        closed = _by_roots(p, np.maximum(q, _FEW_STAY), power=own, reach=near, phases=phases, over=over)
        few = q < _FEW_STAY
        if phases > 1 and few.any():
            chances = [
                chance_of_phases(own, reach=near, at_least=n * phases - over) for n in range(1, _TERMS + 1)
            ]
            summed = np.zeros_like(q)
            for chance in reversed(chances):
                summed = summed * q + chance
            closed = np.where(few, summed, closed)
        mean[part] = (weight * closed).sum(axis=1)
    return np.maximum(mean, 0.0)


def _by_roots(p: Floats, q: Floats, *, power: Floats, reach: Floats, phases: int, over: int) -> Floats:
    """The closed form given p, without a difference that cancels as p goes to 0."""
    if phases == 1:
        return -np.expm1(-power * np.log1p(p * reach)) / p
    log_root = np.where(p < 0.5, np.log1p(-np.minimum(p, 0.5)), np.log(q)) / phases
    steps = np.log1p(sum(np.expm1(i * log_root) for i in range(1, phases)) / phases)
    first = (over + 1 - phases) * log_root + steps - power * np.log1p(-np.expm1(log_root) * reach)
    mean = -np.expm1(first) / p
    root = np.exp(log_root)
    for turn in range(1, phases // 2 + 1):
        z = root * np.exp(2j * np.pi * turn / phases)
        pair = 1 if 2 * turn == phases else 2
        term = z ** (over + 1 - phases) / (1 - z) * np.exp(-power * np.log(1 + (1 - z) * reach))
        mean = mean - pair / phases * term.real
    return mean
