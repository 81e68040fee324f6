"""The difference of two arms, absolute and relative, by one critical value, so that they never disagree.

The relative interval is Fieller's (1954): it leaves out zero exactly where the absolute one does. Unequal
variances: Welch (1947) with the degrees of freedom of Satterthwaite (1946).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Literal

from scipy import special  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["ArmEstimate", "Effect", "Side", "effect_of", "fieller"]

Side = Literal["two_sided", "greater", "less"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEstimate:
    """What a metric is in one arm: ``variance`` is that of the estimate, not of users; ``df`` its degrees of freedom."""

    value: float
    variance: float
    df: float
    n: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Treatment less control, in the unit of the metric, and the same over control.

    ``relative`` and its bounds are None where the control's mean is not clear of zero at the level: then no
    relative interval of finite length exists. Of a one-sided effect one bound is infinite.
    """

    difference: float
    std_error: float
    df: float
    statistic: float
    p_value: float
    low: float
    high: float
    relative: float | None
    rel_low: float | None
    rel_high: float | None
    level: float
    side: Side


def effect_of(
    control: ArmEstimate,
    treatment: ArmEstimate,
    *,
    covariance: float = 0.0,
    null: float = 0.0,
    level: float = 0.95,
    side: Side = "two_sided",
    reach: float | None = None,
) -> Effect | None:
    """Compare two arms; None where no error can be told, because nobody differs from anybody.

    Parameters
    ----------
    covariance
        Of the two estimates; not zero where both were adjusted by what they share.
    null
        The difference under test, in the unit of the metric.
    reach
        How many standard errors the interval reaches, in place of Student's t: a sequential method's own.
        The p-value stays that of one look.
    """
    difference = treatment.value - control.value
    variance = control.variance + treatment.variance - 2 * covariance
    df = _welch_df(control, treatment)
    if not variance > 0:
        return None
    error = sqrt(variance)
    statistic = (difference - null) / error
    beyond = _critical(df, _tail(level, side)) if reach is None else reach
    low, high = difference - beyond * error, difference + beyond * error
    bounds = fieller(control, treatment, covariance=covariance, reach=beyond)
    rel_low, rel_high = (None, None) if bounds is None else bounds
    if side == "greater":
        high, rel_high = inf, None if rel_high is None else inf
    elif side == "less":
        low, rel_low = -inf, None if rel_low is None else -inf
    return Effect(
        difference=difference,
        std_error=error,
        df=df,
        statistic=statistic,
        p_value=_p_value(statistic, df, side),
        low=low,
        high=high,
        relative=None if bounds is None else difference / abs(control.value),
        rel_low=rel_low,
        rel_high=rel_high,
        level=level,
        side=side,
    )


def fieller(
    control: ArmEstimate, treatment: ArmEstimate, *, covariance: float, reach: float
) -> tuple[float, float] | None:
    """Bounds of (treatment - control) / \\|control\\| by Fieller's theorem; None where they would not be finite.

    ``reach`` is the critical value. The set is finite where g = reach^2 variance / value^2 of the control is
    below one, that is where the control itself is clear of zero.
    """
    c, t = control.value, treatment.value
    if c == 0 or not isfinite(c):
        return None
    squared = reach * reach
    a = c * c - squared * control.variance
    if a <= 0:
        return None
    b = c * t - squared * covariance
    inside = b * b - a * (t * t - squared * treatment.variance)
    root = sqrt(max(inside, 0.0))
    low, high = (b - root) / a - 1, (b + root) / a - 1
    return (low, high) if c > 0 else (-high, -low)


def _welch_df(control: ArmEstimate, treatment: ArmEstimate) -> float:
    whole = control.variance + treatment.variance
    parts = sum(arm.variance**2 / arm.df for arm in (control, treatment) if arm.df > 0)
    return whole * whole / parts if parts > 0 else inf


def _critical(df: float, share: float) -> float:
    return float(special.stdtrit(df, share)) if isfinite(df) else float(special.ndtri(share))


def _tail(level: float, side: Side) -> float:
    return (1 + level) / 2 if side == "two_sided" else level


def _p_value(statistic: float, df: float, side: Side) -> float:
    below = float(special.stdtr(df, statistic)) if isfinite(df) else float(special.ndtr(statistic))
    beyond = (
        float(special.stdtr(df, -abs(statistic))) if isfinite(df) else float(special.ndtr(-abs(statistic)))
    )
    match side:
        case "two_sided":
            return min(1.0, 2 * beyond)
        case "greater":
            return beyond if statistic > 0 else 1 - below
        case "less":
            return below
