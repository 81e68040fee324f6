"""What one query made of an experiment's users: moments by arm, stratum and day, and what else a metric asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding
from headwater.numerics.moments import Moments

__all__ = ["ArmRows", "Gathered", "Group", "MetricState", "QuantileState", "SurvivalState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Users who share an arm, a stratum (empty where none was asked for) and the app day of their first exposure (None: unknown)."""

    arm: str
    stratum: str = ""
    day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantileState:
    """Order statistics of one arm: the quantile and those of ranks n (q -+ z sqrt(q (1 - q) / n)), z = 1.959964.

    ``inflation`` is the variance of the share below the quantile over that of independent rows: 1 where a row is a
    user, above 1 where users bring several rows (``n`` counts rows, ``n_users`` users).
    """

    arm: str
    value: float
    low: float
    high: float
    n: int
    n_users: int
    inflation: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmRows:
    """The users of one arm, for methods that draw them again: ``values`` has shape (users, outcome and its like)."""

    arm: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurvivalState:
    """Days to an event in one arm: users with it, and users last seen without it, on each of ``days``, shape (k,), rising.

    Day 0 is that of the exposure. ``horizon`` is the number of days that count; None: not declared.
    """

    arm: str
    days: NDArray[np.int64]
    events: NDArray[np.int64]
    censored: NDArray[np.int64]
    horizon: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricState:
    """What a metric has to go by.

    Parameters
    ----------
    columns
        What the columns of ``moments`` are: the outcome first, then the denominator of a ratio, then the covariates.
    moments
        One group of ``moments`` for each of ``Gathered.groups``, users with a missing outcome left out.
    n_missing
        Users without an outcome, for each group, shape (groups,).
    n_capped, cap
        Users whose outcome was above the cap of a winsorized metric, for each group; and the cap.
    largest
        The largest outcome of each group in size, shape (groups,); None where it was not looked for.
    quantiles
        Of a quantile metric: its state in each arm.
    rows
        Of a metric by permutation or bootstrap: the users of each arm, those with a missing outcome left out.
    survival
        Of a time to an event: its state in each arm.
    """

    columns: tuple[str, ...]
    moments: Moments
    n_missing: NDArray[np.int64]
    n_capped: NDArray[np.int64] | None = None
    cap: float | None = None
    largest: NDArray[np.float64] | None = None
    quantiles: tuple[QuantileState, ...] = ()
    rows: tuple[ArmRows, ...] = ()
    survival: tuple[SurvivalState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """All that an analysis needs of the users, whatever their number. ``n_users`` has shape (groups,)."""

    groups: tuple[Group, ...]
    n_users: NDArray[np.int64]
    metrics: Mapping[str, MetricState]
    findings: tuple[Finding, ...] = ()
    sql: str = ""
    facts: Mapping[str, float] = field(default_factory=dict[str, float])

    def of_arm(self, arm: str, *, strata: Sequence[str] | None = None) -> NDArray[np.intp]:
        """Which groups are of an arm (and of some strata)."""
        return np.array(
            [
                i
                for i, g in enumerate(self.groups)
                if g.arm == arm and (strata is None or g.stratum in strata)
            ],
            dtype=np.intp,
        )

    def users_of(self, arm: str) -> int:
        """How many users an arm has."""
        return int(self.n_users[self.of_arm(arm)].sum())
