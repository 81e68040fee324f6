"""Stability of ranks: whether a model puts the same users first a few weeks later.

Part of a change is right, for users do change; what a list of the best users is worth in practice depends on all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["RankStability", "followed", "matched", "rank_stability"]

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
_MOST = 200_000
_BUCKETS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStability:
    """One model at two successive origins, over the users known at both.

    ``spearman`` is None where either forecast is constant. ``top_overlap``: of the tenth predicted highest at
    the earlier origin, the share that is among the highest tenth at the later one; users tied at a border
    count with the fraction above it, so a constant forecast has 0.1.
    """

    model: str
    earlier: int
    later: int
    n_users: int
    spearman: float | None
    top_overlap: float


def followed(rows: pa.Table, *, most: int = _MOST) -> pa.Array:
    """Ids of a snapshot's rows (``user_id``, ``bucket``), NULL for users who are not followed to other origins.

    Of more than ``most`` users some are, by the bucket of their id, which stays theirs. The forecasts of all models
    wait at all origins until the last is judged; of 50 million users they would fill a memory, and a rank
    correlation of this many users is known to a few thousandths.
    """
    some = max(1, _BUCKETS * most // max(rows.num_rows, 1))
    kept = pc.if_else(
        pc.less(rows.column("bucket"), some),
        rows.column("user_id"),
        pa.scalar(None, rows.column("user_id").type),
    )
    return kept.combine_chunks() if isinstance(kept, pa.ChunkedArray) else kept


def matched(earlier: pa.Array, later: pa.Array) -> tuple[Rows, Rows]:
    """Rows of the users (ids) that are in both, in the order of the earlier."""
    found = pc.index_in(earlier, value_set=later)
    known = pc.is_valid(found).to_numpy(zero_copy_only=False)
    return np.flatnonzero(known), found.drop_null().to_numpy(zero_copy_only=False).astype(np.intp)


def rank_stability(
    before: Floats, after: Floats, *, model: str, earlier: int, later: int
) -> RankStability | None:
    """Compare two forecasts of the same users, shape (users,); None under ten users."""
    if before.size < 10:
        return None
    constant = before.min() == before.max() or after.min() == after.max()
    ranks = [stats.rankdata(v) for v in (before, after)]
    return RankStability(
        model=model,
        earlier=earlier,
        later=later,
        n_users=before.size,
        spearman=None if constant else float(np.corrcoef(*ranks)[0, 1]),
        top_overlap=float(np.dot(_in_top(before), _in_top(after)) / (before.size / 10)),
    )


def _in_top(values: Floats) -> Floats:
    """How much of each user is in the top tenth: 1 above the border, a fraction for ties at it, 0 below."""
    size = values.size / 10
    border = np.sort(values)[values.size - int(np.ceil(size))]
    above, at = values > border, values == border
    return above + at * ((size - above.sum()) / at.sum())
