"""What a kind of metric is: one file of the shelf ``effects/metrics``.

A kind says which columns it needs of a user's row. A smooth kind is a differentiable function of the means of these
columns (a mean is its mean, a ratio the quotient of two): all that adjusts means then serves it by the delta method.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding, Severity
from headwater.core.shelf import Shelf
from headwater.effects.metric import Metric
from headwater.numerics.moments import Moments

__all__ = ["METRIC_KINDS", "Kind", "SmoothKind", "findings_on_size"]

Floats = NDArray[np.float64]


class Kind(Protocol):
    """A kind of metric. ``method`` is the file of ``effects/randomized`` that serves it where nothing is declared."""

    about: ClassVar[str]
    method: ClassVar[str]

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """The expressions over a user's row that its moments need, outcome first.

        Raises ``UsageError`` (``metric.incomplete``) where the metric does not declare what the kind needs.
        """
        ...


@runtime_checkable
class SmoothKind(Kind, Protocol):
    """A kind whose value is a function of the means of its columns."""

    def value(self, means: Floats) -> float:
        """The metric, of the means of its columns, shape (columns,)."""
        ...

    def gradient(self, means: Floats) -> Floats:
        """How the value moves with each mean, shape (columns,)."""
        ...

    def findings(self, metric: Metric, moments: Moments, *, arm: str) -> tuple[Finding, ...]:
        """What speaks against the metric in an arm, whose groups ``moments`` holds; one that blocks leaves no number."""
        ...


METRIC_KINDS = Shelf[Kind](package="headwater.effects.metrics", kind="metric")


def findings_on_size(metric: Metric, moments: Moments, *, arm: str) -> tuple[Finding, ...]:
    """The finding that an arm has fewer than two users, if so."""
    n = int(moments.n.sum())
    if n >= 2:
        return ()
    return (
        Finding(
            code="metric.too_few_users",
            severity=Severity.BLOCK,
            what=f"{metric.name}: {n} users of arm {arm} have an outcome.",
            why="The spread of users cannot be seen in fewer than two, so no error can be told.",
            do="Wait for more users, or look why their outcomes are missing.",
            numbers={"n_users": n},
        ),
    )
