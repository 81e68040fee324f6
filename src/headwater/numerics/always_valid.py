"""Always-valid inference: statistics that may be looked at after every user, and stopped on, without end.

All of them are the likelihood ratio of a normal effect N(0, tau^2) to no effect, written by the ratio
r = tau^2 / (variance of the estimate), which grows with the users: Robbins' (1970) mixture, the mixture test of
Johari, Pekelis and Walsh (2015), Howard et al. (2021, equation 14) and the asymptotic confidence sequence of
Waudby-Smith et al. (2021, equation 9; there r = n rho^2). They differ in the r they take at the planned end.
"""

from __future__ import annotations

from math import exp, inf, log, log1p, sqrt

__all__ = ["mixture_p", "mixture_reach", "mixture_t_p", "tuned_ratio"]


def tuned_ratio(alpha: float) -> float:
    """The ratio at the planned end that makes the sequence narrow there (Waudby-Smith et al. 2021, equation 161).

    At a share s of the planned users the ratio is s times this.
    """
    twice = -2 * log(alpha)
    return twice + log1p(twice)


def mixture_reach(ratio: float, alpha: float) -> float:
    """How many standard errors the two-sided sequence reaches at ``ratio``."""
    return sqrt((1 + ratio) / ratio * (log1p(ratio) - 2 * log(alpha)))


def mixture_p(z: float, ratio: float) -> float:
    """The p-value of Z = ``z``: one over the likelihood ratio, at most 1.

    The least over all looks so far is valid too. It lies at or below alpha exactly where ``z`` is at or beyond
    ``mixture_reach``.
    """
    return min(1.0, exp(min(0.5 * log1p(ratio) - 0.5 * z * z * ratio / (1 + ratio), 700.0)))


def mixture_t_p(t: float, ratio: float, df: float) -> float:
    """The same for Student's t with few degrees of freedom (Lindon, Ham, Tingley and Bojinov 2022)."""
    if df == inf:
        return mixture_p(t, ratio)
    gain = -0.5 * log1p(ratio) + 0.5 * (df + 1) * (log1p(t * t / df) - log1p(t * t / df / (1 + ratio)))
    return min(1.0, exp(min(-gain, 700.0)))
