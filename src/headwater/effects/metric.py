"""What a metric of an experiment is: its kind, its columns, what it is for, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Better", "Metric", "Part"]


class Part(StrEnum):
    """What a metric is for. The primary ones decide, guardrails may veto, secondary ones explain."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    GUARDRAIL = "guardrail"


class Better(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric declared once.

    Parameters
    ----------
    name
        How people call it.
    kind
        A file of the shelf ``effects/metrics``: mean, proportion, ratio, quantile, retention, funnel_step, time_to_event.
    outcome
        A column, or an expression over the columns of a user's row, such as ``"gmv_30d"`` or ``"orders > 0"``.
    over
        The denominator of a ratio, the step before of a funnel step, or, of a time to an event, for how many days the
        user has been observed: a column or expression.
    share
        Of a quantile: which, 0 to 1 (0.9).
    days
        Of retention: the first and last day since exposure, day 0 that of exposure, on any of which a user must be back.
        Of a time to an event: 0 and the last day that counts.
    covariates
        Columns known before exposure that explain the outcome: CUPED and its kin.
    winsorize
        A share such as 0.999: outcomes above that quantile of both arms together count as the quantile.
    method
        A file of the shelf ``effects/randomized`` that shall serve it; None: the one that fits.
    part, better
        What it is for, and which way is better.
    margin
        Of a guardrail: the relative harm that is tolerated, 0.01 for one percent; it is tested for non-inferiority.
    unit
        Of the outcome, such as USD.
    """

    name: str
    kind: str = "mean"
    outcome: str
    over: str | None = None
    share: float | None = None
    days: tuple[int, int] | None = None
    covariates: tuple[str, ...] = ()
    winsorize: float | None = None
    method: str | None = None
    part: Part = Part.SECONDARY
    better: Better = Better.HIGHER
    margin: float | None = None
    unit: str = ""
