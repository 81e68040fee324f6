"""Adjusted p-values of several hypotheses, and the rate at which each is tested.

An adjusted p-value is at most alpha exactly where the procedure rejects the hypothesis at alpha. Bonferroni, Holm
(1979), Hochberg (1988) and Hommel (1988) hold the chance of any false rejection; Benjamini and Hochberg (1995)
and Benjamini and Yekutieli (2001) the share of false ones among the rejections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError, near_miss

__all__ = ["PROCEDURES", "adjusted", "gated", "rates"]

Floats = NDArray[np.float64]
_HALVINGS = 32


def adjusted(p_values: Sequence[float] | Floats, *, how: str = "holm") -> Floats:
    """Adjusted p-values, in the order given.

    Parameters
    ----------
    how
        One of ``PROCEDURES``: none, bonferroni, holm, hochberg, hommel, bh, by.

    Raises
    ------
    UsageError
        ``plan.correction``: there is no such procedure.

    >>> adjusted([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    if how not in PROCEDURES:
        raise UsageError(
            "plan.correction",
            what=f"There is no correction '{how}'.",
            why="Nothing says how the error rate is shared by several metrics.",
            do=near_miss(how, PROCEDURES),
        )
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    out = np.empty_like(p)
    if p.size:
        out[order] = np.minimum(PROCEDURES[how](p[order]), 1.0)
    return out


def rates(p_values: Sequence[float] | Floats, *, alpha: float, how: str = "holm") -> Floats:
    """The error rate at which each hypothesis is tested, the others being as they are.

    Rejected is a hypothesis exactly where its p is at most this rate: an interval at level one less the rate leaves out
    the null exactly where the adjusted p-value is at most ``alpha``.
    """
    p = np.array(p_values, dtype=np.float64)
    found = np.empty_like(p)
    if how == "none":
        return np.full_like(p, alpha)
    for i, own in enumerate(p):
        low, high = 0.0, alpha
        for _ in range(_HALVINGS):
            p[i] = (low + high) / 2
            if adjusted(p, how=how)[i] <= alpha:
                low = p[i]
            else:
                high = p[i]
        p[i], found[i] = own, low
    return found


def gated(families: Sequence[Sequence[float] | Floats], *, how: str = "holm") -> tuple[Floats, ...]:
    """Adjusted p-values of families tested one after the other, each only where all before it were rejected.

    No family costs another any of its error rate (serial gatekeeping; Dmitrienko, Tamhane and Bretz 2010, 5.3).
    """
    out: list[Floats] = []
    worst = 0.0
    for family in families:
        out.append(np.maximum(adjusted(family, how=how), worst))
        worst = float(np.max(out[-1], initial=worst))
    return tuple(out)


def _none(p: Floats) -> Floats:
    return p


def _bonferroni(p: Floats) -> Floats:
    return p * p.size


def _holm(p: Floats) -> Floats:
    return np.maximum.accumulate(p * np.arange(p.size, 0, -1))


def _hochberg(p: Floats) -> Floats:
    return _stepped_up(p * np.arange(p.size, 0, -1))


def _hommel(p: Floats) -> Floats:
    """The largest Simes p-value of all intersections that hold a hypothesis (Wright 1992, appendix)."""
    n = p.size
    out = np.full(n, float(np.min(n * p / np.arange(1, n + 1))))
    for m in range(n - 1, 1, -1):
        few = n - m + 1
        simes = float(np.min(m * p[few:] / np.arange(2, m + 1)))
        step = np.minimum(m * p, simes)
        step[few:] = step[few - 1]
        out = np.maximum(out, step)
    return np.maximum(out, p)


def _benjamini_hochberg(p: Floats) -> Floats:
    return _stepped_up(p * p.size / np.arange(1, p.size + 1))


def _benjamini_yekutieli(p: Floats) -> Floats:
    return _benjamini_hochberg(p) * float(np.sum(1 / np.arange(1, p.size + 1)))


def _stepped_up(p: Floats) -> Floats:
    return np.minimum.accumulate(p[::-1])[::-1]


PROCEDURES: dict[str, Callable[[Floats], Floats]] = {
    "none": _none,
    "bonferroni": _bonferroni,
    "holm": _holm,
    "hochberg": _hochberg,
    "hommel": _hommel,
    "bh": _benjamini_hochberg,
    "by": _benjamini_yekutieli,
}
"""Each takes p-values in ascending order, shape (hypotheses,), at least one; what it gives is capped at 1."""
