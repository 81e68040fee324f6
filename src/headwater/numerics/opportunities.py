"""Sums over the opportunities after a last purchase: the two terms of the BG/BB likelihood, with derivatives.

Every term is a product of rising factorials, whose logarithms are sums over tables: no gamma function is called and
none cancels. Sums run from the last opportunity back, so that each pair (x, i) is read off on the way.
"""

from __future__ import annotations

import numpy as np

from headwater.numerics.quadrature import LogTail
from headwater.numerics.rfm import Floats, Ints, distinct

__all__ = ["bought_tails", "ended_tails", "log_there"]

Pairs = tuple[Floats, Floats]


def log_there(point: Floats, *, x: Floats, T: Floats) -> Floats:
    """Log chance of x given opportunities of T taken, and of being there still at T, ``(n,)``."""
    count, seen = x.astype(np.int64), T.astype(np.int64)
    return _Terms(point, n=int(seen.max())).value(count, skipped=seen - count, stayed=seen, gone=0)


def ended_tails(point: Floats, *, pairs: Pairs, n: int, derivatives: bool = True) -> LogTail:
    """Log chance, by pair (x, t_x), of x opportunities of t_x taken, none after it, and gone before n + 1."""
    return _Sums(point, pairs=pairs, n=n, derivatives=derivatives).of_ends()


def bought_tails(point: Floats, *, pairs: Pairs, n: int, derivatives: bool = True) -> LogTail:
    """Log chance, by pair (x, T), of x opportunities of T taken and then a purchase by n, or none but there at n."""
    return _Sums(point, pairs=pairs, n=n, derivatives=derivatives).of_purchases()


class _Terms:
    """One term: x taken, some skipped, there for ``stayed`` of them, and gone after (``gone`` = 1) or not."""

    def __init__(self, point: Floats, *, n: int) -> None:
        alpha, beta, self.gamma, delta = point.tolist()
        self.taken, self.skip, self.both = (_rising(c, n=n + 1) for c in (alpha, beta, alpha + beta))
        self.stay, self.life = (_rising(c, n=n + 1) for c in (delta, self.gamma + delta))

    def value(self, x: Ints, *, skipped: Ints, stayed: Ints | int, gone: int) -> Floats:
        known = (
            self.taken[0, x] + self.skip[0, np.maximum(skipped, 0)] - self.both[0, x + np.maximum(skipped, 0)]
        )
        lives = self.stay[0, stayed] - self.life[0, stayed + gone] + gone * np.log(self.gamma)
        return np.where(skipped >= 0, known + lives, -np.inf)

    def derivatives(self, x: Ints, *, skipped: Ints, stayed: int, gone: int) -> tuple[Floats, Floats]:
        missed = np.maximum(skipped, 0)
        up, down, both = self.taken[1:, x], self.skip[1:, missed], self.both[1:, x + missed]
        stay, life = self.stay[1:, stayed], self.life[1:, stayed + gone]
        gradient, hessian = np.empty((4, x.size)), np.zeros((4, 4, x.size))
        gradient[0], gradient[1] = up[0] - both[0], down[0] - both[0]
        gradient[2], gradient[3] = gone / self.gamma - life[0], stay[0] - life[0]
        hessian[:2, :2] -= both[1]
        hessian[2:, 2:] -= life[1]
        hessian[0, 0] += up[1]
        hessian[1, 1] += down[1]
        hessian[2, 2] -= gone / self.gamma**2
        hessian[3, 3] += stay[1]
        return gradient, hessian


class _Sums:
    """Running sums from n back, of all counts at once: log of the sum, mean score, mean second derivative."""

    def __init__(self, point: Floats, *, pairs: Pairs, n: int, derivatives: bool) -> None:
        counts, self.which = distinct(pairs[0])
        self.x, self.n = counts.astype(np.int64), n
        self.at = pairs[1].astype(np.int64)
        self.order = np.argsort(self.at, kind="stable")
        self.terms = _Terms(point, n=n)
        self.with_derivatives = derivatives
        k = 4 if derivatives else 0
        self.total = np.full(self.x.size, -np.inf)
        self.mean, self.square = np.zeros((k, self.x.size)), np.zeros((k, k, self.x.size))
        size = self.at.size
        self.tail = LogTail(
            value=np.empty(size), gradient=np.empty((k, size)), hessian=np.empty((k, k, size))
        )

    def of_ends(self) -> LogTail:
        return self._run(taken=0, gone=1)

    def of_purchases(self) -> LogTail:
        self._add(self.x, skipped=self.n - self.x, stayed=self.n, gone=0)
        return self._run(taken=1, gone=0)

    def _run(self, *, taken: int, gone: int) -> LogTail:
        bounds = np.searchsorted(self.at[self.order], np.arange(self.n + 1))
        for i in range(self.n - 1, -1, -1):
            self._add(self.x + taken, skipped=i - self.x, stayed=i + taken, gone=gone)
            self._read(self.order[bounds[i] : bounds[i + 1]])
        return self.tail

    def _add(self, x: Ints, *, skipped: Ints, stayed: int, gone: int) -> None:
        value = self.terms.value(x, skipped=skipped, stayed=stayed, gone=gone)
        total = np.logaddexp(self.total, value)
        if self.with_derivatives:
            share = np.exp(np.where(np.isfinite(value), value - total, -np.inf))
            gradient, hessian = self.terms.derivatives(x, skipped=skipped, stayed=stayed, gone=gone)
            self.mean += share * (gradient - self.mean)
            self.square += share * (gradient[:, None] * gradient + hessian - self.square)
        self.total = total

    def _read(self, pairs: Ints) -> None:
        which = self.which[pairs]
        self.tail.value[pairs] = self.total[which]
        if self.with_derivatives:
            mean = self.mean[:, which]
            self.tail.gradient[:, pairs] = mean
            self.tail.hessian[:, :, pairs] = self.square[:, :, which] - mean[:, None] * mean


def _rising(start: float, *, n: int) -> Floats:
    """Log of the rising factorials (start)_m for m = 0..n and two derivatives by start, ``(3, n + 1)``."""
    steps = start + np.arange(n)
    table = np.zeros((3, n + 1))
    for row, step in zip(table, (np.log(steps), 1 / steps, -1 / steps**2), strict=True):
        row[1:] = step.cumsum()
    return table
