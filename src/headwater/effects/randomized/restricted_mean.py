"""Times to an event: restricted means by Kaplan and Meier."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered, SurvivalState
from headwater.effects.metric import Metric
from headwater.numerics.effect import ArmEstimate
from headwater.numerics.survival import RestrictedMean as Mean
from headwater.numerics.survival import kaplan_meier, restricted_mean

__all__ = ["RestrictedMean"]


class RestrictedMean:
    """Compares areas under the arms' Kaplan-Meier curves up to the window's end, with Greenwood's variance."""

    about: ClassVar[str] = (
        "mean days to the first event within the window, by Kaplan-Meier with Greenwood's variance"
    )

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms; a blocking finding where nobody of one was followed to the window's end."""
        states = {state.arm: state for state in gathered.metrics[metric.name].survival}
        found: list[ArmEstimate] = []
        for name in (control, arm):
            state = states.get(name)
            mean = None if state is None else _mean(state)
            if mean is None:
                return _unfollowed(metric, name, state)
            found.append(ArmEstimate(value=mean.value, variance=mean.variance, df=mean.n - 1, n=mean.n))
        return Compared(
            control=found[0],
            arm=found[1],
            covariance=0.0,
            method="restricted mean by Kaplan-Meier, Greenwood",
        )


def _mean(state: SurvivalState) -> Mean | None:
    """Who was last seen on the window's last day without the event was followed to its end."""
    if state.horizon is None or state.days.size == 0:
        return None
    is_through = (state.censored > 0) & (state.days == state.horizon - 1)
    through = np.where(is_through, state.censored, 0)
    days = np.append(state.days, state.horizon).astype(np.float64)
    events = np.append(state.events, 0).astype(np.float64)
    censored = np.append(state.censored - through, through.sum()).astype(np.float64)
    keep = events + censored > 0
    return restricted_mean(
        kaplan_meier(days[keep], events[keep], censored[keep]), horizon=float(state.horizon)
    )


def _unfollowed(metric: Metric, arm: str, state: SurvivalState | None) -> Finding:
    last = -1 if state is None or state.days.size == 0 else int(state.days.max())
    window = "unknown" if state is None or state.horizon is None else f"{state.horizon} days"
    return Finding(
        code="time_to_event.unfollowed",
        severity=Severity.BLOCK,
        what=f"{metric.name}: nobody of arm {arm} was followed through the window ({window}); the last day seen is {last}.",
        why="What happens after the last day seen is not known, and a mean up to there would depend on when it was read.",
        do="Wait until the first users' windows are over, or declare a shorter window.",
        numbers={"last_day": last},
    )
