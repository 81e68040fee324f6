"""Switchback: every unit (a city, a server) changes arms in blocks of time, at random and in balance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import UsageError
from headwater.effects.allocation import require_arms
from headwater.effects.plan import Arm
from headwater.numerics.randomize import stratified_draw

__all__ = ["Switchback", "switchback"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Switchback:
    """Which arm each unit is in during each block.

    Parameters
    ----------
    begins_at, block_us, washout_us
        When the first block begins (UTC microseconds), how long each is, and how much of a block's begin does not
        count: what happens there is still the doing of the block before.
    arm
        Shape (units, blocks): the place in ``arms``.
    """

    units: tuple[str, ...]
    arms: tuple[str, ...]
    begins_at: int
    block_us: int
    washout_us: int
    arm: NDArray[np.intp]

    @property
    def ends_at(self) -> int:
        """When the last block ends, exclusive."""
        return self.begins_at + self.block_us * self.arm.shape[1]

    def schedule(self) -> pa.Table:
        """One row for each unit and block: unit, block, arm, begins_at, counts_from, ends_at."""
        n_units, n_blocks = self.arm.shape
        block = np.tile(np.arange(n_blocks), n_units)
        begins = self.begins_at + block * self.block_us
        return pa.table({
            "unit": np.repeat(np.array(self.units), n_blocks),
            "block": block,
            "arm": np.array(self.arms)[self.arm.ravel()],
            "begins_at": begins,
            "counts_from": begins + self.washout_us,
            "ends_at": begins + self.block_us,
        })  # fmt: skip

    def arms_at(self, units: pa.Array, at: NDArray[np.int64]) -> pa.DictionaryArray:
        """The arm of each event, of a unit at a time; null in a washout, outside the blocks, or of another unit."""
        row = pc.fill_null(pc.index_in(units, pa.array(self.units)), -1).to_numpy(zero_copy_only=False)
        block, within = np.divmod(at - self.begins_at, self.block_us)
        counts = (row >= 0) & (block >= 0) & (block < self.arm.shape[1]) & (within >= self.washout_us)
        found = np.where(counts, self.arm[row, np.clip(block, 0, self.arm.shape[1] - 1)], 0)
        return pa.DictionaryArray.from_arrays(
            pa.array(found.astype(np.int8), mask=~counts), pa.array(self.arms)
        )


def switchback(
    units: Sequence[str],
    *,
    arms: Sequence[Arm],
    begins_at: int,
    block_us: int,
    n_blocks: int,
    washout_us: int = 0,
    per_group: int | None = None,
    rng: np.random.Generator,
) -> Switchback:
    """Draw the arm of each unit in each block.

    The blocks of a unit are taken ``per_group`` at a time; within such a group each arm gets its share of the blocks,
    in random order, so that no arm has the mornings or the first weeks to itself. Later groups are drawn last:
    more blocks leave the earlier ones as they were.

    Parameters
    ----------
    per_group
        Blocks of a group, such as those of two weeks; None: as few as give each arm its share in whole blocks.
    """
    require_arms(arms)
    if not (0 <= washout_us < block_us and n_blocks > 0 and units):
        raise UsageError(
            "switchback.blocks",
            what=f"{n_blocks} blocks of {block_us:,} microseconds with a washout of {washout_us:,} for {len(units)} units leave nothing to count.",
            why="No event would be in an arm.",
            do="Take at least one unit and block, and a washout shorter than a block.",
        )
    size = per_group or _smallest_group([a.share for a in arms])
    shares = [a.share for a in arms]
    drawn = [
        stratified_draw(np.repeat(np.arange(len(units)), size), shares, rng=rng).reshape(len(units), size)
        for _ in range(0, n_blocks, size)
    ]
    return Switchback(
        units=tuple(units),
        arms=tuple(a.name for a in arms),
        begins_at=begins_at,
        block_us=block_us,
        washout_us=washout_us,
        arm=np.concatenate(drawn, axis=1)[:, :n_blocks],
    )


def _smallest_group(shares: Sequence[float]) -> int:
    """The fewest blocks, up to 20, that can be shared out in whole ones; 20 where none can."""
    share = np.array(shares) / sum(shares)
    sizes = [n for n in range(len(shares), 21) if np.allclose(share * n, np.round(share * n), atol=1e-9)]
    return sizes[0] if sizes else 20
