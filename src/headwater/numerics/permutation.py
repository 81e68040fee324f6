"""Permutation of arms: how large a studentized difference is when the assignment alone decides.

Studentized, the test holds its level where arms differ in spread as well, to first order (Janssen 1997; Chung and
Romano 2013); where nobody is affected at all it is exact. Few users are permuted in every way there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

__all__ = ["Permuted", "permutation_test"]

Floats = NDArray[np.float64]
_CELLS_AT_ONCE = 2**22
_MOST_CELLS = 100_000_000
_FEWEST_DRAWS = 499
_TIE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Permuted:
    """``p_value`` is the share of assignments (the real one among them) with a statistic as far from zero as the real one.

    ``critical`` is what the size of the statistic exceeds in a share of one less the level of the assignments.
    """

    statistic: float
    p_value: float
    critical: float
    n_assignments: int
    is_exact: bool


def permutation_test(
    control: Floats,
    treatment: Floats,
    *,
    value: Callable[[Floats], float],
    gradient: Callable[[Floats], Floats],
    rng: np.random.Generator,
    draws: int = 4999,
    level: float = 0.95,
) -> Permuted | None:
    """Permute users between two arms; None where no assignment shows a spread.

    Parameters
    ----------
    control, treatment
        Rows of users, shape (users, columns); two users or more each.
    value, gradient
        The metric of the means of the columns, shape (columns,), and how it moves with them.
    draws
        Random assignments, fewer of very many users; where there are no more ways at all, each is taken once.
    """
    rows = np.concatenate([control, treatment])
    n, n_arm = len(rows), len(treatment)
    is_exact = comb(n, n_arm) <= draws
    draws = max(min(draws, _MOST_CELLS // n), _FEWEST_DRAWS)
    center = rows.mean(axis=0)
    away = rows - center
    features = np.concatenate([away, (away[:, :, None] * away[:, None, :]).reshape(n, -1)], axis=1)
    real = np.arange(n) >= n - n_arm

    def statistics(masks: NDArray[np.bool_]) -> Floats:
        sums = masks.astype(np.float64) @ features
        sides = ((features.sum(axis=0) - sums, n - n_arm), (sums, n_arm))
        (low, low_var), (high, high_var) = (
            _estimates(s, k, center=center, value=value, gradient=gradient) for s, k in sides
        )
        spread = low_var + high_var
        return np.divide(high - low, np.sqrt(spread), out=np.zeros_like(spread), where=spread > 0)

    own = float(statistics(real[None, :])[0])
    masks = _all_masks(n, n_arm) if is_exact else _random_masks(real, draws=draws, rng=rng)
    sizes = np.abs(np.concatenate([statistics(some) for some in masks]))
    if not is_exact:
        sizes = np.append(sizes, abs(own))
    if not sizes.any():
        return None
    return Permuted(
        statistic=own,
        p_value=float(np.mean(sizes >= abs(own) * (1 - _TIE))),
        critical=float(np.quantile(sizes, level, method="higher")),
        n_assignments=sizes.size,
        is_exact=is_exact,
    )


def _estimates(
    sums: Floats,
    n: int,
    *,
    center: Floats,
    value: Callable[[Floats], float],
    gradient: Callable[[Floats], Floats],
) -> tuple[Floats, Floats]:
    """The metric of each assignment's arm, and its variance, from sums of rows and products around ``center``."""
    k = center.size
    away = sums[:, :k] / n
    scatter = sums[:, k:].reshape(-1, k, k) - n * away[:, :, None] * away[:, None, :]
    means = away + center
    slopes = np.array([gradient(m) for m in means])
    variance = np.einsum("di,dij,dj->d", slopes, scatter, slopes) / (n - 1) / n
    return np.array([value(m) for m in means]), np.maximum(variance, 0.0)


def _random_masks(
    real: NDArray[np.bool_], *, draws: int, rng: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    n_arm, step = int(real.sum()), max(1, _CELLS_AT_ONCE // real.size)
    for at in range(0, draws, step):
        keys = rng.random((min(step, draws - at), real.size), dtype=np.float32)
        yield _masks(np.argpartition(keys, n_arm - 1, axis=1)[:, :n_arm], real.size)


def _all_masks(n: int, n_arm: int) -> Iterator[NDArray[np.bool_]]:
    places = np.array(list(combinations(range(n), n_arm)), dtype=np.intp)
    yield _masks(places, n)


def _masks(places: NDArray[np.intp], n: int) -> NDArray[np.bool_]:
    masks = np.zeros((len(places), n), dtype=np.bool_)
    np.put_along_axis(masks, places, values=True, axis=1)
    return masks
