"""Sample size, power and the least detectable effect of two arms.

Everything goes through the variance of one user's part in each arm: of a mean the variance of users, of a ratio or a
quantile that of its linear form. Means are by the noncentral t with the degrees of freedom of Welch; shares by the
normal approximation in the three forms in use. Users may be any real number: round up at the end.
"""

from __future__ import annotations

from math import asin, inf, isfinite, sqrt
from typing import Any, Literal

from scipy import optimize, special  # pyright: ignore[reportMissingTypeStubs]

from headwater.numerics.moments import Moments

__all__ = [
    "Correction",
    "ShareTest",
    "Sides",
    "alpha_each",
    "cluster_inflation",
    "design_effect",
    "detectable",
    "intraclass",
    "power_of",
    "share_power",
    "share_users",
    "std_error_of",
    "users_needed",
]

Sides = Literal["two_sided", "one_sided"]
ShareTest = Literal["pooled", "unpooled", "arcsine"]
Correction = Literal["none", "bonferroni", "sidak"]

_NORMAL_FROM = 1e5  # degrees of freedom from which t and normal agree to five digits
_root_of: Any = optimize.brentq  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
_noncentral_t: Any = special.nctdtr  # pyright: ignore[reportUnknownMemberType]


def alpha_each(alpha: float, *, n_comparisons: int, correction: Correction = "bonferroni") -> float:
    """The error rate of one of several comparisons that keeps ``alpha`` over all; the first step of Holm is Bonferroni's."""
    match correction:
        case "none":
            return alpha
        case "bonferroni":
            return alpha / n_comparisons
        case "sidak":
            return float(-special.expm1(special.log1p(-alpha) / n_comparisons))


def intraclass(values: Moments) -> float:
    """The correlation of two users of one cluster, by the analysis of variance; never below 0.

    ``values`` holds one column and one group for each cluster (Donner and Klar 2000, section 5.2).
    """
    n, total = values.n, float(values.n.sum())
    grand = float(n @ values.mean[:, 0]) / total
    between = float(n @ (values.mean[:, 0] - grand) ** 2) / (n.size - 1)
    within = float(values.scatter[:, 0, 0].sum()) / (total - n.size)
    typical = (total - float(n @ n) / total) / (n.size - 1)
    return max(0.0, (between - within) / (between + (typical - 1) * within))


def design_effect(mean_size: float, *, intraclass: float, cv: float = 0.0) -> float:
    """How many times the variance grows when clusters are assigned (Eldridge, Ashby and Kerry 2006).

    Parameters
    ----------
    mean_size
        Users in a cluster on average; ``cv`` is the coefficient of variation of these sizes.
    intraclass
        The correlation of two users of one cluster.
    """
    return 1 + ((1 + cv * cv) * mean_size - 1) * intraclass


def cluster_inflation(values: Moments) -> float:
    """The design effect of assigning these clusters: one column, one group for each; their sizes and likeness as they are."""
    mean_size = float(values.n.mean())
    cv = float(values.n.std()) / mean_size
    return max(1.0, design_effect(mean_size, intraclass=intraclass(values), cv=cv))


def std_error_of(
    n_users: float,
    *,
    variances: tuple[float, float],
    shares: tuple[float, float] = (0.5, 0.5),
    inflation: float = 1.0,
) -> float:
    """The standard error of the difference with ``n_users`` in the experiment, of whom the two arms get their shares.

    ``inflation`` multiplies the variance: a design effect, or what covariates leave of it.
    """
    return sqrt(inflation * sum(v / (n_users * s) for v, s in zip(variances, shares, strict=True)))


def power_of(
    difference: float,
    std_error: float,
    *,
    alpha: float,
    sides: Sides = "two_sided",
    margin: float = 0.0,
    df: float = inf,
    reach: float | None = None,
) -> float:
    """The chance that a true ``difference`` (towards better) is found.

    Parameters
    ----------
    margin
        Of non-inferiority: the difference is tested against ``-margin``.
    reach
        Standard errors that must be passed, in place of those of ``alpha``: of a sequential rule at its last look.
    """
    shift = (difference + margin) / std_error
    tail = alpha / 2 if sides == "two_sided" else alpha
    bound = _quantile(df, tail) if reach is None else reach
    found = _above(shift, bound, df)
    return found + _above(-shift, bound, df) if sides == "two_sided" else found


def users_needed(
    difference: float,
    *,
    variances: tuple[float, float],
    alpha: float = 0.05,
    power: float = 0.8,
    sides: Sides = "two_sided",
    margin: float = 0.0,
    shares: tuple[float, float] = (0.5, 0.5),
    inflation: float = 1.0,
) -> float:
    """Users in the whole experiment (all arms) so that two arms with these shares find the difference."""

    def lacking(n: float) -> float:
        return (
            _found(
                n, difference, variances=variances, alpha=alpha, sides=sides, margin=margin, shares=shares,
                inflation=inflation,
            )
            - power
        )  # fmt: skip

    tail = alpha / 2 if sides == "two_sided" else alpha
    reach = float(special.ndtri(power)) - float(special.ndtri(tail))
    once = std_error_of(1.0, variances=variances, shares=shares, inflation=inflation)
    rough = (reach * once / (difference + margin)) ** 2
    least = 2.001 / min(shares)
    if lacking(least) >= 0:
        return least
    return float(_root_of(lacking, least, 4 * rough + 50 / min(shares), xtol=1e-6, rtol=1e-10))


def detectable(
    n_users: float,
    *,
    variances: tuple[float, float],
    alpha: float = 0.05,
    power: float = 0.8,
    sides: Sides = "two_sided",
    margin: float = 0.0,
    shares: tuple[float, float] = (0.5, 0.5),
    inflation: float = 1.0,
) -> float:
    """The least difference that ``n_users`` find with this power; below zero where a margin leaves room for harm."""

    def lacking(difference: float) -> float:
        return (
            _found(
                n_users, difference, variances=variances, alpha=alpha, sides=sides, margin=margin, shares=shares,
                inflation=inflation,
            )
            - power
        )  # fmt: skip

    error = std_error_of(n_users, variances=variances, shares=shares, inflation=inflation)
    return float(_root_of(lacking, -margin, -margin + 100 * error, xtol=1e-12 * error))


def share_power(
    n_control: float,
    n_arm: float,
    *,
    shares: tuple[float, float],
    alpha: float = 0.05,
    sides: Sides = "two_sided",
    test: ShareTest = "pooled",
) -> float:
    """The power of comparing two shares of users who did something; ``shares`` are the true ones.

    ``pooled`` takes the error under no difference from both arms together, as the usual z-test does; ``unpooled``
    from each arm; ``arcsine`` compares on the scale where the variance is constant (Cohen 1988).
    """
    low, high = shares
    tail = alpha / 2 if sides == "two_sided" else alpha
    bound = -float(special.ndtri(tail))
    if test == "arcsine":
        away = 2 * abs(asin(sqrt(high)) - asin(sqrt(low)))
        return float(special.ndtr(away / sqrt(1 / n_control + 1 / n_arm) - bound))
    error = sqrt(low * (1 - low) / n_control + high * (1 - high) / n_arm)
    both = (n_control * low + n_arm * high) / (n_control + n_arm)
    null = sqrt(both * (1 - both) * (1 / n_control + 1 / n_arm)) if test == "pooled" else error
    return float(special.ndtr((abs(high - low) - bound * null) / error))


def share_users(
    shares: tuple[float, float],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: Sides = "two_sided",
    test: ShareTest = "pooled",
    arm_to_control: float = 1.0,
) -> float:
    """Users of the control (the arm has ``arm_to_control`` times as many) that find the difference of two shares."""

    def lacking(n: float) -> float:
        return share_power(n, n * arm_to_control, shares=shares, alpha=alpha, sides=sides, test=test) - power

    return float(_root_of(lacking, 1e-3, 1e12, xtol=1e-6, rtol=1e-12))


def _found(
    n: float, difference: float, *, variances: tuple[float, float], alpha: float, sides: Sides, margin: float,
    shares: tuple[float, float], inflation: float,
) -> float:  # fmt: skip
    error = std_error_of(n, variances=variances, shares=shares, inflation=inflation)
    df = _welch_df(n, variances, shares)
    return power_of(difference, error, alpha=alpha, sides=sides, margin=margin, df=df)


def _welch_df(n: float, variances: tuple[float, float], shares: tuple[float, float]) -> float:
    parts = [v / (n * s) for v, s in zip(variances, shares, strict=True)]
    spread = sum(p * p / (n * s - 1) for p, s in zip(parts, shares, strict=True))
    return sum(parts) ** 2 / spread if spread > 0 else inf


def _quantile(df: float, tail: float) -> float:
    return -float(special.ndtri(tail)) if df > _NORMAL_FROM else -float(special.stdtrit(df, tail))


def _above(shift: float, bound: float, df: float) -> float:
    if df > _NORMAL_FROM:
        return float(special.ndtr(shift - bound))
    below = float(_noncentral_t(df, shift, bound))
    return 1 - below if isfinite(below) else 1.0  # scipy gives NaN where nothing is left below
