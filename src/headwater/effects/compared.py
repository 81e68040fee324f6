"""A metric of two arms, estimated: what the shelf ``effects/randomized`` makes of moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from headwater.core.finding import Finding
from headwater.core.shelf import Shelf
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric
from headwater.numerics.effect import ArmEstimate

__all__ = ["RANDOMIZED", "Compared", "Method"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Both arms' estimates and their covariance; ``method`` says in words how they were made.

    ``variance_removed`` is the share of the variance of the difference that covariates or strata took away.
    """

    control: ArmEstimate
    arm: ArmEstimate
    covariance: float
    method: str
    variance_removed: float | None = None
    findings: tuple[Finding, ...] = ()


class Method(Protocol):
    """A way to compare two arms: one file of the shelf ``effects/randomized``."""

    about: ClassVar[str]

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate a metric in two arms; a blocking finding where it cannot be."""
        ...


RANDOMIZED = Shelf[Method](package="headwater.effects.randomized", kind="method")
