"""Bootstrap by user: how often each user is drawn, in bounded memory, and intervals from the draws.

Above ``full_up_to`` users a full bootstrap is not affordable; the bag of little bootstraps (Kleiner,
Talwalkar, Sarkar and Jordan, 2014, J. R. Stat. Soc. B 76:795) takes its place and says so in ``method``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError

__all__ = ["Bootstrap", "Counts", "Part", "bootstrap_weights", "draw_bootstrap", "resample_interval"]

Counts = NDArray[np.uint16 | np.uint32]

_MULTINOMIAL_UP_TO = 100_000
_CHUNK_BYTES = 64 * 2**20
_RESAMPLES_PER_SUBSET = 20
_UINT16_MEAN = 30_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Resamples of one set of users.

    ``rows`` are the positions of the users (None: all of them); ``weights`` has shape (resamples, users).
    """

    rows: NDArray[np.intp] | None
    weights: Counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bootstrap:
    """One bootstrap of ``n_users``, to be used for every model and score so that comparisons are paired."""

    n_users: int
    n_resamples: int
    method: str
    parts: tuple[Part, ...]

    def without_parts(self) -> Bootstrap:
        """What is said of it, without the counts."""
        return replace(self, parts=())


def bootstrap_weights(
    n_users: int, *, resamples: int, rng: np.random.Generator, chunk_bytes: int = _CHUNK_BYTES
) -> Iterator[Counts]:
    """How often each user is drawn, in chunks of resamples.

    Up to 100,000 users the counts of a row are multinomial and sum to ``n_users``; above, they are
    independent Poisson(1), which is equivalent for large n (Chamandy et al., 2012) and needs no total.

    Parameters
    ----------
    n_users, resamples
        At least 1 each.
    rng
        The only source of randomness; the same state gives the same counts whatever ``chunk_bytes``.
    chunk_bytes
        Largest size of a yielded array, except that a chunk holds at least one resample.

    Yields
    ------
    Arrays of shape (resamples of the chunk, n_users), dtype uint16.
    """
    _require_counts(n_users, resamples)
    rows = max(1, chunk_bytes // (2 * n_users))
    for start in range(0, resamples, rows):
        yield _counts(n_users, total=n_users, resamples=min(rows, resamples - start), rng=rng)


def draw_bootstrap(
    n_users: int, *, resamples: int, rng: np.random.Generator, full_up_to: int = 50_000
) -> Bootstrap:
    """One bootstrap held in memory: every user up to ``full_up_to``, else a bag of little bootstraps.

    The bag takes one random subset of ``full_up_to`` users for every 20 resamples and draws each subset
    up to the full ``n_users``, so that the spread of a statistic is the spread at full size. Memory is
    ``2 * resamples * min(n_users, full_up_to)`` bytes (50 MB for 500 resamples).
    """
    _require_counts(n_users, resamples)
    if n_users <= full_up_to:
        weights = _counts(n_users, total=n_users, resamples=resamples, rng=rng)
        return Bootstrap(
            n_users=n_users,
            n_resamples=resamples,
            method=f"percentile interval from {resamples:,} paired resamples of users",
            parts=(Part(rows=None, weights=weights),),
        )
    sizes = [min(_RESAMPLES_PER_SUBSET, resamples - at) for at in range(0, resamples, _RESAMPLES_PER_SUBSET)]
    parts = tuple(_little(n_users, size=full_up_to, resamples=size, rng=rng) for size in sizes)
    return Bootstrap(
        n_users=n_users,
        n_resamples=resamples,
        method=(
            f"percentile interval from {resamples:,} paired resamples of users: bag of little bootstraps, "
            f"{len(parts)} random subsets of {full_up_to:,} of {n_users:,} users drawn up to full size, "
            "centered on the value of all users"
        ),
        parts=parts,
    )


def resample_interval(
    draws: NDArray[np.float64],
    *,
    level: float,
    value: float | None = None,
    kind: Literal["percentile", "basic"] = "percentile",
) -> tuple[float, float]:
    """The interval that the draws of a statistic give.

    Parameters
    ----------
    draws
        The statistic on each resample, shape (resamples,), finite.
    level
        Share of the draws inside, above 0 and below 1.
    value
        The statistic on the sample itself; needed for ``"basic"``.
    kind
        ``"percentile"``: quantiles of the draws. ``"basic"``: those quantiles reflected around ``value``
        (Davison and Hinkley, 1997, section 5.2), which undoes bias once but may leave the possible range.

    Raises
    ------
    UsageError
        ``interval.level``, ``interval.no_value`` or ``interval.draws``.
    """
    _require_level(level)
    if draws.size == 0 or not np.isfinite(draws).all():
        raise UsageError(
            "interval.draws",
            what=f"{int(np.sum(~np.isfinite(draws)))} of {draws.size} draws are not numbers.",
            why="A quantile over them would mean nothing.",
            do="Drop undefined resamples first and say how many there were.",
        )
    tail = (1 - level) / 2
    low, high = (float(q) for q in np.quantile(draws, [tail, 1 - tail]))
    if kind == "percentile":
        return low, high
    if value is None:
        raise UsageError(
            "interval.no_value",
            what="A basic interval was asked for without the sample's own value.",
            why="It reflects the draws around that value.",
            do="Pass value=, or take kind='percentile'.",
        )
    return 2 * value - high, 2 * value - low


def _little(n_users: int, *, size: int, resamples: int, rng: np.random.Generator) -> Part:
    rows = np.sort(rng.choice(n_users, size=size, replace=False)).astype(np.intp)
    return Part(rows=rows, weights=_counts(size, total=n_users, resamples=resamples, rng=rng))


def _counts(n_users: int, *, total: int, resamples: int, rng: np.random.Generator) -> Counts:
    mean = total / n_users
    counts = np.empty((resamples, n_users), dtype=np.uint16 if mean < _UINT16_MEAN else np.uint32)
    for row in counts:
        if total <= _MULTINOMIAL_UP_TO:
            row[:] = np.bincount(rng.integers(n_users, size=total), minlength=n_users)
        else:
            row[:] = rng.poisson(mean, size=n_users)
    return counts


def _require_counts(n_users: int, resamples: int) -> None:
    if n_users < 1 or resamples < 1:
        raise UsageError(
            "bootstrap.empty",
            what=f"A bootstrap of {n_users} users with {resamples} resamples was asked for.",
            why="There is nothing to draw.",
            do="Give at least one user and one resample (500 is usual).",
        )


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise UsageError(
            "interval.level",
            what=f"The level {level} is not between 0 and 1.",
            why="It is the share of cases the interval is to hold.",
            do="Write 0.9 for ninety percent.",
        )
