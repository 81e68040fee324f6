"""The plan of an experiment, written before it: what is asked, of whom, by which metrics, and when it may stop."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.effects.metric import Metric, Part

__all__ = ["Arm", "Plan", "StopRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """An arm and the share of users it is planned to get."""

    name: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When the experiment may be read for a decision.

    ``method`` is a file of the shelf ``effects/stopping``: fixed, group_sequential, confidence_sequence, msprt.

    Parameters
    ----------
    ends_on
        The planned last day, an app day (int since 1970-01-01), exclusive; None where no end was planned.
    n_users
        The planned number of users, all arms together; None where unknown.
    looks
        Planned looks, as shares of ``n_users``, the last 1.0; of group sequential tests only.
    spending
        ``obrien_fleming``, ``pocock``, ``power`` or ``hwang_shih_decani``; of group sequential tests only.
    """

    method: str = "fixed"
    ends_on: int | None = None
    n_users: int | None = None
    looks: tuple[float, ...] = ()
    spending: str = "obrien_fleming"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an analysis is held to.

    ``arms`` begins with the control. ``registered_on`` is the app day on which the plan was written down, None
    for an analysis without one: then every figure is exploratory, and the scorecard says so. ``alpha`` is
    the error rate of the primary metrics together.
    """

    name: str
    question: str
    arms: tuple[Arm, ...]
    metrics: tuple[Metric, ...]
    alpha: float = 0.05
    power: float = 0.8
    correction: str = "holm"
    stop: StopRule = StopRule()
    window_days: int | None = None
    registered_on: int | None = None

    @property
    def control(self) -> Arm:
        """The arm that all others are compared with."""
        return self.arms[0]

    @property
    def treatments(self) -> tuple[Arm, ...]:
        """The arms beside the control."""
        return self.arms[1:]

    def metrics_of(self, part: Part) -> tuple[Metric, ...]:
        """The metrics of one part."""
        return tuple(m for m in self.metrics if m.part is part)
