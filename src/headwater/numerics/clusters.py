"""How many clusters of equal size clusters of unequal size are worth (Carter, Schnepel and Steigerwald 2017)."""

from __future__ import annotations

__all__ = ["effective_clusters"]


def effective_clusters(n: float, *, mean_size: float, size_variance: float) -> float:
    """``n / (1 + CV^2)`` of sizes: with equal sizes n, with one giant about one.

    >>> round(effective_clusters(20, mean_size=10, size_variance=100), 6)
    10.0
    """
    return n / (1 + size_variance / (mean_size * mean_size))
