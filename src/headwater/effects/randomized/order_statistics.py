"""Quantiles, by order statistics."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered, QuantileState
from headwater.effects.metric import Metric
from headwater.numerics.effect import ArmEstimate
from headwater.numerics.quantile_effect import quantile_estimate

__all__ = ["OrderStatistics"]


class OrderStatistics:
    """Compares quantiles by the width between the order statistics around them."""

    about: ClassVar[str] = "quantiles with an error from the order statistics around them, clustered by user"

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate the quantile in both arms."""
        states = {state.arm: state for state in gathered.metrics[metric.name].quantiles}
        found: list[ArmEstimate] = []
        for name in (control, arm):
            estimate = _estimated(states.get(name))
            if estimate is None:
                return _collapsed(metric, name, states.get(name))
            found.append(estimate)
        clustered = any(states[name].n > states[name].n_users for name in (control, arm))
        return Compared(
            control=found[0],
            arm=found[1],
            covariance=0.0,
            method="order statistics, clustered by user" if clustered else "order statistics",
        )


def _estimated(state: QuantileState | None) -> ArmEstimate | None:
    if state is None:
        return None
    return quantile_estimate(
        value=state.value,
        low=state.low,
        high=state.high,
        n=state.n,
        n_users=state.n_users,
        inflation=state.inflation,
    )


def _collapsed(metric: Metric, arm: str, state: QuantileState | None) -> Finding:
    n, value = (0, "unknown") if state is None else (state.n, f"{state.value:.6g}")
    return Finding(
        code="quantile.collapsed",
        severity=Severity.BLOCK,
        what=f"{metric.name}: the quantile of arm {arm} is {value}, and so are both bounds around it, of {n} outcomes.",
        why="Too many users share that value, or there are too few, for its spread to be seen; an error of zero would be untrue.",
        do="Compare the share of users above a value (kind proportion), or another share of the outcomes.",
        numbers={"n": n},
    )
