"""Time to an event that some have not seen yet: Kaplan and Meier (1958), Greenwood (1926), and the restricted mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RestrictedMean", "SurvivalCurve", "kaplan_meier", "restricted_mean"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurvivalCurve:
    """The share still without the event just after each of ``times`` (k,), its variance by Greenwood, and who was at risk just before."""

    times: Floats
    survival: Floats
    variance: Floats
    at_risk: Floats
    events: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictedMean:
    """The mean of min(time, horizon), in the unit of the times, and the variance of that estimate."""

    value: float
    variance: float
    n: float


def kaplan_meier(times: Floats, events: Floats, censored: Floats) -> SurvivalCurve:
    """The curve of counts by time.

    Parameters
    ----------
    times
        Rising, shape (k,); events at a time come before what is censored at it.
    events, censored
        How many saw the event, or were last seen without it, at each time.
    """
    leaving = events + censored
    at_risk = leaving[::-1].cumsum()[::-1]
    hazard = events / np.where(at_risk > 0, at_risk, 1.0)
    survival = np.asarray(np.cumprod(1 - hazard), dtype=np.float64)
    rest = at_risk - events
    terms = np.where(rest > 0, events / np.where(at_risk * rest > 0, at_risk * rest, 1.0), 0.0)
    variance: Floats = survival**2 * np.cumsum(terms)
    return SurvivalCurve(
        times=times,
        survival=survival,
        variance=variance,
        at_risk=at_risk,
        events=events,
    )


def restricted_mean(curve: SurvivalCurve, *, horizon: float) -> RestrictedMean | None:
    """The area under the curve up to ``horizon``; None where nobody was followed so far and some had not seen the event.

    The variance is the sum over event times of (area beyond)^2 d / (r (r - d)), d events of r at risk.
    """
    inside = curve.times < horizon
    followed = bool((curve.times >= horizon).any())
    if not followed and (curve.survival.size == 0 or curve.survival[-1] > 0):
        return None
    edges = np.concatenate([curve.times[inside], [horizon]])
    widths = np.diff(edges)
    areas = curve.survival[inside] * widths
    beyond = areas[::-1].cumsum()[::-1]
    d, r = curve.events[inside], curve.at_risk[inside]
    rest = r - d
    terms = np.where(rest > 0, d / np.where(r * rest > 0, r * rest, 1.0), 0.0)
    first = float(edges[0])
    return RestrictedMean(
        value=first + float(areas.sum()),
        variance=float((beyond**2 * terms).sum()),
        n=float(curve.at_risk[0]) if curve.at_risk.size else 0.0,
    )
