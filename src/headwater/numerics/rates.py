"""Whether the same share of users of every arm met with something rare: exactly where few did (Fisher 1935)."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

from scipy import special, stats  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["EXACT_UP_TO", "rates_differ"]

EXACT_UP_TO = 1000  # events of both arms; above it the normal approximation is as good


def rates_differ(events: Sequence[int], n: Sequence[int]) -> float:
    """p that the first arm (control) and any other share one rate, over the other arms by Bonferroni.

    ``events`` of ``n`` users, for each arm. Few events: the hypergeometric tail, doubled; many: the pooled
    two-proportion test.

    >>> rates_differ([12, 0], [500, 500])  # doctest: +ELLIPSIS
    0.0004...
    """
    others = range(1, len(n))
    p = [_two(events[0], n[0], events[j], n[j]) for j in others]
    return min(1.0, min(p, default=1.0) * len(p))


def _two(a: int, n_a: int, b: int, n_b: int) -> float:
    both, whole = a + b, n_a + n_b
    if not (0 < both < whole and n_a and n_b):
        return 1.0
    if min(both, whole - both) <= EXACT_UP_TO:
        law: Any = stats.hypergeom(whole, both, n_a)
        return min(1.0, 2 * min(float(law.cdf(a)), float(law.sf(a - 1))))
    rate = both / whole
    error = sqrt(rate * (1 - rate) * (1 / n_a + 1 / n_b))
    return 2 * float(special.ndtr(-abs(a / n_a - b / n_b) / error))
