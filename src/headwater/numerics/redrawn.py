"""What a figure of users would have been of other users: its values over a bootstrap, users drawn with replacement."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headwater.numerics.resample import bootstrap_weights

__all__ = ["redrawn", "weighted_quantiles"]

Floats = NDArray[np.float64]


def redrawn(
    rows: Floats,
    *,
    resamples: int,
    rng: np.random.Generator,
    value: Callable[[Floats], float] | None = None,
    share: float | None = None,
) -> Floats:
    """The figure on each resample, shape (resamples,): ``value`` of the means of columns, or the quantile of a ``share``.

    ``rows`` has shape (users, columns).
    """
    ordered = rows[np.argsort(rows[:, 0], kind="stable")]
    made: list[Floats] = []
    for weights in bootstrap_weights(len(rows), resamples=resamples, rng=rng):
        counts = weights.astype(np.float64)
        if value is None:
            made.append(weighted_quantiles(ordered[:, 0], counts, share=0.5 if share is None else share))
        else:
            means = counts @ ordered / counts.sum(axis=1, keepdims=True)
            made.append(np.array([value(m) for m in means]))
    return np.concatenate(made)


def weighted_quantiles(ascending: Floats, counts: Floats, *, share: float) -> Floats:
    """The value of rank ceil(n share) of users counted so often each; ``counts`` has shape (resamples, users)."""
    upto = counts.cumsum(axis=1)
    rank = np.maximum(np.ceil(upto[:, -1] * share), 1)
    return ascending[(upto < rank[:, None]).sum(axis=1)]
