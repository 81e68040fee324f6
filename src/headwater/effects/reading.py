"""How a stop rule reads a statistic at this moment: the shelf ``effects/stopping``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from headwater.core.finding import Finding
from headwater.effects.plan import Plan

__all__ = ["Reading", "Stopping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What may be made of the data now.

    Parameters
    ----------
    may_decide
        Whether the rule lets the figures of now decide. A fixed plan before its end does not: trust checks only.
    reach
        Standard errors the interval reaches, two-sided; None: Student's t of a single look.
    p_of
        From ``(estimate - null) / std_error`` to a p-value that holds under this rule; None: that of a single look.
    method
        In words, such as ``group sequential (O'Brien-Fleming), look 3 at 62%``.
    """

    may_decide: bool
    reach: float | None
    p_of: Callable[[float], float] | None
    method: str
    findings: tuple[Finding, ...] = ()


class Stopping(Protocol):
    """A stop rule: one file of the shelf."""

    about: ClassVar[str]

    def read(
        self, plan: Plan, *, n_users: int, today: int | None, alpha: float, looked: tuple[float, ...] = ()
    ) -> Reading:
        """The rule at ``n_users`` (all arms) on app day ``today``, for an error rate ``alpha``.

        ``looked`` holds the shares of the planned users at earlier looks, in order.
        """
        ...
